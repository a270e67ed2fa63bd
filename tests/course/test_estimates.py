"""What a first run says beforehand: whether, of what, how long, and which choice is smaller."""

from __future__ import annotations

import pytest
from helpers import write_image_folder

from kdnotes import teachers
from kdnotes.course import estimates, profiles
from kdnotes.course.estimates import HIGH, LOW, Estimate, in_words


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch, tmp_path):
    monkeypatch.setattr(estimates, "_told", set())
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KDNOTES_WORKERS", "2")


@pytest.fixture
def own(tmp_path):
    """Settings for a folder of few images, in the smoke profile."""
    return profiles.settings("smoke", write_image_folder(tmp_path / "images", (14, 9), (7, 4)), 2)


@pytest.fixture
def slow(monkeypatch):
    """Every training takes 100 seconds alone, and every image a thousandth."""
    monkeypatch.setattr(estimates, "_alone", lambda *_: 100.0)
    monkeypatch.setattr(estimates, "_an_image", lambda *_: 0.001)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ((1, 3), "1 to 3 seconds"),
        ((0, 0), "1 to 2 seconds"),
        ((50, 119), "50 to 119 seconds"),
        ((84, 240), "1 to 4 minutes"),
        ((3000, 7199), "50 to 120 minutes"),
        ((3600, 7200), "1 to 2 hours"),
        ((90000, 200000), "25 to 56 hours"),
    ],
)
def test_a_range_is_told_in_a_unit_that_can_be_imagined(seconds, said):
    assert in_words(*seconds) == said


def test_a_range_of_several_cores():
    assert Estimate("x", 100.0, 4).range == (25 * LOW, 25 * HIGH)


def test_of_the_embedded_images_and_the_shipped_teacher_nothing_is_said(slow):
    s = profiles.settings("lesson")
    assert estimates.before_teacher(s) == ""
    assert estimates.before_comparison(s) == ""
    assert estimates.before_chapters(s, ["comparison", "temperature"]) == ""


def test_what_is_quick_is_not_announced(own):
    assert estimates.before_teacher(own) == ""  # measured: a second


def test_a_notebook_says_it_once_with_the_smaller_choice(own, slow, capsys):
    own.teacher()
    said = capsys.readouterr().out
    count = len(own.splits().train)
    assert said.startswith(f"To train first, once: a teacher, TeacherNet: {count} images, 1 epochs")
    assert "about 70 to 200 seconds" in said or "about 1 to 3 minutes" in said
    assert said.count("\n") == 1 and 'profile = "smoke"' in said
    own.teacher()
    assert capsys.readouterr().out == ""


def test_what_is_stored_is_not_announced(own, slow, capsys):
    teachers.train_or_load(*own.teacher_training())
    own.teacher()
    assert capsys.readouterr().out == ""
    assert estimates.before_comparison(own) == "" == estimates.before_chapters(own, ["relations"])


def test_a_comparison_is_announced_whole_and_its_teacher_not_again(own, slow, capsys):
    said = estimates.before_comparison(own, workers=4)
    trainings = estimates.REPORT * 2 + estimates.CHOICE * 2
    for part in (
        f"Nothing is stored for {own.dataset} yet. To be trained, once:\n  a teacher, TeacherNet",
        f"students: the time of about {trainings} trainings, about ",
        "on 4 processes", "a busy machine takes longer", "--profile smoke", "--seeds",
    ):  # fmt: skip
        assert part in said
    own.teacher()
    assert capsys.readouterr().out == ""


def test_chapters_are_announced_by_what_they_train(own, slow):
    def trainings(*names):
        estimates._told.clear()
        said = estimates.before_chapters(own, names)
        found = [word for word in said.split() if word.isdecimal()]
        return int(said.split("time of about ")[1].split()[0]) if "time of about" in said else found

    assert trainings("relations") == 2 * estimates.A_CHAPTER
    assert trainings("relations", "temperature") == 4 * estimates.A_CHAPTER
    assert trainings(*estimates.CHAPTERS) == 2 * estimates.THE_COURSE  # chapters share runs
    estimates._told.clear()
    alone = estimates.before_chapters(own, ["teachers_students_data"])
    assert "a teacher" in alone and "students" not in alone and "kdnotes run 2 4" in alone


def test_the_measured_step_is_of_this_machine_and_a_training_takes_about_as_long(own):
    """Within the range and a factor of four: a busy machine is no reason to fail."""
    factory, data, config = own.teacher_training()
    (found,) = estimates._teacher(own)
    run = teachers.train_or_load(factory, data, config, fresh=True).record
    assert found.seconds / 4 < run["seconds"] + 0.1 and run["seconds"] < 4 * found.seconds + 1
