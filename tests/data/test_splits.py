"""A data set and its parts: how they are pickled, named and described."""

from __future__ import annotations

import dataclasses
import pickle

import torch
from helpers import tiny_data, write_image_folder

from kdnotes.data import load, sources


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
        test = dataclasses.replace(base.test, **{name: changed})
        keys.add(dataclasses.replace(base, test=test).key)
    assert len(keys) == 4


def test_the_largest_class_is_known_where_classes_are_unequal(tmp_path, fashion):
    assert (fashion.equal_classes, fashion.largest_class(), fashion.imbalance) == (True, 0.1, "")
    splits = load(write_image_folder(tmp_path, (200, 30, 20), (20, 3, 2)))
    assert splits.largest_class() == 0.8
    assert splits.largest_class("train") == 180 / 225
    assert not splits.equal_classes
    parts = "80.00% of train, 80.00% of validation, 80.00% of test"
    assert splits.imbalance == f"unequal classes: the largest holds {parts}"
    assert not load(train_images=100, without_classes=(3,)).equal_classes
