"""A folder of image files as a data set: its classes are the folders that a person sees."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import torch

from kdnotes.data.pictures import pixels
from kdnotes.data.subsets import stratified

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]  # part → images and targets

ENDINGS = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".svg", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip

CLUTTER = (
    "__MACOSX",
    "__pycache__",
    "@eaDir",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
)


def read_folder(path: Path) -> tuple[Arrays, tuple[str, ...]]:
    """Images and targets of each part, and the classes; without a validation part some of
    training's are set aside.
    """
    named = ("train", "validation", "test") if (path / "validation").is_dir() else ("train", "test")
    files = {part: image_files(path / part) for part in named}
    _check_folder(path, files)
    classes = tuple(files["train"])
    parts = {part: _read_images(found) for part, found in files.items()}
    if "validation" not in parts:
        images, targets = parts["train"]
        count = max(len(classes), len(targets) // 10)
        held = stratified(torch.from_numpy(targets), count, len(classes), seed=0).numpy()
        kept = np.setdiff1d(np.arange(len(targets)), held)
        parts["train"], parts["validation"] = (
            (images[kept], targets[kept]),
            (images[held], targets[held]),
        )
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
                f"{path / 'train' / name} holds 1 image, and one of each class is set aside for "
                "validation: "
                f"add another image, make a folder {path / 'validation'} with images of all "
                "classes, or delete this "
                "class everywhere"
            )


def _read_images(files: dict[str, list[Path]]) -> tuple[np.ndarray, np.ndarray]:
    """Images ``[N, 32, 32, 3]`` uint8 and targets ``[N]`` of the files of each class."""
    images = np.stack([pixels(file) for found in files.values() for file in found])
    return images, np.repeat(np.arange(len(files)), [len(found) for found in files.values()])


def image_files(folder: Path) -> dict[str, list[Path]]:
    """Class → its image files, both in alphabetical order; a class's files may lie in folders of
    its folder.

    Hidden files and folders (.ipynb_checkpoints, ._0.png, .DS_Store), what operating systems leave
    behind, and files without the ending of an image are passed over.

    Raises:
        ValueError: the folder is missing or cannot be read, there is no class, or a class without
            an image.
    """
    if not folder.is_dir():
        raise ValueError(
            f"an image folder needs train/<class>/* and test/<class>/*; {folder} does not exist"
        )
    try:
        with os.scandir(folder) as entries:
            classes = sorted(
                entry.name for entry in entries if entry.is_dir() and not _hidden(Path(entry.path))
            )
        found = {name: _below(folder / name) for name in classes}
    except OSError as error:
        raise ValueError(
            f"{error.filename or folder} cannot be read ({error.strerror or error})"
        ) from error
    if not found:
        raise ValueError(
            f"{folder} holds no class folder: make one for each class, with the images of that "
            "class"
        )
    for name, files in found.items():
        if not files:
            raise ValueError(
                f"{folder / name} holds no image (a file that ends in .png, .jpg or the like): "
                "add images of this class, or delete the folder everywhere"
            )
    return found


def _below(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = [name for name in folders if not _hidden(Path(place, name))]
        found.append((place, sorted(names)))
    files = (
        Path(place, name)
        for place, names in sorted(found)
        for name in names
        if name.lower().endswith(ENDINGS)
    )
    return [file for file in files if not _hidden(file)]


def _raise(error: OSError) -> None:
    raise error


def _hidden(path: Path) -> bool:
    """Whether a file manager leaves this out: by its name, or on Windows by an attribute."""
    if path.name.startswith(".") or path.name in CLUTTER:
        return True
    attributes = getattr(path.lstat(), "st_file_attributes", 0)
    return bool(attributes & stat.FILE_ATTRIBUTE_HIDDEN)
