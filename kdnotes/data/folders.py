"""A folder of image files as arrays: classes are the folders that a person sees, pixels are what an image viewer shows.

Whatever cannot be read, or would be read as something else, is refused with the file's name and what to do.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

__all__ = ["image_files", "pixels"]

ENDINGS = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".pbm", ".pgm", ".png",
    ".pnm", ".ppm", ".svg", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
CLUTTER = ("__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")


def image_files(folder: Path) -> dict[str, list[Path]]:
    """Class → its image files, both in alphabetical order; a class's files may lie in folders of its folder.

    Hidden files and folders (.ipynb_checkpoints, ._0.png, .DS_Store), what operating systems leave behind, and files
    without the ending of an image are passed over.

    Raises:
        ValueError: the folder is missing or cannot be read, there is no class, or a class without an image.
    """
    if not folder.is_dir():
        raise ValueError(f"an image folder needs train/<class>/* and test/<class>/*; {folder} does not exist")
    try:
        with os.scandir(folder) as entries:
            classes = sorted(entry.name for entry in entries if entry.is_dir() and not _hidden(Path(entry.path)))
        found = {name: _below(folder / name) for name in classes}
    except OSError as error:
        raise ValueError(f"{error.filename or folder} cannot be read ({error.strerror or error})") from error
    if not found:
        raise ValueError(f"{folder} holds no class folder: make one for each class, with the images of that class")
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
    files = (Path(place, name) for place, names in sorted(found) for name in names if name.lower().endswith(ENDINGS))
    return [file for file in files if not _hidden(file)]


def _raise(error: OSError) -> None:
    raise error


def _hidden(path: Path) -> bool:
    """Whether a file manager leaves this out: by its name, or on Windows by an attribute."""
    if path.name.startswith(".") or path.name in CLUTTER:
        return True
    attributes = getattr(path.lstat(), "st_file_attributes", 0)
    return bool(attributes & stat.FILE_ATTRIBUTE_HIDDEN)


def pixels(file: Path, size: int = 32) -> np.ndarray:
    """An image file as an image viewer shows it, stretched to ``[size, size, 3]`` uint8 in sRGB.

    Turned as its EXIF orientation says; what is transparent lies on white; an embedded colour profile is applied; the
    first picture of an animation or of several pages; 16 bits become 8 by dividing, floats are 0 (black) to 1 (white).

    Raises:
        ValueError: the file cannot be read as an image, or nothing says which of its values is white.
    """
    try:
        with Image.open(file) as image:
            image.load()
            return np.asarray(_rgb(image).resize((size, size)))
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error, … by format and by damage
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else str(error).strip() or repr(error)
        raise ValueError(
            f"{file} cannot be read as an image ({reason.splitlines()[0]}): replace it, convert it to PNG, or delete it"
        ) from error


def _rgb(image: Image.Image) -> Image.Image:
    profile, ends = image.info.get("icc_profile"), _black_and_white(image)
    with contextlib.suppress(Exception):  # damaged EXIF data: a viewer shows the image as it lies
        image = ImageOps.exif_transpose(image)
    if ends:
        image = _eight_bits(image, *ends)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode not in ("L", "CMYK"):
        image = image.convert("RGB")
    with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a profile that is damaged, or of other channels
        if profile:
            profile, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    return image.convert("RGB")


def _black_and_white(image: Image.Image) -> tuple[int, int] | None:
    """The values of black and white where grey values have more than 8 bits (Pillow's modes I;16, I and F)."""
    if image.mode[0] not in "IF":
        return None
    if image.mode == "I" and image.format not in ("PNG", "PPM"):  # of these Pillow makes 16 bits in this mode
        raise ValueError("its whole numbers are signed, or of 32 bits: nothing says which of them is white")
    tags = getattr(image, "tag_v2", {})  # of a TIFF file: 258 is BitsPerSample, 12 or 16; 262 is 0 where white is 0
    white = 1 if image.mode == "F" else 2 ** tags.get(258, (16,))[0] - 1
    return (white, 0) if tags.get(262) == 0 else (0, white)


def _eight_bits(image: Image.Image, black: int, white: int) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    share = (values - black) / (white - black)
    if not ((share >= 0) & (share <= 1)).all():
        raise ValueError(f"its values must lie between {black} (black) and {white} (white)")
    grey = np.round(255 * share).astype(np.uint8)
    grey[values == image.info.get("transparency", -1)] = 255
    return Image.fromarray(grey)
