"""A vision transformer whose stages give maps, like those of the convolutional networks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.models.stacked_attention import (
    StackedAttention,
    StackedBlock,
    StackedHead,
    StackedMapBlock,
    StackedPatches,
    StackedTokenLogits,
    stacked_chain,
)
from kdnotes.models.staged import StagedNet


class VisionTransformer(StagedNet):
    """Patches, blocks of self-attention and MLP, and learned tokens that are asked for the class
    (ViT, arXiv 2010.11929; two tokens: DeiT, arXiv 2012.12877).

    Its stages are "patches", "block1" … (the patches' vectors as a map ``[batch, width, h, w]``, so
    that hints and attention transfer work as between convolutional networks), and "tokens": the
    logits of each token, ``[batch, tokens, classes]``. The tokens pass through the last ``joint``
    blocks together with the patches; in ViT and DeiT through all (``joint=depth``), but then no
    block gives a map. ``forward`` gives ``mean_of_softmaxes``. The second token and its classifier
    are drawn last: networks of one and of two tokens share their start. In grey and default sizes
    it has 139,914 parameters, with two tokens 140,628.

    Args:
        width: numbers a patch, a multiple of ``heads``.
        patch: edge of a patch in pixels.
        image_size: edge of the images, a multiple of ``patch``. Images of another size are
            understood too, with interpolated positions.
        tokens: 1, or 2 for a distillation token (or a second class token, its control).
        joint: blocks that the tokens pass through, 1 … ``depth``.

    Raises:
        ValueError, TypeError: a size is not as said.
    """

    stacked = stacked_chain

    def __init__(
        self, num_classes: int = 10, in_channels: int = 3, width: int = 64, *, depth: int = 4,
        heads: int = 4, patch: int = 4, image_size: int = 32, tokens: int = 1, joint: int = 2,
    ):  # fmt: skip
        checks.at_least(2)("num_classes", num_classes)
        sizes = {"in_channels": in_channels, "width": width, "depth": depth, "heads": heads}
        for name, value in (sizes | {"patch": patch, "image_size": image_size}).items():
            checks.at_least(1)(name, value)
        for name, value, unit, of in (
            ("width", width, "heads", heads), ("image_size", image_size, "patch", patch)
        ):  # fmt: skip
            if value % of:
                raise ValueError(f"{name} must be a multiple of {unit}, {of}, not {value}")
        checks.whole("tokens", tokens, 1, 2)
        checks.whole("joint", joint, 1, depth)
        stages: dict[str, nn.Module] = {
            "patches": Patches(in_channels, width, patch, image_size // patch)
        }
        for number in range(1, depth - joint + 1):
            stages[f"block{number}"] = MapBlock(width, heads)
        stages["tokens"] = TokenLogits(width, heads, joint, tokens, num_classes)
        super().__init__(stages, MeanOfSoftmaxes(), num_classes, in_channels)
        self.input_shape = (in_channels, image_size, image_size)


class Patches(nn.Module):
    """Each patch as a vector, and its learned position: ``[batch, width, h, w]``."""

    stacked = StackedPatches

    def __init__(self, in_channels: int, width: int, patch: int, grid: int):
        super().__init__()
        self.shape = (1, width, grid, grid)
        self.projection = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.positions = nn.Parameter(0.02 * torch.randn(width * grid * grid))  # no weight decay

    def forward(self, images: Tensor) -> Tensor:
        patches, positions = self.projection(images), self.positions.view(self.shape)
        if patches.shape[2:] != positions.shape[2:]:
            positions = F.interpolate(positions, patches.shape[2:], mode="bilinear")
        return patches + positions


class Attention(nn.Module):
    """Multi-head attention (arXiv 1706.03762) of some vectors to all, ``[batch, n, width]``."""

    stacked = StackedAttention

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(self, some: Tensor, everything: Tensor) -> Tensor:
        query = self.query(some).unflatten(2, (self.heads, -1)).transpose(1, 2)
        pairs = self.key_value(everything).unflatten(2, (2, self.heads, -1))
        key, value = pairs.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and an MLP of twice the width, each with its norm in front and a shortcut."""

    stacked = StackedBlock

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """Vectors ``[batch, n, width]``; of the output the ``first`` ones alone, if given."""
        normed = self.norm(x)
        x = x[:, :first] + self.attention(normed[:, :first], normed)
        return x + self.mlp(x)


class MapBlock(Block):
    """A block of patches alone, from map to map."""

    stacked = StackedMapBlock

    def forward(self, feature: Tensor) -> Tensor:
        return super().forward(_vectors(feature)).transpose(1, 2).unflatten(2, feature.shape[2:])


class TokenLogits(nn.Module):
    """From a map to the logits of each token, ``[batch, tokens, classes]``."""

    stacked = StackedTokenLogits

    def __init__(self, width: int, heads: int, depth: int, tokens: int, num_classes: int):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.tokens = nn.ModuleList(Token(width, num_classes) for _ in range(tokens))

    def forward(self, feature: Tensor) -> Tensor:
        asked = self.embeddings(feature).unbind(1)
        return torch.stack([t.classifier(x) for t, x in zip(self.tokens, asked, strict=True)], 1)

    def embeddings(self, feature: Tensor) -> Tensor:
        """What the tokens have become behind the last block, ``[batch, tokens, width]``."""
        own = torch.stack([token.vector for token in self.tokens])
        own = own.expand(feature.shape[0], -1, -1)  # with len() an export has one batch size
        x, count = torch.cat([own, _vectors(feature)], dim=1), len(self.tokens)
        for block in self.blocks[:-1]:
            x = block(x)
        return self.norm(self.blocks[-1](x, first=count))


class Token(nn.Module):
    """A learned vector, and the classifier that reads what becomes of it."""

    def __init__(self, width: int, num_classes: int):
        super().__init__()
        self.vector = nn.Parameter(0.02 * torch.randn(width))
        self.classifier = nn.Linear(width, num_classes)


class MeanOfSoftmaxes(nn.Module):
    """``mean_of_softmaxes`` as the head of a network."""

    stacked = StackedHead

    def forward(self, logits: Tensor) -> Tensor:
        return mean_of_softmaxes(logits)


def mean_of_softmaxes(logits: Tensor) -> Tensor:
    """One answer of several classifiers, ``[batch, tokens, classes]`` to ``[batch, classes]``: the
    logarithm of the mean of their softmaxes; of one its logits as they are.

    DeiT's paper adds the two softmaxes (2012.12877, §4); its authors' code, and timm, take the mean
    of the two *logits*, which is another answer where one classifier is sure and the other not.
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    return F.log_softmax(logits, dim=2).logsumexp(dim=1) - math.log(logits.shape[1])


def _vectors(feature: Tensor) -> Tensor:
    """A map ``[batch, width, h, w]`` as ``[batch, h·w, width]``."""
    return feature.flatten(2).transpose(1, 2)
