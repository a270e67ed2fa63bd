"""The three sizes on data sets of other sizes than the course's own."""

from __future__ import annotations

import pytest
import torch
from helpers import write_image_folder

from kdnotes import teachers
from kdnotes.course import profiles


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """More classes than any number of images in the smoke profile."""
    return write_image_folder(
        tmp_path_factory.mktemp("many"), train=(2,) * 310, test=(1,) * 310, grey=True
    )


def test_of_many_classes_each_is_in_every_split(many):
    splits = profiles.settings("smoke", many).splits()
    for split in (splits.train, splits.validation, splits.test):
        assert torch.bincount(split.targets, minlength=310).tolist() == [1] * 310


def test_of_many_classes_each_is_among_the_images_of_further_teachers(many, monkeypatch):
    trained = {}
    monkeypatch.setattr(teachers, "is_stored", lambda *one: True)

    def keep(factory, data, config):
        trained[id(data)] = data

    monkeypatch.setattr(teachers, "train_or_load", keep)
    profiles.settings("smoke", many).more_teachers()
    assert trained
    assert all(len(data.train.targets.unique()) == 310 for data in trained.values())


def test_of_a_small_data_set_all_images_are_taken(tmp_path):
    splits = profiles.settings(
        "lesson", write_image_folder(tmp_path, train=(9, 5), test=(3, 2))
    ).splits()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (12, 2, 5)


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_a_teachers_history_has_a_validation_accuracy_in_every_profile(name):
    config = profiles.settings(name).teacher_config()
    assert 0 < config.validate_every <= config.epochs == config.views.count
    if name == "lesson":
        assert config == teachers.LESSON_CONFIG


def test_unknown_profile_from_the_environment_is_named(monkeypatch):
    monkeypatch.setenv("KDNOTES_PROFILE", "huge")
    message = "profile must be one of smoke, lesson, full, not 'huge'"
    with pytest.raises(ValueError, match=message):
        profiles.settings()
