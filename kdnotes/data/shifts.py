"""Images moved by whole pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from kdnotes import checks


def shift(images: Tensor, rows: int, columns: int) -> Tensor:
    """Images ``[N, C, height, width]`` moved down by ``rows`` and right by ``columns`` pixels
    (negative: up, left). The border is repeated, as in ``Views``.

    Raises:
        ValueError, TypeError: not images, or no whole pixels, fewer than the images have.
    """
    checks.images("images", images)
    height, width = images.shape[2:]
    checks.whole("rows", rows, 1 - height, height - 1)
    checks.whole("columns", columns, 1 - width, width - 1)
    down = (torch.arange(height) - rows).clamp(0, height - 1)
    right = (torch.arange(width) - columns).clamp(0, width - 1)
    return images[:, :, down][:, :, :, right]
