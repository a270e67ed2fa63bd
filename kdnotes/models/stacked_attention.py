"""Vision transformers of several networks at once: how ``models.stacked`` treats their parts.

Between stages the networks lie side by side in dimension 1, as in ``stacked_layers``. Inside of one
they lie one behind the other, ``[networks, images, vectors, width]``: each network's vectors are in
memory as they are where it is alone. What rounds otherwise all the same goes another way:

- Sums over images and vectors, which are gradients, are products (``_sum``, ``_for_each``).
- Softmaxes, of attention and of logits, are taken network by network: torch fills vector registers
  with the numbers of two networks else.
- Widths, and numbers a patch, that are no multiple of 16 are refused: each network's numbers begin
  with a full register, whatever their count.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes.models.stacked import stack
from kdnotes.models.stacked_layers import Stacked, StackedLinear, need


def stacked_chain(networks: Sequence[nn.Module]) -> nn.Module:
    """Of networks that do nothing in ``forward`` but call their parts."""
    merged = copy.copy(networks[0])
    merged._modules = {
        name: stack([one._modules[name] for one in networks]) for name in merged._modules
    }
    return merged


class StackedPatches(Stacked):
    """The patches' vectors, as a product, for images of the size that the networks are made for."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__(layers)
        one = layers[0].projection
        need(one.stride == one.kernel_size and one.padding == (0, 0) and one.groups == 1)
        need(len(one.weight) % 16 == 0 and one.weight[0].numel() % 16 == 0)
        self.projection = Stacked(_parts(layers, "projection", nn.Conv2d))
        self.patch, self.grid = one.kernel_size, layers[0].shape[2:]

    def forward(self, images: Tensor) -> Tensor:
        (rows, columns), (height, width), count = self.patch, self.grid, self.count
        need(images.shape[2:] == (height * rows, width * columns))
        patches = images.permute(0, 2, 3, 1)
        patches = patches.reshape(len(images), height, rows, width, columns, count, -1)
        patches = patches.permute(5, 0, 1, 3, 2, 4, 6).flatten(4).flatten(1, 3)
        weight = self.projection.weight.permute(0, 2, 3, 1).reshape(count, -1, patches.shape[2])
        vectors = _Linear.apply(patches, weight, self.projection.bias.view(count, 1, -1))
        positions = self.positions.view(count, -1, height * width).transpose(1, 2).flatten(1)
        vectors = vectors.reshape(count, len(images), -1) + _for_each(positions, len(images))
        return _to_map(vectors.unflatten(2, (height * width, -1)), self.grid)


class StackedMapBlock(Stacked):
    """Blocks of patches, from map to map."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__(layers)
        self.block = StackedBlock(layers)

    def forward(self, feature: Tensor) -> Tensor:
        return _to_map(self.block(_to_vectors(feature, self.count)), feature.shape[2:])


class StackedTokenLogits(Stacked):
    """From maps to ``[batch, networks × tokens, classes]``."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__(layers)
        chains = [layer.blocks for layer in layers]
        self.blocks = nn.ModuleList(
            StackedBlock(_parts(chains, name, StackedBlock)) for name in chains[0]._modules
        )
        self.norm = StackedNorm(_parts(layers, "norm", nn.LayerNorm))
        tokens = list(zip(*(layer.tokens for layer in layers), strict=True))
        self.tokens = nn.ModuleList(map(Stacked, tokens))
        self.classifiers = nn.ModuleList(
            StackedLinear(_parts(token, "classifier", nn.Linear)) for token in tokens
        )

    def forward(self, feature: Tensor) -> Tensor:
        patches = _to_vectors(feature, self.count)
        own = torch.cat([token.vector.view(self.count, -1) for token in self.tokens], dim=1)
        own = _for_each(own, len(feature)).unflatten(2, (len(self.tokens), -1))
        x = torch.cat([own, patches], dim=2)
        for block in self.blocks[:-1]:
            x = block(x)
        asked = self.norm(self.blocks[-1](x, len(self.tokens))).permute(2, 1, 0, 3).flatten(2)
        logits = [read(x) for read, x in zip(self.classifiers, asked, strict=True)]
        apart = [one.unflatten(1, (self.count, -1)) for one in logits]
        return torch.stack(apart, dim=2).flatten(1, 2)


class StackedHead(Stacked):
    """The joint answer of each network's tokens, ``[batch, networks × classes]``."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__(layers)
        self.alone = layers[0]

    def forward(self, logits: Tensor) -> Tensor:
        apart = logits.unflatten(1, (self.count, -1)).unbind(1)
        return torch.cat([self.alone(one.contiguous()) for one in apart], dim=1)


class StackedBlock(Stacked):
    """Blocks, ``[networks, batch, n, width]``; of the output the ``first`` vectors alone."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__(layers)
        self.norm = StackedNorm(_parts(layers, "norm", nn.LayerNorm))
        self.attention = StackedAttention(_parts(layers, "attention", StackedAttention))
        mlps = _parts(layers, "mlp", nn.Sequential)
        kinds = (nn.LayerNorm, nn.Linear, nn.GELU, nn.Linear)
        need(len(mlps[0]) == len(kinds))
        norms, inner, gelus, outer = (
            _parts(mlps, str(place), kind) for place, kind in enumerate(kinds)
        )
        self.mlp = nn.Sequential(
            StackedNorm(norms), StackedVectors(inner), gelus[0], StackedVectors(outer)
        )

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        normed = self.norm(x)
        x = x[:, :, :first] + self.attention(normed[:, :, :first], normed)
        return x + self.mlp(x)


class StackedAttention(Stacked):
    """Of some vectors to all, ``[networks, batch, n, width]``."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__(layers)
        self.heads = layers[0].heads
        self.query, self.key_value, self.output = (
            StackedVectors(_parts(layers, name, nn.Linear))
            for name in ("query", "key_value", "output")
        )

    def forward(self, some: Tensor, everything: Tensor) -> Tensor:
        pairs = self.key_value(everything)
        return self.output(_Mixed.apply(self.query(some), pairs, self.heads))


class StackedVectors(Stacked):
    """A linear layer for each network's vectors, ``[networks, batch, n, width]``."""

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (
            self.weight.view(self.count, -1, x.shape[3]),
            self.bias.view(self.count, 1, -1),
        )
        return _Linear.apply(x.flatten(1, 2), weight, bias).unflatten(1, x.shape[1:3])


class StackedNorm(Stacked):
    """A layer norm for each network's vectors, ``[networks, batch, n, width]``."""

    def __init__(self, layers: Sequence[nn.LayerNorm]):
        one = layers[0]
        need(one.bias is not None and one.weight.ndim == 1 and len(one.weight) % 16 == 0)
        super().__init__(layers)
        self.eps = one.eps

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.to(self.weight.dtype), x.shape[3:], eps=self.eps).flatten(1, 2)
        weight, bias = (one.view(self.count, 1, -1) for one in (self.weight, self.bias))
        return _Scaled.apply(normed, weight, bias).view(x.shape)


class _Linear(torch.autograd.Function):
    """``[networks, rows, in]``, weights ``[networks, out, in]``, biases ``[networks, 1, out]``."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias, x, weight.transpose(1, 2))

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, ...]:
        gradient = gradient.contiguous()
        x, weight = (one.to(gradient.dtype) for one in ctx.saved_tensors)
        of_weight = torch.bmm(gradient.transpose(1, 2), x)
        of_x = torch.bmm(gradient, weight) if ctx.needs_input_grad[0] else None
        return of_x, of_weight, _sum(gradient)


class _Scaled(torch.autograd.Function):
    """``[networks, rows, width]`` times a weight plus a bias, each ``[networks, 1, width]``."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.addcmul(bias, x, weight)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, ...]:
        gradient = gradient.contiguous()
        x, weight = ctx.saved_tensors
        return gradient * weight, _sum(gradient * x), _sum(gradient)


def _sum(x: Tensor) -> Tensor:
    """Over rows, ``[networks, rows, n]`` to ``[networks, 1, n]``, as a product."""
    return torch.bmm(x.new_ones(1, 1, x.shape[1]).expand(len(x), -1, -1), x)


class _Mixed(torch.autograd.Function):
    """What queries ``[networks, batch, m, width]`` take from keys and values ``[networks, batch, n,
    2 × width]``, network by network.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, queries: Tensor, pairs: Tensor, heads: int
    ) -> Tensor:
        ctx.heads, ctx.scale = heads, (queries.shape[3] // heads) ** -0.5
        queries, pairs = _by_head(queries * ctx.scale, 1, heads), _by_head(pairs, 2, heads)
        shares, mixed = [], []
        for (query,), (key, value) in zip(queries, pairs, strict=True):
            share = torch.bmm(query, key.transpose(1, 2)).softmax(dim=2).to(value.dtype)
            mixed.append(_of_heads(torch.bmm(share, value)[None], heads))
            shares.append(share)
        ctx.save_for_backward(queries, pairs, *shares)
        return torch.stack(mixed)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple:
        queries, pairs, *shares = ctx.saved_tensors
        of_queries, of_pairs = [], []
        given = zip(_by_head(gradient, 1, ctx.heads), queries, pairs, shares, strict=True)
        for (wanted,), (query,), (key, value), share in given:
            of_share = torch.bmm(wanted, value.transpose(1, 2))
            mean = (of_share * share).sum(dim=2, keepdim=True)
            of_score = of_share.sub_(mean).mul_(share)
            of_query = torch.bmm(of_score, key) * ctx.scale
            of_key = torch.bmm(of_score.transpose(1, 2), query)
            of_value = torch.bmm(share.transpose(1, 2), wanted)
            of_queries.append(_of_heads(of_query[None], ctx.heads))
            of_pairs.append(_of_heads(torch.stack([of_key, of_value]), ctx.heads))
        return torch.stack(of_queries), torch.stack(of_pairs), None


def _by_head(x: Tensor, kinds: int, heads: int) -> Tensor:
    """``[networks, batch, n, kinds × heads × d]`` as ``[networks, kinds, batch × heads, n, d]``."""
    apart = x.unflatten(3, (kinds, heads, -1)).permute(0, 3, 1, 4, 2, 5)
    return apart.flatten(2, 3).contiguous()


def _of_heads(x: Tensor, heads: int) -> Tensor:
    """One network's ``[kinds, batch × heads, n, d]`` as ``[batch, n, kinds × heads × d]``."""
    return x.unflatten(1, (-1, heads)).permute(1, 3, 0, 2, 4).flatten(2)


def _for_each(numbers: Tensor, count: int) -> Tensor:
    """Each network's numbers ``[networks, n]`` so many times, ``[networks, count, n]``; their
    gradient is a product.
    """
    ones = numbers.new_ones(1, count, 1).expand(len(numbers), -1, -1)
    return torch.bmm(ones, numbers.unsqueeze(1))


def _to_vectors(feature: Tensor, count: int) -> Tensor:
    """Maps ``[batch, networks × width, h, w]`` as ``[networks, batch, h·w, width]``."""
    return feature.unflatten(1, (count, -1)).permute(1, 0, 3, 4, 2).flatten(2, 3).contiguous()


def _to_map(vectors: Tensor, grid: Sequence[int]) -> Tensor:
    """Vectors ``[networks, batch, h·w, width]`` as maps side by side, channels last."""
    beside = vectors.permute(1, 2, 0, 3).flatten(2).unflatten(1, grid)
    return beside.permute(0, 3, 1, 2)


def _parts(layers: Sequence[nn.Module], name: str, kind: type) -> list[nn.Module]:
    """A part of each: of this kind, or of one that is stacked so; without hooks."""
    parts = [layer._modules[name] for layer in layers]
    for one in parts:
        hooks = (one._forward_hooks, one._forward_pre_hooks, one._backward_hooks)
        need(kind in (type(one), vars(type(one)).get("stacked")))
        need(not any(hooks) and "forward" not in vars(one))
    return parts
