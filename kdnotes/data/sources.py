"""Data sets by name: the embedded Fashion-MNIST, CIFAR-10, and a folder of images.

The images are 32×32, normalised with the mean and standard deviation computed from the training
images.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdnotes import checks
from kdnotes.data.folders import Arrays, read_folder
from kdnotes.data.splits import Split, Splits
from kdnotes.data.subsets import stratified, subset, without
from kdnotes.files import cache_folder

EMBEDDED = Path(__file__).parents[1] / "assets" / "fashion_mnist.npz"

EMBEDDED_SHA256 = "234b27da6a4fa6398e8abc9c45ef8dcc92c832de3907bab77f9187cdfe7fb051"

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

OFFLINE_HINT = "The data set 'fashion-mnist' is part of the package and needs no network."


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
        name: "fashion-mnist" (10,000 training, 2,000 validation and the official 10,000 test
            images, part of the package), "cifar10" (through torchvision) or "folder:PATH", a folder
            with ``train/<class>/*`` and ``test/<class>/*`` (and ``validation/<class>/*``; without
            it 10 % of the training images, at least one a class, are set aside), resized to 32×32
            in colour. What counts as a class is in ``folders.image_files``, what becomes of the
            pixels in ``pictures.pixels``.
        train_images, validation_images, test_images: draw a stratified subset of this size, at
            least one image a class (``None``: all). The normalisation is always that of the
            complete training split.
        without_classes: class indices removed from the *training* images (validation and test keep
            them), not all.
        subset_seed: which subset is drawn.
        root: folder of the CIFAR-10 files; by default "data" in the cache folder.
        download: whether CIFAR-10 may be downloaded.

    Raises:
        ValueError: unknown name, wrong size, files missing or damaged, or a class that is not in
            every split.
    """
    sizes = {
        "train_images": train_images,
        "validation_images": validation_images,
        "test_images": test_images,
    }
    _check_load(name, sizes, without_classes, subset_seed)
    return load_recipe(
        {
            "name": name,
            **sizes,
            "without_classes": tuple(without_classes),
            "subset_seed": subset_seed,
            "root": root,
            "download": download,
        }
    )


def _check_load(
    name: str, sizes: dict[str, int | None], without_classes: tuple[int, ...], subset_seed: int
) -> None:
    """Check the kinds before the cache of loaded data, for which 500.0 and 500 are the same."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {type(name).__name__}")
    for size_name, size in sizes.items():
        if size is not None and not _is_integer(size):
            raise TypeError(f"{size_name} must be an integer or None, not {checks.kind_of(size)}")
    if not isinstance(without_classes, (tuple, list, set)) or not all(
        map(_is_integer, without_classes)
    ):
        raise TypeError(
            f"without_classes must be a tuple of class indices, not {without_classes!r}"
        )
    checks.at_least(0)("subset_seed", subset_seed)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def load_recipe(recipe: dict[str, Any]) -> Splits:
    """``load`` with these arguments, once a process: what a pickled ``Splits`` calls."""
    return _load_cached(tuple(recipe.items()))


@functools.lru_cache(maxsize=8)
def _load_cached(items: tuple[tuple[str, Any], ...]) -> Splits:
    recipe = dict(items)
    full = _load_full(recipe["name"], recipe["root"], recipe["download"])
    seed = recipe["subset_seed"]
    train = subset("train_images", full.train, recipe["train_images"], full.num_classes, seed)
    validation = subset(
        "validation_images", full.validation, recipe["validation_images"], full.num_classes, seed
    )
    test = subset("test_images", full.test, recipe["test_images"], full.num_classes, seed)
    train = without(train, recipe["without_classes"], full.num_classes)
    splits = Splits(train, validation, test, full.classes, full.mean, full.std, full.name)
    object.__setattr__(splits, "recipe", functools.partial(load_recipe, recipe))
    return splits


@functools.lru_cache(maxsize=2)
def _load_full(name: str, root: str | None, download: bool) -> Splits:
    if name == "fashion-mnist":
        arrays, classes = _embedded(EMBEDDED, EMBEDDED_SHA256), FASHION_CLASSES
    elif name == "cifar10":
        arrays, classes = _cifar10(Path(root) if root else cache_folder() / "data", download)
    elif name.startswith("folder:") and len(name) > len("folder:"):
        arrays, classes = read_folder(Path(name.removeprefix("folder:")).expanduser())
    else:
        raise ValueError(
            f"name must be 'fashion-mnist', 'cifar10' or 'folder:PATH', not {name!r}. "
            f"{OFFLINE_HINT}"
        )
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
    return Splits(
        **splits,
        classes=tuple(classes),
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        name=name,
    )


def _to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 ``[N, H, W]`` or ``[N, H, W, C]`` to float32 ``[N, C, 32, 32]`` in 0 … 1; 28×28 is
    padded with black.
    """
    images = torch.from_numpy(pixels)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    margin = (32 - images.shape[-1]) // 2
    return torch.nn.functional.pad(images, (margin,) * 4).float() / 255


def _embedded(path: Path, sha256: str) -> Arrays:
    if not path.is_file():
        raise ValueError(
            f"the embedded data file {path.name} is missing from the package: install kdnotes again"
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(
            f"the embedded data file {path.name} is damaged (its SHA-256 differs): install kdnotes "
            "again"
        )
    with np.load(path) as file:
        return {
            split: (file[f"{split}_images"], file[f"{split}_targets"])
            for split in ("train", "validation", "test")
        }


def _cifar10(root: Path, download: bool) -> tuple[Arrays, tuple[str, ...]]:
    from torchvision.datasets import CIFAR10

    try:
        train, test = (CIFAR10(str(root), train=part, download=download) for part in (True, False))
    except (
        Exception
    ) as error:  # torchvision raises RuntimeError, URLError, OSError … by what went wrong
        remedy = (
            "the download failed"
            if download
            else "pass download=True (--download) once, with a network"
        )
        raise ValueError(
            f"cifar10 is not in {root}, or damaged: {remedy}. {OFFLINE_HINT}"
        ) from error
    images, targets = np.asarray(train.data), np.asarray(train.targets)
    held = stratified(torch.from_numpy(targets), 5000, 10, seed=0).numpy()
    kept = np.setdiff1d(np.arange(len(targets)), held)
    return {
        "train": (images[kept], targets[kept]),
        "validation": (images[held], targets[held]),
        "test": (np.asarray(test.data), np.asarray(test.targets)),
    }, tuple(train.classes)
