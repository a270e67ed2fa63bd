"""Images and targets as tensors in memory: one split, and the three of a data set."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Images ``[N, C, 32, 32]`` float32 (normalised), targets ``[N]`` int64, and each image's
    number ``index`` ``[N]``.

    ``index`` is the image's position in the complete split: a subset keeps it, so that an augmented
    view depends on the image and not on the company it is in.
    """

    images: Tensor
    targets: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, positions: Tensor) -> Split:
        """The images at these positions, in this order."""
        return Split(self.images[positions], self.targets[positions], self.index[positions])


@dataclass(frozen=True, eq=False)
class Splits:
    """Train, validation and test ``Split``, the class names, and the statistics that normalised the
    images.

    A ``Splits`` that came from ``load`` is pickled as the arguments of that call, so that a worker
    process reads the images from its own disk; one made from it with ``dataclasses.replace`` is
    pickled with its images.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str
    recipe: functools.partial[Splits] | None = field(default=None, repr=False, init=False)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def in_channels(self) -> int:
        return self.train.images.shape[1]

    def largest_class(self, part: str = "test") -> float:
        """Share of a split's images in its largest class: the accuracy there of always answering
        that class.
        """
        return int(self._counts(part).max()) / len(getattr(self, part))

    @property
    def equal_classes(self) -> bool:
        """Whether each split has as many images of one class as of any other."""
        return all(
            len(self._counts(part).unique()) == 1 for part in ("train", "validation", "test")
        )

    @property
    def imbalance(self) -> str:
        """One line on the largest class where classes are unequal, else empty."""
        if self.equal_classes:
            return ""
        shares = (
            f"{self.largest_class(part):.2%} of {part}" for part in ("train", "validation", "test")
        )
        return f"unequal classes: the largest holds {', '.join(shares)}"

    def _counts(self, part: str) -> Tensor:
        return torch.bincount(getattr(self, part).targets, minlength=self.num_classes)

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of all images, targets and indices: the identity of this data in every cache."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            digest.update(split_key(split).encode())
        return digest.hexdigest()

    def pixels(self, images: Tensor) -> Tensor:
        """Undo the normalisation: images as values in 0 … 1, for drawing."""
        shape = (1, -1, 1, 1)
        return (
            images * torch.tensor(self.std).view(shape) + torch.tensor(self.mean).view(shape)
        ).clamp(0, 1)

    def __reduce__(self) -> Any:
        if self.recipe is None:
            return super().__reduce__()
        return self.recipe.func, self.recipe.args


def split_key(split: Split) -> str:
    """SHA-256 of a split's images, targets and indices."""
    digest = hashlib.sha256()
    for tensor in (split.images, split.targets, split.index):
        digest.update(str(list(tensor.shape)).encode())
        digest.update(memoryview(tensor.contiguous().numpy()).cast("B"))
    return digest.hexdigest()
