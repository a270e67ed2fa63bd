"""Layers of several networks at once: grouped convolutions, wide batch norms, batched products.

Between layers the networks lie side by side in dimension 1: ``[batch, networks × channels, h, w]``,
``[batch, networks × features]``. What a network computes must not depend on how many lie beside it,
to the last bit, so that a run is a function of its arm and seed. Torch's kernels nearly keep that;
where they do not (found by trying 1 to 6 networks), the layers here go another way:

- The gradient of a batch norm rounds otherwise in channels that do not fill a vector register: they
  are filled up to full registers. So are the numbers that AdamW changes (``storage_of``).
- A 1×1 convolution of one network has another kernel than a grouped one: it is a matrix product.
- A convolution of 3 or 4 input channels in all (the stem of one network in colour, of three in
  grey) has a kernel of its own: a group of zeros is added.
- A product of matrices rounds by how they lie in memory, to the address of the first number: they
  are made contiguous, and filled up to full registers.
- Layers of a number of channels that is no multiple of 4 are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def lanes() -> int:
    """How many float32 numbers a vector register holds. (No constant: the names of stored runs
    would depend on it, and results do not.)
    """
    return 16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8


class NotStackableError(Exception):
    """The networks differ, or hold a layer of which no stack is known."""


class Stacked(nn.Module):
    """A layer for several networks at once.

    Args:
        layers: one of each network. Their parameters become views of this one's, so that whoever
            calls a single layer sees and changes the same numbers; gradients of such calls are
            collected from ``own``.
    """

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.count, self.training = len(layers), layers[0].training
        self.own: dict[str, list[nn.Parameter]] = {}
        for name, parameter in layers[0]._parameters.items():
            if parameter is None:
                self.register_parameter(name, None)
                continue
            self.own[name] = [getattr(layer, name) for layer in layers]
            merged, parts = _side_by_side(self.own[name])
            setattr(self, name, nn.Parameter(merged, parameter.requires_grad))
            for mine, part in zip(self.own[name], parts, strict=True):
                mine.data = part


class StackedConv2d(Stacked):
    """One convolution for each network, as one grouped convolution."""

    def __init__(self, layers: Sequence[nn.Conv2d]):
        one = layers[0]
        need(one.padding_mode == "zeros" and not isinstance(one.padding, str))
        is_small, is_plain = one.kernel_size == (1, 1), one.groups == 1
        self.is_pointwise = is_small and is_plain and one.padding == (0, 0)
        # Its gradient could be wrong: see ``networks.StridedPointwise``.
        need(self.is_pointwise or not is_small or max(one.stride) == 1)
        is_usual = one.stride == one.padding == one.dilation == (1, 1)
        self.is_3x3 = one.kernel_size == (3, 3) and is_plain and is_usual
        need(one.out_channels % 4 == 0)
        self.settings, self.groups = (one.stride, one.padding, one.dilation), one.groups
        super().__init__(layers)
        self.register_buffer("places", _places().to(one.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and self.is_pointwise:
            return self._pointwise(x)
        if torch.is_grad_enabled() and self.is_3x3 and x.shape[2:] == (2, 2):
            return self._on_2x2(x)
        weight, groups = self.weight, self.count * self.groups
        if x.shape[1] in (3, 4):
            inputs, outputs = x.shape[1] // groups, len(weight) // groups
            x, weight = _filled(x, 1, inputs), _filled(weight, 0, outputs)
            groups += 1
        extra = len(weight) - len(self.weight)
        bias = None if self.bias is None else _filled(self.bias[: len(self.weight)], 0, extra)
        outputs = _without(F.conv2d(x, weight, bias, *self.settings, groups), extra)
        return outputs.contiguous(memory_format=torch.channels_last)

    def _pointwise(self, x: Tensor) -> Tensor:
        (rows, columns), count = self.settings[0], self.count
        x = x.permute(0, 2, 3, 1)[:, ::rows, ::columns]
        batch, height, width, channels = x.shape
        inputs = x.reshape(-1, count, channels // count).transpose(0, 1)
        kernel = self.weight.view(count, -1, channels // count).transpose(1, 2)
        bias = None if self.bias is None else self.bias[: len(self.weight)]
        outputs = _products(inputs, kernel, bias).transpose(0, 1)
        return outputs.reshape(batch, height, width, -1).permute(0, 3, 1, 2)

    def _on_2x2(self, x: Tensor) -> Tensor:
        """Each of 4 places sees all 4: a product with a 4C × 4O matrix, in half of the time."""
        batch, count = len(x), self.count
        x = x.permute(0, 2, 3, 1).reshape(batch, 4, count, -1)
        inputs = x.permute(2, 0, 1, 3).reshape(count, batch, -1)
        kernel = self.weight.permute(0, 2, 3, 1).reshape(count, -1, 9, x.shape[3])
        kernel = kernel.index_select(2, self.places).unflatten(2, (4, 4)).transpose(1, 2)
        kernel = kernel.reshape(count, -1, inputs.shape[2]).transpose(1, 2)
        bias = None
        if self.bias is not None:
            bias = self.bias[: len(self.weight)].view(count, -1).repeat(1, 4)
        outputs = _products(inputs, kernel, bias).view(count, batch, 4, -1)
        return outputs.permute(1, 2, 0, 3).reshape(batch, 2, 2, -1).permute(0, 3, 1, 2)


class StackedBatchNorm2d(Stacked):
    """The batch norms of all networks, side by side; each keeps its own running statistics."""

    def __init__(self, layers: Sequence[nn.BatchNorm2d]):
        one = layers[0]
        need(one.affine and one.track_running_stats and one.momentum is not None)
        super().__init__(layers)
        self.momentum, self.eps = one.momentum, one.eps
        self.channels = self.count * one.num_features
        self.extra = len(self.weight) - self.channels
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            values = torch.cat([getattr(layer, name).view(-1) for layer in layers])
            parts = values.chunk(self.count)
            if name != "num_batches_tracked":
                parts = (values := _filled(values, 0, self.extra))[: self.channels].chunk(
                    self.count
                )
            self.register_buffer(name, values)
            for layer, part in zip(layers, parts, strict=True):
                setattr(layer, name, part.view_as(getattr(layer, name)))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
        filled = _filled(x, 1, self.extra)
        numbers = (self.running_mean, self.running_var, self.weight, self.bias)
        y = F.batch_norm(filled, *numbers, self.training, self.momentum, self.eps)
        return _without(y, self.extra)


class StackedLinear(Stacked):
    """One linear layer for each network, ``[batch, networks × features]``, as a batched product."""

    def forward(self, x: Tensor) -> Tensor:
        inputs = x.view(len(x), self.count, -1).transpose(0, 1)
        bias = None if self.bias is None else self.bias[: len(self.weight)]
        weight = self.weight.view(self.count, -1, inputs.shape[2]).transpose(1, 2)
        return _products(inputs, weight, bias).transpose(0, 1).flatten(1)


class StackedDropout(Stacked):
    """Dropout of single numbers or of whole channels, each network's from its own generator."""

    def __init__(self, layers: Sequence[nn.Dropout | nn.Dropout2d]):
        super().__init__(layers)
        self.p, self.is_by_channel = layers[0].p, type(layers[0]) is nn.Dropout2d
        need(self.p < 1)
        self.generators: list[torch.Generator] = []

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        shape = (len(x), x.shape[1] // self.count)
        shape += (1, 1) if self.is_by_channel else x.shape[2:]
        kept = [x.new_empty(shape).bernoulli_(1 - self.p, generator=g) for g in self.generators]
        return x * torch.cat(kept, dim=1).div_(1 - self.p)


def need(condition: bool) -> None:
    """``NotStackableError`` unless so."""
    if not condition:
        raise NotStackableError


def _side_by_side(parts: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The parts one after the other in dimension 0, channels last, in full registers; and views of
    each. Vectors have the zeros behind them, too.
    """
    one, count = parts[0], len(parts)
    numbers = count * one.numel()
    flat = torch.zeros(numbers + -numbers % lanes(), dtype=one.dtype, device=one.device)
    merged, used = flat, flat[:numbers]
    if one.ndim == 4:
        outputs, inputs, height, width = one.shape
        shape = (count * outputs, height, width, inputs)
        merged = used = used.view(shape).permute(0, 3, 1, 2)
    elif one.ndim > 1:
        merged = used = used.view(count * len(one), *one.shape[1:])
    views = used.chunk(count)
    for part, mine in zip(parts, views, strict=True):
        mine.copy_(part.detach())
    return merged, views


def storage_of(parameter: Tensor) -> Tensor:
    """The numbers of a stacked parameter in their order, with zeros up to full registers."""
    return parameter.detach().as_strided((parameter.numel() + -parameter.numel() % lanes(),), (1,))


def in_storage_order(gradient: Tensor) -> Tensor:
    """A gradient of a stacked parameter as ``storage_of`` gives its numbers."""
    gradient = gradient.permute(0, 2, 3, 1) if gradient.ndim == 4 else gradient
    return _filled(gradient.reshape(-1), 0, -gradient.numel() % lanes())


def _products(inputs: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """``[networks, rows, in] · [networks, in, out]`` + bias. The bias is a product as well: the sum
    over rows that its gradient is then rounds as in a network alone.
    """
    count, rows, width = inputs.shape
    out = weights.shape[2]
    if rows * width % lanes() or rows * out % lanes():
        inputs = F.pad(inputs, (0, -width % lanes()))
        weights = F.pad(weights, (0, -out % lanes(), 0, -width % lanes()))
    if bias is not None:
        bias = F.pad(bias.view(count, 1, out), (0, weights.shape[2] - out))
        bias = torch.bmm(inputs.new_ones(count, rows, 1), bias)
    inputs = inputs.contiguous()
    outputs = torch.bmm(inputs, weights) if bias is None else bias.baddbmm(inputs, weights)
    return _GradientInOrder.apply(outputs)[..., :out]


class _GradientInOrder(torch.autograd.Function):
    """What it is given; the gradient is contiguous."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, outputs: Tensor) -> Tensor:
        return outputs.view_as(outputs)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        return gradient.contiguous()


def _filled(x: Tensor, dimension: int, extra: int) -> Tensor:
    """With so many zeros behind the numbers of a dimension; images stay channels last."""
    if not extra:
        return x
    if x.ndim == 4 and dimension == 1:
        return _Channels.apply(x, extra)
    return F.pad(x, (0, 0) * (x.ndim - 1 - dimension) + (0, extra))


def _without(x: Tensor, extra: int) -> Tensor:
    """Without the last channels; the gradient stays channels last too."""
    return _Channels.apply(x, -extra) if extra else x


class _Channels(torch.autograd.Function):
    """So many channels of zeros more, or so many less; the gradient goes the other way."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, extra: int) -> Tensor:
        ctx.extra = extra
        return _with_channels(x, extra)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        return _with_channels(gradient, -ctx.extra), None


def _with_channels(x: Tensor, extra: int) -> Tensor:
    """(``F.pad`` would write all zeros first, also those that it overwrites.)"""
    batch, channels, height, width = x.shape
    if extra < 0:
        return x[:, : channels + extra]
    filled = x.new_empty(batch, height, width, channels + extra)
    filled[..., :channels] = x.permute(0, 2, 3, 1)
    filled[..., channels:] = 0
    return filled.permute(0, 3, 1, 2)


def _places() -> Tensor:
    """Which of the 9 weights of a 3×3 kernel leads to each place of 2×2 from each."""
    place = torch.arange(4)
    row, column = (one[None, :] - one[:, None] + 1 for one in (place // 2, place % 2))
    return (3 * row + column).flatten()
