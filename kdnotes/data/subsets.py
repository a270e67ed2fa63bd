"""Stratified subsets of a split."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kdnotes.data.splits import Split


def subset(name: str, split: Split, count: int | None, classes: int, seed: int) -> Split:
    """``count`` images of a split, drawn by ``seed`` (``None``: all); ``name`` is the argument in
    the message.
    """
    if count is None:
        return split
    if not classes <= count <= len(split):
        raise ValueError(
            f"{name} must lie in {classes} … {len(split)} (at least one a class), not {count}"
        )
    return split.take(stratified(split.targets, count, classes, seed))


def stratified(targets: Tensor, count: int, classes: int, seed: int) -> Tensor:
    """Positions of ``count`` samples in ascending order, each class in its proportion (largest
    remainders first).

    With a ``count`` of at least the number of classes every class that has samples keeps at least
    one: the classes that got most above their proportion give way.
    """
    sizes = torch.bincount(targets, minlength=classes).numpy()
    share = sizes * count / sizes.sum()
    quota = np.floor(share).astype(int)
    quota[np.argsort(quota - share, kind="stable")[: count - quota.sum()]] += 1
    for c in np.flatnonzero((quota == 0) & (sizes > 0) & (count >= classes)):
        quota[c] = 1
        quota[np.argmax(np.where(quota > 1, quota - share, -np.inf))] -= 1
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(targets.numpy() == c))[: quota[c]] for c in range(classes)
    ]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def without(split: Split, dropped: tuple[int, ...], classes: int) -> Split:
    """The images of all classes but the dropped ones."""
    if not dropped:
        return split
    if any(not 0 <= c < classes for c in dropped):
        raise ValueError(
            f"without_classes must hold class indices in 0 … {classes - 1}, not {dropped!r}"
        )
    if len(set(dropped)) == classes:
        raise ValueError(f"without_classes must leave a class to learn, not drop all {classes}")
    return split.take(torch.nonzero(~torch.isin(split.targets, torch.tensor(dropped))).flatten())
