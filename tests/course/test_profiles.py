"""The three sizes on data sets of other sizes than the course's own."""

from __future__ import annotations

import pytest
import torch
from helpers import write_image_folder

from kdnotes import language, teachers
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


@pytest.fixture
def text(tmp_path):
    """Of 300 different lines; twice each."""
    path = tmp_path / "words.txt"
    path.write_text("\n".join(f"{number:b}" for number in [*range(300), *range(300)]))
    return profiles.settings("smoke", f"text:{path}")


def test_strings_are_surnames_or_the_readers_own(text):
    names = profiles.settings("smoke").corpus(40, 30, 20)
    assert names.name == "surnames" and len(names.train) == 40
    own = text.corpus(40, 30, 20)
    assert own.vocabulary.characters == "01"
    assert [len(one) for one in (own.train, own.validation, own.test)] == [40, 30, 20]


def test_of_a_small_text_all_lines_are_taken_in_proportion(text):
    own = text.corpus(4000, 1000, 1000)
    assert [len(one) for one in (own.train, own.validation, own.test)] == [200, 50, 50]


@pytest.mark.parametrize(
    ("lines", "wanted", "sizes"),
    [
        (60, (2000, 60, 2000), [20, 20, 20]),
        (60, (30, 20, 60), [20, 20, 20]),
        (100, (30, 20, 60), [27, 20, 53]),
        (1000, (2000, 60, 2000), [490, 20, 490]),
    ],
)
def test_a_text_of_sixty_lines_is_enough(tmp_path, lines, wanted, sizes):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(f"{number:b}" for number in range(lines)))
    own = profiles.settings("smoke", f"text:{path}").corpus(*wanted)
    assert [len(one) for one in (own.train, own.validation, own.test)] == sizes


def test_a_text_has_a_teacher_of_its_own(text, own_cache):
    """It has seen no string on which the students are measured."""
    names = profiles.settings("smoke")
    assert names.language_teacher(names.corpus(20, 20, 20)).key == language.surname_teacher().key
    own, seen = text.corpus(40, 30, 20), []

    def run(factory, method, corpus, schedule):
        seen.append(corpus)
        return trained(factory, method, corpus, schedule)

    trained = language.cached_run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "cached_run", run)
        teacher = text.language_teacher(own)
    assert teacher.vocabulary == own.vocabulary and teacher.model.context == own.context
    (corpus,) = seen
    assert len(corpus.train) == 250
    assert not {*corpus.train.text()} & {*own.validation.text(), *own.test.text()}
    assert text.language_teacher(own).key == teacher.key
