"""An image file as an array: its pixels are what an image viewer shows.

Whatever cannot be read, or would be read as something else, is refused with the file's name and
what to do.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError


def pixels(file: Path, size: int = 32) -> np.ndarray:
    """An image file as an image viewer shows it, stretched to ``[size, size, 3]`` uint8 in sRGB.

    Turned as its EXIF orientation says; what is transparent lies on white; an embedded colour
    profile is applied; the first picture of an animation or of several pages; 16 bits become 8 by
    dividing, floats are 0 (black) to 1 (white).

    Raises:
        ValueError: the file cannot be read as an image, or nothing says which of its values is
            white.
    """
    try:
        with Image.open(file) as image:
            image.load()
            return np.asarray(_rgb(image).resize((size, size)))
    except (
        Exception
    ) as error:  # Pillow raises OSError, SyntaxError, struct.error, … by format and by damage
        reason = (
            "unknown format"
            if isinstance(error, UnidentifiedImageError)
            else str(error).strip() or repr(error)
        )
        raise ValueError(
            f"{file} cannot be read as an image ({reason.splitlines()[0]}): replace it, convert it "
            "to PNG, or delete it"
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
    with contextlib.suppress(
        ImageCms.PyCMSError, OSError
    ):  # a profile that is damaged, or of other channels
        if profile:
            profile, srgb = (
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
            )
            return ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    return image.convert("RGB")


def _black_and_white(image: Image.Image) -> tuple[int, int] | None:
    """The values of black and white where grey values have more than 8 bits (Pillow's modes I;16, I
    and F).
    """
    if image.mode[0] not in "IF":
        return None
    if image.mode == "I" and image.format not in (
        "PNG",
        "PPM",
    ):  # of these Pillow makes 16 bits in this mode
        raise ValueError(
            "its whole numbers are signed, or of 32 bits: nothing says which of them is white"
        )
    tags = getattr(
        image, "tag_v2", {}
    )  # of a TIFF file: 258 is BitsPerSample, 12 or 16; 262 is 0 where white is 0
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
