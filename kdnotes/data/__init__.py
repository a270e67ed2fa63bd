"""Data sets as tensors in memory, and fixed augmented views of them.

``load`` returns train, validation and test splits, 32×32, normalised with the mean and standard deviation computed from
the training images. Everything random is a function of (seed, view, image), never of how often something was called.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdnotes.data import folders

__all__ = ["Split", "Splits", "Views", "cache_folder", "load"]

EMBEDDED = Path(__file__).parents[1] / "assets" / "fashion_mnist.npz"
EMBEDDED_SHA256 = "234b27da6a4fa6398e8abc9c45ef8dcc92c832de3907bab77f9187cdfe7fb051"
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_KEPT_BYTES = 64 * 2**20  # views of one split that a training keeps in memory
OFFLINE_HINT = "The data set 'fashion-mnist' is part of the package and needs no network."


@dataclass(frozen=True, eq=False)
class Split:
    """Images ``[N, C, 32, 32]`` float32 (normalised), targets ``[N]`` int64, and each image's number ``index`` ``[N]``.

    ``index`` is the image's position in the complete split: a subset keeps it, so that an augmented view depends on the
    image and not on the company it is in.
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
    """Train, validation and test ``Split``, the class names, and the statistics that normalised the images.

    A ``Splits`` that came from ``load`` is pickled as the arguments of that call, so that a worker process reads the
    images from its own disk; one made from it with ``dataclasses.replace`` is pickled with its images.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str
    recipe: dict[str, Any] | None = field(default=None, repr=False, init=False)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def in_channels(self) -> int:
        return self.train.images.shape[1]

    def largest_class(self, part: str = "test") -> float:
        """Share of a split's images in its largest class: the accuracy there of always answering that class."""
        return int(self._counts(part).max()) / len(getattr(self, part))

    @property
    def equal_classes(self) -> bool:
        """Whether each split has as many images of one class as of any other."""
        return all(len(self._counts(part).unique()) == 1 for part in ("train", "validation", "test"))

    @property
    def imbalance(self) -> str:
        """One line on the largest class where classes are unequal, else empty."""
        if self.equal_classes:
            return ""
        shares = (f"{self.largest_class(part):.2%} of {part}" for part in ("train", "validation", "test"))
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
        return (images * torch.tensor(self.std).view(shape) + torch.tensor(self.mean).view(shape)).clamp(0, 1)

    def __reduce__(self) -> Any:
        if self.recipe is None:
            return super().__reduce__()
        return _load_recipe, (self.recipe,)


def split_key(split: Split) -> str:
    """SHA-256 of a split's images, targets and indices."""
    digest = hashlib.sha256()
    for tensor in (split.images, split.targets, split.index):
        digest.update(str(list(tensor.shape)).encode())
        digest.update(memoryview(tensor.contiguous().numpy()).cast("B"))
    return digest.hexdigest()


@dataclass(frozen=True)
class Views:
    """``count`` fixed augmented views of every image: random shift (pad and crop) and horizontal flip.

    Shift and flip of an image in a view are functions of (``seed``, view, image index) alone: a teacher's output for a
    view can be computed once and stored, and teacher and student see the same pixels (arXiv 2106.05237). View 0 of
    ``count=1`` with ``padding=0, flip=False`` is the plain image.

    Args:
        count: number of views, at least 1; epoch e of a training sees view e mod count.
        padding: largest shift in pixels, up, down, left or right; the border is repeated outwards.
        flip: whether half of the images are mirrored.
        seed: chooses the views.
    """

    count: int = 8
    padding: int = 2
    flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("padding", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")

    def take(self, split: Split, positions: Tensor, view: int) -> Tensor:
        """Images of the split at ``positions`` ``[B]``, as ``view`` shows them: ``[B, C, 32, 32]``."""
        size = split.images.shape[-1]
        pixels = split.images[positions].permute(0, 2, 3, 1).flatten(0, 2)  # [B × size², C]
        sources = self._sources(split.index[positions], view, size)
        return pixels.index_select(0, sources.flatten()).view(-1, size, size, pixels.shape[1]).permute(0, 3, 1, 2)

    def reader(self, split: Split) -> Callable[[Tensor, int], Tensor]:
        """``take`` for this split, as a function of positions and view; of a small split each view is computed once."""
        if self.count * split.images.nbytes > _KEPT_BYTES:
            return functools.partial(self.take, split)
        everything = torch.arange(len(split))
        whole = functools.cache(lambda view: self.take(split, everything, view).permute(0, 2, 3, 1))
        return lambda positions, view: whole(view)[positions].permute(0, 3, 1, 2)

    def _sources(self, index: Tensor, view: int, size: int) -> Tensor:
        """Where every pixel of every image comes from, as a position among all ``B × size²``, ``[B, size, size]``."""
        known = 1 << int(index.max()).bit_length()  # few different numbers, so that later batches find the draws cached
        draws = _draws(self.seed, view % self.count, known)[index.numpy()]
        span = 2 * self.padding + 1
        shift_row, shift_column = (torch.from_numpy((draws >> s) % span - self.padding) for s in (0, 16))
        grid = torch.arange(size)
        rows = (grid + shift_row[:, None]).clamp(0, size - 1)
        columns = (grid + shift_column[:, None]).clamp(0, size - 1)
        mirrored = torch.from_numpy((draws >> 32) % 2 == 1) & self.flip
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        rows += size * torch.arange(len(index))[:, None]  # the images lie below one another
        return size * rows[:, :, None] + columns[:, None, :]


@functools.lru_cache(maxsize=64)
def _draws(seed: int, view: int, count: int) -> np.ndarray:
    """One non-negative int64 of random bits for each image index below ``count``, from a counter-based generator."""
    raw = np.random.Philox(key=[seed, view]).random_raw(count)
    return (raw >> np.uint64(1)).astype(np.int64)


def load(
    name: str = "fashion-mnist",
    *,
    train_images: int | None = None,
    validation_images: int | None = None,
    test_images: int | None = None,
    without_classes: tuple[int, ...] = (),
    subset_seed: int = 0,
    root: str | None = None,
    download: bool = False,
) -> Splits:
    """Load a data set into memory.

    Args:
        name: "fashion-mnist" (10,000 training, 2,000 validation and the official 10,000 test images, part of the
            package), "cifar10" (through torchvision) or "folder:PATH", a folder with ``train/<class>/*`` and
            ``test/<class>/*`` (and ``validation/<class>/*``; without it 10 % of the training images, at least one a
            class, are set aside), resized to 32×32 in colour. What counts as a class is in ``folders.image_files``,
            what becomes of the pixels in ``folders.pixels``.
        train_images, validation_images, test_images: draw a stratified subset of this size, at least one image a class
            (``None``: all). The normalisation is always that of the complete training split.
        without_classes: class indices removed from the *training* images (validation and test keep them), not all.
        subset_seed: which subset is drawn.
        root: folder of the CIFAR-10 files; by default "data" in the cache folder.
        download: whether CIFAR-10 may be downloaded.

    Raises:
        ValueError: unknown name, wrong size, files missing or damaged, or a class that is not in every split.
    """
    sizes = {"train_images": train_images, "validation_images": validation_images, "test_images": test_images}
    _check_load(name, sizes, without_classes, subset_seed)
    return _load_recipe(
        {
            "name": name,
            **sizes,
            "without_classes": tuple(without_classes),
            "subset_seed": subset_seed,
            "root": root,
            "download": download,
        }
    )


def _check_load(name: str, sizes: dict[str, int | None], without_classes: tuple[int, ...], subset_seed: int) -> None:
    """Check the kinds before the cache of loaded data, for which 500.0 and 500 are the same."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {type(name).__name__}")
    for size_name, size in sizes.items():
        if size is not None and not _is_integer(size):
            raise TypeError(f"{size_name} must be an integer or None, not {type(size).__name__}")
    if not isinstance(without_classes, (tuple, list, set)) or not all(map(_is_integer, without_classes)):
        raise TypeError(f"without_classes must be a tuple of class indices, not {without_classes!r}")
    if not _is_integer(subset_seed):
        raise TypeError(f"subset_seed must be an integer, not {type(subset_seed).__name__}")
    if subset_seed < 0:
        raise ValueError(f"subset_seed must be at least 0, not {subset_seed}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def cache_folder() -> Path:
    """Where teachers, banks, runs and downloads are kept: KDNOTES_CACHE, or the user's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("KDNOTES_CACHE") or user_cache_path("kdnotes"))


def _load_recipe(recipe: dict[str, Any]) -> Splits:
    return _load_cached(tuple(recipe.items()))


@functools.lru_cache(maxsize=8)
def _load_cached(items: tuple[tuple[str, Any], ...]) -> Splits:
    recipe = dict(items)
    full = _load_full(recipe["name"], recipe["root"], recipe["download"])
    seed = recipe["subset_seed"]
    train = _subset("train_images", full.train, recipe["train_images"], full.num_classes, seed)
    validation = _subset("validation_images", full.validation, recipe["validation_images"], full.num_classes, seed)
    test = _subset("test_images", full.test, recipe["test_images"], full.num_classes, seed)
    train = _without(train, recipe["without_classes"], full.num_classes)
    splits = Splits(train, validation, test, full.classes, full.mean, full.std, full.name)
    object.__setattr__(splits, "recipe", recipe)
    return splits


@functools.lru_cache(maxsize=2)
def _load_full(name: str, root: str | None, download: bool) -> Splits:
    if name == "fashion-mnist":
        arrays, classes = _embedded(EMBEDDED, EMBEDDED_SHA256), FASHION_CLASSES
    elif name == "cifar10":
        arrays, classes = _cifar10(Path(root) if root else cache_folder() / "data", download)
    elif name.startswith("folder:") and len(name) > len("folder:"):
        arrays, classes = _folder(Path(name.removeprefix("folder:")).expanduser())
    else:
        raise ValueError(f"name must be 'fashion-mnist', 'cifar10' or 'folder:PATH', not {name!r}. {OFFLINE_HINT}")
    images = {split: _to_tensor(arrays[split][0]) for split in ("train", "validation", "test")}
    std, mean = torch.std_mean(images["train"].double(), dim=(0, 2, 3))
    shape = (1, -1, 1, 1)
    splits = {
        split: Split(
            ((pixels - mean.float().view(shape)) / std.float().clamp_min(1e-6).view(shape)),
            torch.from_numpy(arrays[split][1].astype(np.int64)),
            torch.arange(len(pixels)),
        )
        for split, pixels in images.items()
    }
    return Splits(**splits, classes=tuple(classes), mean=tuple(mean.tolist()), std=tuple(std.tolist()), name=name)


def _to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 ``[N, H, W]`` or ``[N, H, W, C]`` to float32 ``[N, C, 32, 32]`` in 0 … 1; 28×28 is padded with black."""
    images = torch.from_numpy(pixels)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    margin = (32 - images.shape[-1]) // 2
    return torch.nn.functional.pad(images, (margin,) * 4).float() / 255


def _embedded(path: Path, sha256: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if not path.is_file():
        raise ValueError(f"the embedded data file {path.name} is missing from the package: install kdnotes again")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(f"the embedded data file {path.name} is damaged (its SHA-256 differs): install kdnotes again")
    with np.load(path) as file:
        return {split: (file[f"{split}_images"], file[f"{split}_targets"]) for split in ("train", "validation", "test")}


def _cifar10(root: Path, download: bool) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], tuple[str, ...]]:
    from torchvision.datasets import CIFAR10

    try:
        train, test = (CIFAR10(str(root), train=part, download=download) for part in (True, False))
    except Exception as error:  # torchvision raises RuntimeError, URLError, OSError … by what went wrong
        remedy = "the download failed" if download else "pass download=True (--download) once, with a network"
        raise ValueError(f"cifar10 is not in {root}, or damaged: {remedy}. {OFFLINE_HINT}") from error
    images, targets = np.asarray(train.data), np.asarray(train.targets)
    held = _stratified(torch.from_numpy(targets), 5000, 10, seed=0).numpy()
    kept = np.setdiff1d(np.arange(len(targets)), held)
    return {
        "train": (images[kept], targets[kept]),
        "validation": (images[held], targets[held]),
        "test": (np.asarray(test.data), np.asarray(test.targets)),
    }, tuple(train.classes)


def _folder(path: Path) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], tuple[str, ...]]:
    named = ("train", "validation", "test") if (path / "validation").is_dir() else ("train", "test")
    files = {part: folders.image_files(path / part) for part in named}
    _check_folder(path, files)
    classes = tuple(files["train"])
    parts = {part: _read_images(found) for part, found in files.items()}
    if "validation" not in parts:
        images, targets = parts["train"]
        count = max(len(classes), len(targets) // 10)
        held = _stratified(torch.from_numpy(targets), count, len(classes), seed=0).numpy()
        kept = np.setdiff1d(np.arange(len(targets)), held)
        parts["train"], parts["validation"] = (images[kept], targets[kept]), (images[held], targets[held])
    return parts, classes


def _check_folder(path: Path, files: dict[str, dict[str, list[Path]]]) -> None:
    """Every class must be in every split, also after images for validation are set aside."""
    train = files["train"]
    if len(train) < 2:
        raise ValueError(f"{path / 'train'} must hold at least 2 class folders, not {len(train)}")
    for part, found in files.items():
        for name in sorted(found.keys() ^ train.keys()):
            missing, there = (part, "train") if name in train else ("train", part)
            raise ValueError(
                f"{path / missing / name} does not exist, but {path / there / name} does: "
                f"add images of this class to {missing}, or delete its folder everywhere"
            )
    for name, found in train.items():
        if "validation" not in files and len(found) < 2:
            raise ValueError(
                f"{path / 'train' / name} holds 1 image, and one of each class is set aside for validation: "
                f"add another image, make a folder {path / 'validation'} with images of all classes, or delete this "
                "class everywhere"
            )


def _read_images(files: dict[str, list[Path]]) -> tuple[np.ndarray, np.ndarray]:
    """Images ``[N, 32, 32, 3]`` uint8 and targets ``[N]`` of the files of each class."""
    images = np.stack([folders.pixels(file) for found in files.values() for file in found])
    return images, np.repeat(np.arange(len(files)), [len(found) for found in files.values()])


def _subset(name: str, split: Split, count: int | None, classes: int, seed: int) -> Split:
    if count is None:
        return split
    if not classes <= count <= len(split):
        raise ValueError(f"{name} must lie in {classes} … {len(split)} (at least one a class), not {count}")
    return split.take(_stratified(split.targets, count, classes, seed))


def _stratified(targets: Tensor, count: int, classes: int, seed: int) -> Tensor:
    """Positions of ``count`` samples in ascending order, each class in its proportion (largest remainders first).

    With a ``count`` of at least the number of classes every class that has samples keeps at least one: the classes
    that got most above their proportion give way.
    """
    sizes = torch.bincount(targets, minlength=classes).numpy()
    share = sizes * count / sizes.sum()
    quota = np.floor(share).astype(int)
    quota[np.argsort(quota - share, kind="stable")[: count - quota.sum()]] += 1
    for c in np.flatnonzero((quota == 0) & (sizes > 0) & (count >= classes)):
        quota[c] = 1
        quota[np.argmax(np.where(quota > 1, quota - share, -np.inf))] -= 1
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(targets.numpy() == c))[: quota[c]] for c in range(classes)]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def _without(split: Split, dropped: tuple[int, ...], classes: int) -> Split:
    if not dropped:
        return split
    if any(not 0 <= c < classes for c in dropped):
        raise ValueError(f"without_classes must hold class indices in 0 … {classes - 1}, not {dropped!r}")
    if len(set(dropped)) == classes:
        raise ValueError(f"without_classes must leave a class to learn, not drop all {classes}")
    return split.take(torch.nonzero(~torch.isin(split.targets, torch.tensor(dropped))).flatten())
