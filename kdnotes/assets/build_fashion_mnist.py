"""Build fashion_mnist.npz, the embedded data set, from the official Fashion-MNIST files.

10,000 training and 2,000 validation images, stratified, from the official training set, and the
complete official test set. The four ``*-ubyte.gz`` files come from Debian's package
dataset-fashion-mnist or, with a network, from ``torchvision.datasets.FashionMNIST(root,
download=True)`` (folder ``root/FashionMNIST/raw``). The bytes written depend on the zlib version;
the arrays do not.

    python -m kdnotes.assets.build_fashion_mnist /usr/share/datasets/fashion-mnist
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np

from kdnotes.data.sources import EMBEDDED

TRAIN_PER_CLASS, VALIDATION_PER_CLASS = 1000, 200


def read(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes (magic 0x0801 or 0x0803) as an array."""
    raw = gzip.decompress(path.read_bytes())
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", count=dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def build(source: Path, target: Path = EMBEDDED) -> str:
    """Write the archive and return its SHA-256."""
    images, targets = (
        read(source / "train-images-idx3-ubyte.gz"),
        read(source / "train-labels-idx1-ubyte.gz"),
    )
    rng = np.random.default_rng(20150309)
    train, validation = [], []
    for label in range(10):
        order = rng.permutation(np.flatnonzero(targets == label))
        train.append(order[:TRAIN_PER_CLASS])
        validation.append(order[TRAIN_PER_CLASS : TRAIN_PER_CLASS + VALIDATION_PER_CLASS])
    train, validation = np.sort(np.concatenate(train)), np.sort(np.concatenate(validation))
    np.savez_compressed(
        target,
        train_images=images[train],
        train_targets=targets[train],
        validation_images=images[validation],
        validation_targets=targets[validation],
        test_images=read(source / "t10k-images-idx3-ubyte.gz"),
        test_targets=read(source / "t10k-labels-idx1-ubyte.gz"),
    )
    return hashlib.sha256(target.read_bytes()).hexdigest()


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
