"""Where data comes from: the embedded Fashion-MNIST and CIFAR-10."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kdnotes.data import load, sources

OFFICIAL = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist


def test_sizes_kinds_and_stratification(fashion):
    counts = {"train": 10_000, "validation": 2_000, "test": 10_000}
    for part, count in counts.items():
        split = getattr(fashion, part)
        assert split.images.shape == (count, 1, 32, 32) and split.images.dtype == torch.float32
        assert split.targets.shape == split.index.shape == (count,)
        assert split.targets.dtype == torch.int64
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
    """It holds duplicates of its own; train and validation are disjoint as positions of the set."""
    parts = [
        {image.numpy().tobytes() for image in split.images}
        for split in (fashion.train, fashion.validation)
    ]
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
    arrays = sources._embedded(sources.EMBEDDED, sources.EMBEDDED_SHA256)
    assert arrays["train"][0].shape == (10_000, 28, 28)


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official files are not installed")
def test_build_script_makes_the_embedded_arrays(tmp_path, monkeypatch):
    from kdnotes.assets import build_fashion_mnist

    kept = {}

    def keep(target, **arrays):
        kept.update(arrays)
        target.touch()

    monkeypatch.setattr(np, "savez_compressed", keep)
    build_fashion_mnist.build(OFFICIAL, tmp_path / "again.npz")
    with np.load(sources.EMBEDDED) as arrays:
        assert set(arrays) == set(kept)
        assert all(np.array_equal(arrays[name], kept[name]) for name in kept)


def test_cifar10_without_files_names_the_offline_default(own_cache):
    message = r"cifar10 is not in .*download=True.*'fashion-mnist' is part of the package"
    with pytest.raises(ValueError, match=message):
        load("cifar10")


def test_cifar10_from_files_sets_5000_validation_images_aside(tmp_path, monkeypatch):
    """For torchvision's reader of large files stands one of 50,000 small random arrays."""
    import torchvision.datasets

    class Fake:
        classes = [f"c{i}" for i in range(10)]  # noqa: RUF012

        def __init__(self, root, train, download):
            count = 50_000 if train else 10_000
            self.targets = (np.arange(count) % 10).tolist()
            self.data = np.broadcast_to(
                np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 32, 32, 3)
            )

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Fake)
    arrays, classes = sources._cifar10(tmp_path, download=False)
    sizes = {part: len(targets) for part, (_, targets) in arrays.items()}
    assert sizes == {"train": 45_000, "validation": 5_000, "test": 10_000}
    assert np.bincount(arrays["validation"][1]).tolist() == [500] * 10
    assert classes == tuple(Fake.classes)
