"""Folders of images: what is read, in which order, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kdnotes.data import folders, load, sources


@pytest.fixture
def image_folder(tmp_path):
    """Two classes of noise, 12 training and 3 test images each, of a size that must be changed."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 3)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 120 if name == "cat" else 255, (40, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    return tmp_path


def test_image_folder(image_folder):
    splits = load(f"folder:{image_folder}")
    assert splits.classes == ("cat", "dog") and splits.in_channels == 3
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (22, 2, 6)
    assert torch.bincount(splits.validation.targets).tolist() == [1, 1]
    assert torch.bincount(splits.test.targets).tolist() == [3, 3]
    std, mean = torch.std_mean(splits.train.images.double(), dim=(0, 2, 3))
    assert mean.abs().max() < 1e-5 and (std - 1).abs().max() < 1e-5
    with Image.open(image_folder / "test" / "dog" / "1.png") as image:
        resized = torch.from_numpy(np.asarray(image.resize((32, 32))).copy())
    expected = resized.permute(2, 0, 1).float() / 255
    assert (splits.pixels(splits.test.images)[4] - expected).abs().max() < 1e-5


def test_image_folder_with_validation(image_folder):
    for name in ("cat", "dog"):
        (image_folder / "validation" / name).mkdir(parents=True)
        Image.new("L", (8, 8), 90).save(image_folder / "validation" / name / "grey.png")
    splits = load(f"folder:{image_folder}")
    assert (len(splits.train), len(splits.validation)) == (24, 2)
    assert (splits.pixels(splits.validation.images) - 90 / 255).abs().max() < 1e-5


def damage(root: Path, harm: str) -> None:
    cat = root / "train" / "cat"
    if harm == "no test":
        (root / "test").rename(root / "tset")
    elif harm in ("empty", "one class"):
        for name in ("cat", "dog") if harm == "empty" else ("dog",):
            for part in ("train", "test"):
                (root / part / name).rename(root / f"{part} {name}")
    elif harm in ("empty class", "one image"):
        for file in sorted(cat.iterdir())[harm == "one image" :]:
            file.unlink()
    elif harm == "no ending of an image":
        for file in cat.iterdir():
            file.rename(file.with_suffix(".txt"))
    elif harm == "damaged":
        (cat / "3.png").write_bytes((cat / "3.png").read_bytes()[:200])
    elif harm == "text":
        (cat / "3.png").write_text("not an image")
    elif harm == "link to nothing":
        (cat / "new.png").symlink_to("nowhere.png")
    elif harm == "empty validation":
        (root / "validation").mkdir()
    elif harm == "class in test alone":
        (root / "test" / "wolf").mkdir()
        Image.new("L", (8, 8)).save(root / "test" / "wolf" / "1.png")
    else:
        (root / "test" / "dog").rename(root / "test" / "wolf")


@pytest.mark.parametrize(
    ("harm", "message"),
    {
        "no test": r"needs train/<class>/\* and test/<class>/\*; {}/test does not exist",
        "empty": "{}/train holds no class folder: make one for each class",
        "one class": "{}/train must hold at least 2 class folders, not 1",
        "empty class": r"{}/train/cat holds no image \(.*add images of this class, or delete the "
        "folder",
        "no ending of an image": r"{}/train/cat holds no image \(a file that ends in \.png",
        "one image": "{}/train/cat holds 1 image, and one of each class is set aside .*add another "
        "image",
        "damaged": r"{}/train/cat/3\.png cannot be read as an image \(.*truncated.*\): replace it",
        "text": r"{}/train/cat/3\.png cannot be read as an image \(unknown format\): replace it",
        "link to nothing": r"{}/train/cat/new\.png cannot be read as an image \(.*No such file",
        "empty validation": "{}/validation holds no class folder: make one",
        "class in test alone": "{}/train/wolf does not exist, but {}/test/wolf does: add images of "
        "this class to train",
        "other classes": "{}/test/dog does not exist, but {}/train/dog does: add images of this "
        "class to test",
    }.items(),
)
def test_bad_image_folders_are_refused_with_the_file_and_the_remedy(image_folder, harm, message):
    damage(image_folder, harm)
    message = message.replace("{}", re.escape(str(image_folder)))
    with pytest.raises(ValueError, match=message) as refused:
        load(f"folder:{image_folder}")
    assert "\n" not in str(refused.value)


def test_what_nobody_sees_is_no_class_and_no_image(image_folder):
    expected = load(f"folder:{image_folder}")
    for part in ("train", "test"):
        for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
            (image_folder / part / name).mkdir()
            Image.new("RGB", (8, 8)).save(image_folder / part / name / "image.png")
        cat = image_folder / part / "cat"
        (cat / ".ipynb_checkpoints").mkdir()
        Image.new("RGB", (8, 8)).save(cat / ".ipynb_checkpoints" / "0-checkpoint.png")
        for name in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini", "a.txt", ".hidden.jpg"):
            (cat / name).write_bytes(b"no image")
        (image_folder / part / "labels.csv").write_text("0.png,cat")
    sources._load_cached.cache_clear()
    sources._load_full.cache_clear()
    found = load(f"folder:{image_folder}")
    assert found.classes == ("cat", "dog") and found.key == expected.key


def test_files_come_in_the_order_of_torchvision(image_folder):
    """So the stored runs of a data set stay those of its images."""
    from torchvision.datasets import ImageFolder

    cat = image_folder / "train" / "cat"
    (cat / "more").mkdir()
    (cat / "10.png").rename(cat / "more" / "0.PNG")
    found = folders.image_files(image_folder / "train")
    pairs = [(str(file), number) for number, files in enumerate(found.values()) for file in files]
    reference = ImageFolder(str(image_folder / "train"))
    assert pairs == reference.samples and list(found) == reference.classes


def test_missing_image_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        load(f"folder:{tmp_path / 'nowhere'}")
