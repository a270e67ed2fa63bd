"""One picture: grey of many bits, transparency, orientation, colour."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

from kdnotes.data import pictures


@pytest.mark.parametrize(
    ("name", "change", "mode"),
    [
        ("16.png", lambda v: v, "I;16"),
        ("16.tif", lambda v: v, "I;16"),
        ("16.jp2", lambda v: v, "I;16"),
        ("float.tiff", lambda v: (v / 65535).astype(np.float32), "F"),
    ],
)
def test_grey_of_more_than_8_bits_is_scaled(tmp_path, name, change, mode):
    values = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (32, 1))
    Image.fromarray(change(values)).save(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.mode in (mode, "I")  # of a PNG file older releases of Pillow make the second
    grey = np.round(values / 257).astype(np.uint8)
    assert np.array_equal(pictures.pixels(tmp_path / name), grey[..., None].repeat(3, 2))


def test_grey_of_more_than_8_bits_in_rare_forms(tmp_path):
    values = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (32, 1))
    grey = np.round(values / 257).astype(np.uint8)
    image = Image.frombytes("I;16B", (32, 32), values.astype(">u2").tobytes())
    image.save(tmp_path / "big endian.tif")
    raw = b"P5 32 32 1023\n" + (values // 64).astype(">u2").tobytes()
    (tmp_path / "10 bits.pgm").write_bytes(raw)
    for name in ("big endian.tif", "10 bits.pgm"):
        assert np.array_equal(pictures.pixels(tmp_path / name)[..., 1], grey), name
    Image.fromarray(values).save(tmp_path / "white is 0.tif", tiffinfo={262: 0})
    assert np.array_equal(pictures.pixels(tmp_path / "white is 0.tif")[..., 1], 255 - grey)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((8, 8), 70_000, np.int32), "nothing says which of them is white"),
        (np.full((8, 8), 200.0, np.float32), r"must lie between 0 \(black\) and 1 \(white\)"),
        (np.full((8, 8), np.nan, np.float32), r"must lie between 0 \(black\) and 1 \(white\)"),
    ],
    ids=["32 bits", "floats above 1", "NaN"],
)
def test_values_without_a_white_are_refused(tmp_path, values, message):
    Image.fromarray(values).save(tmp_path / "a.tif")
    message = rf"a\.tif cannot be read as an image .*{message}.*convert it to PNG"
    with pytest.raises(ValueError, match=message):
        pictures.pixels(tmp_path / "a.tif")


HALVES = np.zeros((32, 32, 4), np.uint8)  # left: transparent black; right: opaque red
HALVES[:, 16:] = (200, 0, 0, 255)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "palette.png", "palette.gif"])
def test_transparency_lies_on_white(tmp_path, name):
    image = Image.fromarray(HALVES)
    if name.startswith("palette"):
        image = Image.new("P", (32, 32))
        image.putpalette([0, 0, 0, 200, 0, 0])
        image.paste(1, (16, 0, 32, 32))
        image.save(tmp_path / name, transparency=0)
    else:
        image.save(tmp_path / name, lossless=True)
    found = pictures.pixels(tmp_path / name)
    assert found[5, 3].tolist() == [255, 255, 255] and found[5, 28].tolist() == [200, 0, 0]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_exif_orientation_is_followed(tmp_path, name):
    exif = Image.Exif()
    exif[274] = 6  # to be shown turned by 90° clockwise
    upper = np.zeros((32, 32, 3), np.uint8)
    upper[:16] = 255
    Image.fromarray(upper).save(tmp_path / name, exif=exif)
    found = pictures.pixels(tmp_path / name).astype(int)
    assert found[:, 20:].min() > 240 and found[:, :12].max() < 15  # above before, to the right now


def test_other_kinds_of_images(tmp_path):
    cyan = Image.fromarray(np.tile(np.array([255, 0, 0, 0], np.uint8), (8, 8, 1)), "CMYK")
    cyan.save(tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(pictures.pixels(tmp_path / "cmyk.jpg").astype(int) - (0, 255, 255)).max() < 5
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    for name in ("animation.gif", "pages.tiff"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        assert pictures.pixels(tmp_path / name)[0, 0].tolist() == [255, 0, 0]
    first.save(tmp_path / "strange.jpg", exif=b"Exif\0\0no such thing")
    assert pictures.pixels(tmp_path / "strange.jpg")[0, 0, 0] > 250


def test_a_colour_profile_is_applied(tmp_path):
    """A profile of red and blue exchanged: only a reader that applies it shows blue."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png", icc_profile=bytes(profile))
    assert pictures.pixels(tmp_path / "a.png")[0, 0].tolist() == [0, 0, 255]
    Image.new("RGB", (8, 8), "red").save(tmp_path / "b.png", icc_profile=b"damaged")
    assert pictures.pixels(tmp_path / "b.png")[0, 0].tolist() == [255, 0, 0]
