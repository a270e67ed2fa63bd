"""Fixed augmented views: functions of (seed, view, image), never of how often one was called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kdnotes import checks
from kdnotes.checks import bound
from kdnotes.data.splits import Split

_KEPT_BYTES = 64 * 2**20  # views of one split that a training keeps in memory


@dataclass(frozen=True)
class Views:
    """``count`` fixed augmented views of every image: random shift (pad and crop) and horizontal
    flip.

    Shift and flip of an image in a view are functions of (``seed``, view, image index) alone: a
    teacher's output for a view can be computed once and stored, and teacher and student see the
    same pixels (arXiv 2106.05237). View 0 of ``count=1`` with ``padding=0, flip=False`` is the
    plain image.

    Args:
        count: number of views, at least 1; epoch e of a training sees view e mod count.
        padding: largest shift in pixels, up, down, left or right; the border is repeated outwards.
        flip: whether half of the images are mirrored.
        seed: chooses the views.
    """

    count: int = bound(checks.at_least(1), 8)
    padding: int = bound(checks.at_least(0), 2)
    flip: bool = bound(checks.true_or_false, True)
    seed: int = bound(checks.at_least(0), 0)

    def __post_init__(self) -> None:
        checks.fields(self)

    def take(self, split: Split, positions: Tensor, view: int) -> Tensor:
        """Images of the split at ``positions`` ``[B]``, as ``view`` shows them: ``[B, C, 32,
        32]``.
        """
        size = split.images.shape[-1]
        pixels = split.images[positions].permute(0, 2, 3, 1).flatten(0, 2)  # [B × size², C]
        sources = self._sources(split.index[positions], view, size)
        return (
            pixels.index_select(0, sources.flatten())
            .view(-1, size, size, pixels.shape[1])
            .permute(0, 3, 1, 2)
        )

    def reader(self, split: Split) -> Callable[[Tensor, int], Tensor]:
        """``take`` for this split, as a function of positions and view; of a small split each view
        is computed once.
        """
        if self.count * split.images.nbytes > _KEPT_BYTES:
            return functools.partial(self.take, split)
        everything = torch.arange(len(split))
        whole = functools.cache(lambda view: self.take(split, everything, view).permute(0, 2, 3, 1))
        return lambda positions, view: whole(view)[positions].permute(0, 3, 1, 2)

    def _sources(self, index: Tensor, view: int, size: int) -> Tensor:
        """Where every pixel of every image comes from, as a position among all ``B × size²``, ``[B,
        size, size]``.
        """
        known = (
            1 << int(index.max()).bit_length()
        )  # few different numbers, so that later batches find the draws cached
        draws = _draws(self.seed, view % self.count, known)[index.numpy()]
        span = 2 * self.padding + 1
        shift_row, shift_column = (
            torch.from_numpy((draws >> s) % span - self.padding) for s in (0, 16)
        )
        grid = torch.arange(size)
        rows = (grid + shift_row[:, None]).clamp(0, size - 1)
        columns = (grid + shift_column[:, None]).clamp(0, size - 1)
        mirrored = torch.from_numpy((draws >> 32) % 2 == 1) & self.flip
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        rows += size * torch.arange(len(index))[:, None]  # the images lie below one another
        return size * rows[:, :, None] + columns[:, None, :]


@functools.lru_cache(maxsize=64)
def _draws(seed: int, view: int, count: int) -> np.ndarray:
    """One non-negative int64 of random bits for each image index below ``count``, from a
    counter-based generator.
    """
    raw = np.random.Philox(key=[seed, view]).random_raw(count)
    return (raw >> np.uint64(1)).astype(np.int64)
