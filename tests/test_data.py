"""Data sets and views: sizes, identity, normalisation, independence of company, and image folders."""

from __future__ import annotations

import dataclasses
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import own_cache, tiny_data, write_image_folder  # noqa: F401
from PIL import Image, ImageCms

from kdnotes.data import Split, Views, folders, load, pictures, sources, subsets
from kdnotes.data import views as views_module

OFFICIAL = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist


@pytest.fixture(scope="module")
def fashion():
    return load("fashion-mnist")


def test_sizes_kinds_and_stratification(fashion):
    for split, count in ((fashion.train, 10_000), (fashion.validation, 2_000), (fashion.test, 10_000)):
        assert split.images.shape == (count, 1, 32, 32) and split.images.dtype == torch.float32
        assert split.targets.shape == split.index.shape == (count,) and split.targets.dtype == torch.int64
        assert torch.bincount(split.targets).tolist() == [count // 10] * 10
        assert torch.equal(split.index, torch.arange(count)) and len(split) == count
    assert (fashion.num_classes, fashion.in_channels, len(set(fashion.classes))) == (10, 1, 10)


def test_train_is_normalised_with_its_own_statistics(fashion):
    std, mean = torch.std_mean(fashion.train.images.double())
    assert abs(mean) < 1e-5 and abs(std - 1) < 1e-5
    assert abs(fashion.test.images.mean()) > 1e-4  # by train's statistics, not its own
    pixels = fashion.pixels(fashion.test.images[:50]) * 255
    with np.load(sources.EMBEDDED) as arrays:
        official = torch.from_numpy(arrays["test_images"][:50]).float()
    assert (pixels[:, 0, 2:30, 2:30] - official).abs().max() < 1e-2
    border = torch.cat([pixels[:, 0, :2], pixels[:, 0, 30:]], 1)
    assert border.abs().max() < 1e-2


def test_no_image_is_in_two_splits(fashion):
    """Fashion-MNIST holds duplicates of its own; train and validation are disjoint as positions of the official set."""
    parts = [{image.numpy().tobytes() for image in split.images} for split in (fashion.train, fashion.validation)]
    assert len(parts[0]) > 9_990 and len(parts[1]) > 1_990
    assert not parts[0] & parts[1]


def test_embedded_file_has_its_checksum_and_damage_is_reported(tmp_path):
    raw = sources.EMBEDDED.read_bytes()
    damaged = tmp_path / "fashion_mnist.npz"
    damaged.write_bytes(raw[:5000] + bytes([raw[5000] ^ 1]) + raw[5001:])
    with pytest.raises(ValueError, match=r"fashion_mnist\.npz is damaged"):
        sources._embedded(damaged, sources.EMBEDDED_SHA256)
    with pytest.raises(ValueError, match="missing from the package"):
        sources._embedded(tmp_path / "nothing.npz", sources.EMBEDDED_SHA256)
    assert sources._embedded(sources.EMBEDDED, sources.EMBEDDED_SHA256)["train"][0].shape == (10_000, 28, 28)


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official files are not installed")
def test_build_script_makes_the_embedded_arrays(tmp_path, monkeypatch):
    from kdnotes.assets import build_fashion_mnist

    kept = {}
    monkeypatch.setattr(np, "savez_compressed", lambda target, **arrays: (kept.update(arrays), target.touch()))
    build_fashion_mnist.build(OFFICIAL, tmp_path / "again.npz")
    with np.load(sources.EMBEDDED) as arrays:
        assert set(arrays) == set(kept)
        assert all(np.array_equal(arrays[name], kept[name]) for name in kept)


def test_subsets_are_stratified_keep_index_and_normalisation_and_depend_on_the_seed(fashion):
    subset = load(train_images=53, validation_images=20, test_images=10)
    assert (len(subset.train), len(subset.validation), len(subset.test)) == (53, 20, 10)
    counts = torch.bincount(subset.train.targets, minlength=10)
    assert counts.min() == 5 and counts.max() == 6
    assert torch.equal(subset.train.images, fashion.train.images[subset.train.index])
    assert torch.equal(subset.train.targets, fashion.train.targets[subset.train.index])
    assert (subset.mean, subset.std) == (fashion.mean, fashion.std)
    other = load(train_images=53, validation_images=20, test_images=10, subset_seed=1)
    assert not torch.equal(other.train.index, subset.train.index)
    assert len({fashion.key, subset.key, other.key}) == 3
    sources._load_cached.cache_clear()
    assert load(train_images=53, validation_images=20, test_images=10).key == subset.key


def test_stratified_gives_uneven_classes_their_share():
    targets = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    chosen = subsets.stratified(targets, 10, 3, seed=0)
    assert torch.bincount(targets[chosen]).tolist() == [6, 3, 1]
    assert len(set(chosen.tolist())) == 10 and chosen.tolist() == sorted(chosen.tolist())


def test_without_classes_removes_them_from_training_alone(fashion):
    missing = load(train_images=100, without_classes=(3, 7))
    assert set(missing.train.targets.tolist()) == set(range(10)) - {3, 7} and len(missing.train) == 80
    assert len(missing.validation) == 2_000 and len(missing.test) == 10_000 and missing.num_classes == 10
    whole = load(train_images=100)
    kept = ~torch.isin(whole.train.targets, torch.tensor([3, 7]))
    assert torch.equal(missing.train.index, whole.train.index[kept])


def test_loaded_data_is_pickled_as_its_recipe():
    subset = load(train_images=50, test_images=20)
    raw = pickle.dumps(subset)
    assert len(raw) < 1_000
    sources._load_cached.cache_clear()
    assert pickle.loads(raw).key == subset.key


def test_data_made_from_loaded_data_is_pickled_with_its_own_images():
    subset = load(train_images=50, test_images=20)
    changed = dataclasses.replace(subset, train=subset.train.take(torch.arange(7)))
    again = pickle.loads(pickle.dumps(changed))
    assert len(again.train) == 7 and again.key == changed.key != subset.key


def test_key_depends_on_images_targets_and_index():
    base = tiny_data()
    keys = {base.key}
    for name in ("images", "targets", "index"):
        changed = getattr(base.test, name).clone()
        changed.view(-1)[0] += 1
        keys.add(dataclasses.replace(base, test=dataclasses.replace(base.test, **{name: changed})).key)
    assert len(keys) == 4


# Views


def slow_view(split: Split, position: int, views: Views, view: int) -> torch.Tensor:
    """One image, padded by repeating its border, cropped and flipped: the reference."""
    image, index = split.images[position], int(split.index[position])
    bits = int(np.random.Philox(key=[views.seed, view % views.count]).random_raw(index + 1)[-1]) >> 1
    span, pad = 2 * views.padding + 1, views.padding
    top, left = pad + bits % span - pad, pad + (bits >> 16) % span - pad
    padded = np.pad(image.numpy(), ((0, 0), (pad, pad), (pad, pad)), mode="edge")[:, top : top + 32, left : left + 32]
    return torch.from_numpy(padded[:, :, ::-1].copy() if views.flip and (bits >> 32) % 2 else padded.copy())


@pytest.mark.parametrize("views", [Views(), Views(3, padding=4, flip=False, seed=5), Views(1, padding=0), Views(2, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_views_equal_a_slow_reference(views, channels):
    split = tiny_data(channels).train
    for view in range(views.count):
        taken = views.take(split, torch.arange(20), view)
        expected = torch.stack([slow_view(split, position, views, view) for position in range(20)])
        assert torch.equal(taken, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("limit", [0, 2**30])
def test_a_reader_gives_what_take_gives_also_in_memory(channels, limit, monkeypatch):
    split, views, taken = tiny_data(channels).train, Views(3), []
    original = Views.take
    monkeypatch.setattr(views_module, "_KEPT_BYTES", limit)
    monkeypatch.setattr(Views, "take", lambda *args: taken.append(len(args[2])) or original(*args))
    read = views.reader(split)
    for positions in (torch.tensor([3]), torch.tensor([5, 0, 5, 19]), torch.arange(20)):
        for view in (0, 2, 0, 1):
            found, expected = read(positions, view), original(views, split, positions, view)
            assert torch.equal(found, expected) and found.stride() == expected.stride()
    assert taken == ([len(split)] * 3 if limit else [1] * 4 + [4] * 4 + [20] * 4)


def test_a_view_depends_on_the_image_alone_not_on_company_order_or_subset():
    split, views = tiny_data().train, Views()
    everything = views.take(split, torch.arange(60), 3)
    positions = torch.tensor([41, 7, 0, 59])
    assert torch.equal(views.take(split, positions, 3), everything[positions])
    assert torch.equal(views.take(split, torch.tensor([7]), 3), everything[[7]])
    subset = split.take(torch.tensor([7, 41]))
    assert torch.equal(views.take(subset, torch.tensor([1, 0]), 3), everything[[41, 7]])


def test_views_are_deterministic_leave_generators_alone_and_differ():
    split, views, everything = tiny_data().train, Views(), torch.arange(60)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    taken = [views.take(split, everything, view) for view in range(8)]
    assert torch.equal(torch.get_rng_state(), states[0]) and np.array_equal(np.random.get_state()[1], states[1])
    views_module._draws.cache_clear()
    assert torch.equal(views.take(split, everything, 5), taken[5])
    assert torch.equal(views.take(split, everything, 8 + 5), taken[5])
    distinct = len({tuple(v.flatten().tolist()) for v in taken})
    assert distinct == 8
    assert not torch.equal(Views(seed=1).take(split, everything, 0), taken[0])


def test_plain_view_is_the_image_and_shifts_and_flips_are_uniform():
    split = tiny_data().train
    plain = Views(count=1, padding=0, flip=False).take(split, torch.arange(60), 0)
    assert torch.equal(plain, split.images)
    draws = views_module._draws(0, 0, 50_000)
    for shift in (0, 16):
        shares = np.bincount((draws >> shift) % 5) / len(draws)
        assert np.abs(shares - 0.2).max() < 0.01
    assert abs(((draws >> 32) % 2).mean() - 0.5) < 0.01
    pairs = np.bincount((draws % 5) * 5 + (draws >> 16) % 5) / len(draws)
    assert np.abs(pairs - 0.04).max() < 0.005  # row and column shift are independent


# Other sources


@pytest.fixture
def image_folder(tmp_path):
    """Two classes of coloured noise, 12 training and 3 test images each, of a size that must be changed."""
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
        expected = torch.from_numpy(np.asarray(image.resize((32, 32))).copy()).permute(2, 0, 1).float() / 255
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
        "empty class": r"{}/train/cat holds no image \(.*add images of this class, or delete the folder",
        "no ending of an image": r"{}/train/cat holds no image \(a file that ends in \.png",
        "one image": "{}/train/cat holds 1 image, and one of each class is set aside .*add another image",
        "damaged": r"{}/train/cat/3\.png cannot be read as an image \(.*truncated.*\): replace it",
        "text": r"{}/train/cat/3\.png cannot be read as an image \(unknown format\): replace it",
        "link to nothing": r"{}/train/cat/new\.png cannot be read as an image \(.*No such file",
        "empty validation": "{}/validation holds no class folder: make one",
        "class in test alone": "{}/train/wolf does not exist, but {}/test/wolf does: add images of this class to train",
        "other classes": "{}/test/dog does not exist, but {}/train/dog does: add images of this class to test",
    }.items(),
)
def test_bad_image_folders_are_refused_with_the_file_and_the_remedy(image_folder, harm, message):
    damage(image_folder, harm)
    with pytest.raises(ValueError, match=message.replace("{}", re.escape(str(image_folder)))) as refused:
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
        for name in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt", ".hidden.jpg"):
            (cat / name).write_bytes(b"no image")
        (image_folder / part / "labels.csv").write_text("0.png,cat")
    sources._load_cached.cache_clear()
    sources._load_full.cache_clear()
    found = load(f"folder:{image_folder}")
    assert found.classes == ("cat", "dog") and found.key == expected.key


def test_files_come_in_the_order_of_torchvision(image_folder):
    """So the stored runs of a data set stay those of its images."""
    from torchvision.datasets import ImageFolder

    (image_folder / "train" / "cat" / "more").mkdir()
    (image_folder / "train" / "cat" / "10.png").rename(image_folder / "train" / "cat" / "more" / "0.PNG")
    found = folders.image_files(image_folder / "train")
    pairs = [(str(file), number) for number, files in enumerate(found.values()) for file in files]
    reference = ImageFolder(str(image_folder / "train"))
    assert pairs == reference.samples and list(found) == reference.classes


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
    assert np.array_equal(
        pictures.pixels(tmp_path / name), np.round(values / 257).astype(np.uint8)[..., None].repeat(3, 2)
    )


def test_grey_of_more_than_8_bits_in_rare_forms(tmp_path):
    values = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (32, 1))
    grey = np.round(values / 257).astype(np.uint8)
    Image.frombytes("I;16B", (32, 32), values.astype(">u2").tobytes()).save(tmp_path / "big endian.tif")
    (tmp_path / "10 bits.pgm").write_bytes(b"P5 32 32 1023\n" + (values // 64).astype(">u2").tobytes())
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
    with pytest.raises(ValueError, match=rf"a\.tif cannot be read as an image .*{message}.*convert it to PNG"):
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


@pytest.mark.parametrize("train", [(40, 40, 2), (200, 3, 2), (2, 2, 2), (2, 90, 2, 2, 30, 3)])
def test_every_class_is_in_every_split(tmp_path, train):
    splits = load(write_image_folder(tmp_path, train, (2,) * len(train)))
    for split in (splits.train, splits.validation, splits.test):
        assert torch.bincount(split.targets, minlength=len(train)).min() >= 1
    assert len(splits.validation) == max(len(train), sum(train) // 10)
    few = load(splits.name, train_images=len(train), validation_images=len(train), test_images=len(train))
    for split in (few.train, few.validation, few.test):
        assert torch.bincount(split.targets, minlength=len(train)).tolist() == [1] * len(train)
    with pytest.raises(ValueError, match=rf"train_images must lie in {len(train)} … .*at least one a class"):
        load(splits.name, train_images=len(train) - 1)


def test_the_largest_class_is_known_where_classes_are_unequal(tmp_path, fashion):
    assert (fashion.equal_classes, fashion.largest_class(), fashion.imbalance) == (True, 0.1, "")
    splits = load(write_image_folder(tmp_path, (200, 30, 20), (20, 3, 2)))
    assert splits.largest_class() == 0.8 and splits.largest_class("train") == 180 / 225 and not splits.equal_classes
    assert splits.imbalance == (
        "unequal classes: the largest holds 80.00% of train, 80.00% of validation, 80.00% of test"
    )
    assert not load(train_images=100, without_classes=(3,)).equal_classes


def test_missing_image_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        load(f"folder:{tmp_path / 'nowhere'}")


def test_cifar10_without_files_names_the_offline_default(own_cache):  # noqa: F811
    with pytest.raises(ValueError, match=r"cifar10 is not in .*download=True.*'fashion-mnist' is part of the package"):
        load("cifar10")


def test_cifar10_from_files_sets_5000_validation_images_aside(tmp_path, monkeypatch):
    """The official files are large: torchvision's reader is replaced by one with 50,000 small random arrays."""
    import torchvision.datasets

    class Fake:
        classes = [f"c{i}" for i in range(10)]  # noqa: RUF012

        def __init__(self, root, train, download):
            count = 50_000 if train else 10_000
            self.targets = (np.arange(count) % 10).tolist()
            self.data = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 32, 32, 3))

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Fake)
    arrays, classes = sources._cifar10(tmp_path, download=False)
    assert [len(arrays[part][1]) for part in ("train", "validation", "test")] == [45_000, 5_000, 10_000]
    assert np.bincount(arrays["validation"][1]).tolist() == [500] * 10 and classes == tuple(Fake.classes)
