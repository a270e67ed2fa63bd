"""Parts of a data set: stratified, of given classes, in every split."""

from __future__ import annotations

import pytest
import torch
from helpers import write_image_folder

from kdnotes.data import load, sources, subsets


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
    assert set(missing.train.targets.tolist()) == set(range(10)) - {3, 7}
    assert len(missing.train) == 80
    assert len(missing.validation) == 2_000
    assert len(missing.test) == 10_000
    assert missing.num_classes == 10
    whole = load(train_images=100)
    kept = ~torch.isin(whole.train.targets, torch.tensor([3, 7]))
    assert torch.equal(missing.train.index, whole.train.index[kept])


@pytest.mark.parametrize("train", [(40, 40, 2), (200, 3, 2), (2, 2, 2), (2, 90, 2, 2, 30, 3)])
def test_every_class_is_in_every_split(tmp_path, train):
    splits = load(write_image_folder(tmp_path, train, (2,) * len(train)))
    for split in (splits.train, splits.validation, splits.test):
        assert torch.bincount(split.targets, minlength=len(train)).min() >= 1
    assert len(splits.validation) == max(len(train), sum(train) // 10)
    least = dict.fromkeys(("train_images", "validation_images", "test_images"), len(train))
    few = load(splits.name, **least)
    for split in (few.train, few.validation, few.test):
        assert torch.bincount(split.targets, minlength=len(train)).tolist() == [1] * len(train)
    message = rf"train_images must lie in {len(train)} … .*at least one a class"
    with pytest.raises(ValueError, match=message):
        load(splits.name, train_images=len(train) - 1)
