"""What the figures of the chapter on language models say to a screen reader: every number drawn."""

from __future__ import annotations

from unittest import mock

import pandas as pd
import pytest

from kdnotes.course.figures import language_models as figures
from kdnotes.show import plots
from kdnotes.study import Study


def study(**arms):
    rows = [
        {"arm": arm.replace("_", " "), "seed": seed, "outside": value, "kl": 2 * value}
        for arm, values in arms.items()
        for seed, value in enumerate(values)
    ]
    return Study(pd.DataFrame(rows), {})


@pytest.fixture
def said():
    """Calls a figure, and returns its alternative text."""

    def call(figure, *arguments):
        with mock.patch.object(plots, "show") as show:
            figure(*arguments)
        (drawn, alt), _ = show.call_args
        plots.plt.close(drawn)
        return alt

    return call


def test_panels_subtract_the_baseline_in_each_column(said):
    given = study(KD=[0.1, 0.2, 0.3], CE=[0.2, 0.4, 0.6])
    alt = said(figures.panels, given, "KD", {"outside": "mass", "kl": "nats"})
    assert "Differences from KD, the intervals of a panel hold together" in alt
    assert "mass: CE +0.200 ± 0.248. nats: CE +0.400 ± 0.497." in alt


def test_panels_correct_for_the_arms_that_they_show(said):
    values = [0.2, 0.4, 0.6]
    alone = said(figures.panels, study(KD=[0, 0, 0], a=values), "KD", {"kl": "nats"})
    beside = said(figures.panels, study(KD=[0, 0, 0], a=values, b=[1, 2, 4]), "KD", {"kl": "nats"})
    assert "a +0.800 ± 0.994" in alone and "a +0.800 ± 1.433" in beside


def test_steps_tell_each_mean_with_its_own_interval_and_one_seed_has_none(said):
    given = study(KD=[0.1, 0.3], KD_9=[0.1, 0.1])
    alt = said(figures.by_steps, given, {"KD": ["KD", "KD 9"]}, (3, 9))
    assert "outside the language, KD: 3 steps 0.200 ± 1.271, 9 steps 0.100 ± 0.000" in alt
    given = study(KD=[0.1], KD_9=[0.3])
    assert "3 steps 0.100 ± ∞" in said(figures.by_steps, given, {"KD": ["KD", "KD 9"]}, (3, 9))


def test_errors_are_means_over_students_in_per_cent(said):
    kinds = ("data", "kept", "own")
    tables = [
        pd.DataFrame({"place": [0, 1]} | {f"error_given_{kind}": [share, 0.5] for kind in kinds})
        for share in (0.1, 0.2)
    ]
    alt = said(figures.errors, tables)
    assert "after the data's prefixes: 15.0, 50.0" in alt and alt.count("15.0, 50.0") == 3


def test_a_point_a_seed_is_told_with_both_numbers(said):
    alt = said(figures.seeds, study(KD=[0.1, 0.25], CE=[0.5, 1.0]), ("KD", "CE"), "outside", "kl")
    assert "outside and kl. KD: 0.10 0.20, 0.25 0.50; CE: 0.50 1.00, 1.00 2.00." in alt
