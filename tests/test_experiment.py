"""The rule of a verdict, the number of seeds, the report, and the lab notebooks that ``kdnotes propose`` writes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch.nn.functional as F
from helpers import CONFIG, STUDENT, equal_states, tiny_data, tiny_teacher
from kdnotes.experiment import Experiment, judge, power, seeds_needed
from torch import nn

from kdnotes import cli, experiment, losses, methods, models, profiles, proposals, study, training
from kdnotes.metrics import Interval, mean_interval
from kdnotes.study import Study

PLAN = Experiment("Does it help?", "It helps.", "A little.", "new", "old", smallest_difference=0.005)


def interval(low: float, high: float, n: int = 5) -> Interval:
    return Interval((low + high) / 2, low, high, n)


def made_up(metric: str = "test_accuracy", **arms: list[float]) -> Study:
    """A study with these values of a metric, an arm's in the order of the seeds."""
    rows = [
        {"arm": arm, "seed": seed, metric: value, "seconds": 1.5, "created": "2026-01-01T00:00:00Z", "cached": False}
        for arm, values in arms.items()
        for seed, value in enumerate(values)
    ]
    return Study(pd.DataFrame(rows), {})


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.4, 0.9, "not resolved"), (-0.4, 0.5, "not resolved"), (0.0, 0.5, "not resolved"),
        (0.0, 2.0, "not resolved"),
        (0.01, 0.5, "gain shown"), (0.1, 0.9, "gain shown"), (0.49, 1.3, "gain shown"),
        (0.5, 1.3, "gain of δ or more shown"), (0.7, 1.3, "gain of δ or more shown"),
        (0.1, 0.49, "gain shown, gain of δ or more excluded"), (0.01, 0.02, "gain shown, gain of δ or more excluded"),
        (0.0, 0.49, "gain of δ or more excluded"), (-0.3, 0.3, "gain of δ or more excluded"),
        (-0.9, 0.0, "gain of δ or more excluded"), (-0.9, -0.01, "loss shown"), (-0.9, -0.2, "loss shown"),
    ],
)  # fmt: skip
def test_the_rule_asks_where_the_interval_lies_against_0_and_delta(low, high, expected):
    assert judge(interval(low, high), 0.5) == expected


def test_every_word_says_the_facts_that_hold_and_no_other():
    """An interval made of every pair of places against 0 and δ = 0.5, the boundaries among them."""
    places, said = (-0.7, -0.2, 0.0, 0.2, 0.3, 0.5, 0.6, 0.9), set()
    for low, high in itertools.combinations(places, 2):
        word = judge(interval(low, high), 0.5)
        assert (word in ("gain of δ or more shown", "gain shown", "gain shown, gain of δ or more excluded")) == (
            low > 0
        )
        assert (word == "gain of δ or more shown") == (low >= 0.5)
        assert (word.endswith("excluded") or word == "loss shown") == (high < 0.5)
        assert (word == "loss shown") == (high < 0)
        said.add(word)
    assert said == set(experiment.WORDS)


def test_one_seed_or_no_spread_resolves_nothing():
    for samples in ([9.0], [9.0, 9.0], [0.0, 0.0], [-9.0] * 3, [0.7910 - 0.7785, 0.8035 - 0.7910]):
        assert judge(mean_interval(samples), 0.5) == "not resolved"
        assert judge(mean_interval(samples), 1e-4) == "not resolved"


# Where the true gain is this, that word is a mistake, and comes up in 2.5 % of the experiments at most.
@pytest.mark.parametrize(
    ("true_gain", "mistake", "least"),
    [
        (0.0, "gain", 0.015), (-0.5, "gain", 0.0), (0.0, "loss shown", 0.015), (0.5, "gain of δ or more shown", 0.0),
        (0.9, "gain of δ or more shown", 0.005), (1.0, "gain of δ or more shown", 0.015),
        (1.0, "excluded", 0.015), (1.5, "excluded", 0.0),
    ],
)  # fmt: skip
def test_false_verdicts_are_as_rare_as_the_level_says(true_gain, mistake, least):
    draws = np.random.default_rng(0).normal(true_gain, 1, (3000, 6))
    words = [judge(mean_interval(draw), 1.0) for draw in draws]
    wrong = {"gain": ("gain of δ or more shown", "gain shown", "gain shown, gain of δ or more excluded")}
    share = np.mean([word in wrong.get(mistake, ()) or word.endswith(mistake) for word in words])
    assert least <= share < 0.035


def test_a_gain_just_below_delta_is_not_taken_for_one_of_delta():
    """The rule that called it supported once 0 was excluded said so in more than nine of ten experiments."""
    draws = np.random.default_rng(0).normal(0.9, 1.0, (2000, 20))
    intervals = [mean_interval(draw) for draw in draws]
    words = [judge(one, 1.0) for one in intervals]
    assert np.mean([one.low > 0 and one.high >= 1.0 for one in intervals]) > 0.9
    assert np.mean([word == "gain of δ or more shown" for word in words]) < 0.025


def test_shares_of_the_words_follow_the_noncentral_t():
    draws = np.random.default_rng(2).normal(1.8, 1.0, (4000, 8))
    words = [judge(mean_interval(draw), 1.0) for draw in draws]
    assert np.mean([word == "gain of δ or more shown" for word in words]) == pytest.approx(
        power(8, 0.8, 1.0), abs=0.025
    )


# From statsmodels 0.15: TTestPower().power(effect, nobs, 0.025, alternative="larger")
@pytest.mark.parametrize(
    ("seeds", "effect", "expected"),
    [(3, 1.0, 0.178610), (5, 0.5, 0.138453), (5, 1.0, 0.401320), (10, 1.0, 0.803096), (30, 0.4, 0.562791)],
)
def test_power_against_stored_values(seeds, effect, expected):
    assert power(seeds, effect, 1.0) == pytest.approx(expected, abs=1e-6)
    assert power(seeds, 3 * effect, 3.0) == pytest.approx(expected, abs=1e-6)


def test_power_against_statsmodels():
    reference = pytest.importorskip("statsmodels.stats.power").TTestPower()
    for seeds in (2, 3, 5, 12, 80):
        for effect in (0.1, 0.5, 1.0, 2.5):
            assert power(seeds, effect, 1.0) == pytest.approx(
                reference.power(effect, seeds, 0.025, alternative="larger"), abs=1e-6
            )


def test_power_by_simulation_and_its_mirror_image():
    draws = np.random.default_rng(1).normal(0.8, 1.0, (4000, 8))
    half = 2.364624 * draws.std(axis=1, ddof=1) / np.sqrt(8)
    above = (draws.mean(axis=1) - half > 0).mean()
    assert power(8, 0.8, 1.0) == pytest.approx(above, abs=0.025)
    below = ((draws - 0.8).mean(axis=1) + half < 0.8).mean()  # the same draws around 0
    assert below == pytest.approx(power(8, 0.8, 1.0), abs=0.025)


def test_seeds_needed_is_the_first_number_with_the_power_and_comes_with_a_range():
    differences = [0.9, 0.6, 1.1, 0.9, 0.7]
    for wanted in (0.8, 0.95):
        for smallest in (0.2, 0.05, 0.01):  # with thousands of seeds one more changes the power by 0.0001
            seeds = seeds_needed(differences, smallest, wanted).seeds
            sd = np.std(differences, ddof=1)
            assert power(seeds, smallest, sd) >= wanted > power(seeds - 1, smallest, sd)
    needed = seeds_needed(differences, 0.2)
    assert needed.sd == pytest.approx(np.std(differences, ddof=1))
    assert needed.low < needed.seeds < needed.high
    # 4·s²/χ² with the quantiles of four degrees of freedom
    assert needed.sd_low == pytest.approx(needed.sd * np.sqrt(4 / 11.1433), rel=1e-4)
    assert needed.sd_high == pytest.approx(needed.sd * np.sqrt(4 / 0.484419), rel=1e-4)


def test_seeds_needed_depends_on_the_spread_and_not_on_the_difference_seen():
    base = np.array([0.1, -0.2, 0.3, 0.0])
    assert seeds_needed(base, 0.2).seeds == seeds_needed(base + 5, 0.2).seeds
    assert seeds_needed(2 * base, 0.2).seeds > seeds_needed(base, 0.2).seeds > seeds_needed(base, 0.4).seeds


def test_a_plan_counts_seeds_by_the_spread_of_its_paired_differences():
    new, old = np.array([0.50, 0.71, 0.62, 0.40]), np.array([0.49, 0.69, 0.62, 0.38])
    needed = PLAN.seeds_needed(made_up(new=list(new), old=list(old)), 0.9)
    assert needed.sd == pytest.approx(np.std(new - old, ddof=1))
    assert needed.seeds == seeds_needed(new - old, 0.005, 0.9).seeds
    assert "0.5 points" in str(needed) and "90 %" in str(needed)


def test_seeds_needed_says_where_there_is_nothing_to_go_by():
    assert "One seed" in str(seeds_needed([0.3], 0.1)) and seeds_needed([0.3], 0.1).seeds is None
    assert "no spread" in str(seeds_needed([0.3, 0.3], 0.1))
    assert "more than 10,000" in str(seeds_needed([0.0, 1.0], 0.001))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"smallest_difference": 0.0}, "smallest_difference"), ({"smallest_difference": float("nan")}, "smallest"),
        ({"smallest_difference": 0.5}, "0.005 for 0.5 points"), ({"smallest_difference": "0.1"}, "smallest"),
        ({"hypothesis": " "}, "hypothesis"), ({"question": 3}, "question"), ({"baseline": "new"}, "two arms"),
        ({"metric": "test_speed"}, "larger_is_better"), ({"larger_is_better": 1}, "larger_is_better"),
    ],
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused(change, names):
    given = {"question": "Q?", "hypothesis": "H.", "prediction": "P.", "treatment": "new", "baseline": "old"}
    with pytest.raises((ValueError, TypeError), match=names):
        Experiment(**(given | change))


@pytest.mark.parametrize(
    "call",
    [
        lambda: judge(interval(0, 1), 0.0), lambda: power(1, 1.0, 1.0), lambda: power(2.0, 1.0, 1.0),
        lambda: power(5, 1.0, 0.0), lambda: power(5, 1.0, 1.0, level=95), lambda: seeds_needed([0.1, 0.2], -1.0),
        lambda: seeds_needed([0.1, 0.2], 0.1, power=80), lambda: seeds_needed([], 0.1),
    ],
)  # fmt: skip
def test_bad_numbers_are_refused(call):
    with pytest.raises((ValueError, TypeError), match="must"):
        call()


def test_the_verdict_of_a_study_and_its_direction():
    better = made_up(old=[0.80, 0.81, 0.79], new=[0.81, 0.822, 0.80])
    assert PLAN.verdict(better).word == "gain of δ or more shown"
    assert "+1.07 ± " in str(PLAN.verdict(better)) and "points" in str(PLAN.verdict(better))
    lower = made_up("test_nll", old=[0.70, 0.71, 0.69], new=[0.60, 0.612, 0.59])
    nll = Experiment("Q?", "H.", "P.", "new", "old", metric="test_nll", smallest_difference=0.02)
    assert nll.verdict(lower).word == "gain of δ or more shown"
    assert "A gain is shown: the interval lies wholly below 0." in nll.rule() and "δ is 0.02 nats." in nll.rule()
    assert "A gain of δ or more is excluded: it lies wholly above −0.02 nats" in nll.rule()
    assert "A gain of δ or more is shown: it lies wholly above +0.5 points, or begins there." in PLAN.rule()
    worse = Experiment("Q?", "H.", "P.", "old", "new", metric="test_nll", smallest_difference=0.02)
    assert worse.verdict(lower).word == "loss shown" and "other way" in str(worse.verdict(lower))
    with pytest.raises(ValueError, match="arm must be one of"):
        Experiment("Q?", "H.", "P.", "newer", "old").verdict(better)


@pytest.mark.parametrize(
    ("low", "high", "word", "meaning"),
    [
        (0.006, 0.02, "Gain of δ or more shown", "The whole interval is a gain of δ = 0.5 points or more."),
        (0.005, 0.02, "Gain of δ or more shown", "The whole interval is a gain of δ = 0.5 points or more."),
        (0.001, 0.02, "Gain shown", "There is a gain; whether it is δ = 0.5 points or more is open."),
        (0.001, 0.004, "Gain shown, gain of δ or more excluded", "There is a gain, but a smaller one than δ = 0.5 p"),
        (
            -0.01,
            0.002,
            "Gain of δ or more excluded",
            "A gain of δ = 0.5 points or more is excluded; whether there is a",
        ),
        (-0.02, -0.001, "Loss shown", "The difference goes the other way: any gain is excluded"),
        (-0.01, 0.02, "Not resolved", "neither a gain is shown, nor is one of δ or more excluded."),
        (0.01, 0.01, "Not resolved", "All seeds gave the same difference"),
    ],
)
def test_the_sentence_says_what_the_interval_allows(low, high, word, meaning):
    difference = interval(low, high)
    for plan, seen in (
        (PLAN, difference),
        (dataclasses.replace(PLAN, larger_is_better=False), Interval(-difference.mean, -high, -low, 5)),
    ):
        said = str(experiment.Verdict(judge(difference, 0.005), seen, plan))
        assert said.startswith(f"{word}. new − old: ")
        assert meaning in said


def test_a_plan_with_a_todo_gets_no_verdict():
    plan = Experiment("TODO", "H.", "P.", "new", "old")
    verdict = plan.verdict(made_up(old=[0.5, 0.6, 0.5], new=[0.9, 0.91, 0.9]))
    assert verdict.word == "not filled in" and "question" in str(verdict) and not verdict.filled_in
    assert "exactly the same values" not in str(verdict) and "0." not in str(verdict)  # nothing of the result
    same = plan.verdict(made_up(old=[0.5, 0.6, 0.5], new=[0.5, 0.6, 0.5]))
    assert "both arms gave exactly the same values" in str(same)
    assert PLAN.verdict(made_up(old=[0.5, 0.6, 0.5], new=[0.9, 0.91, 0.9])).filled_in


def test_a_todo_in_a_loss_keeps_the_verdict_back_where_the_arms_are_given(finished):
    arms, _, result = finished
    unfinished = arms | {"new": methods.OwnLoss(functools.partial(own_loss_to_do))}
    verdict = PLAN.verdict(result, unfinished)
    assert not verdict.filled_in and "the function own_loss_to_do still to do" in str(verdict)
    assert PLAN.verdict(result, arms).filled_in and PLAN.to_do(arms) == []


def own_loss(batch, given, strength):
    """Cross-entropy, some of it."""
    return strength * F.cross_entropy(batch.student_logits, batch.targets)


def own_loss_to_do(batch, given):
    return F.cross_entropy(batch.student_logits, batch.targets)  # TODO


@pytest.fixture(scope="module")
def finished():
    arms = {"old": methods.CrossEntropy(), "new": methods.OwnLoss(functools.partial(own_loss, strength=0.5))}
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG}
    return arms, shared, study.compare(arms, 3, **shared, workers=1, report=None)


def written(finished, folder, plan=PLAN, arms=None) -> str:
    known, shared, result = finished
    settings = profiles.settings("smoke")
    path = experiment.report(plan, result, arms or known, folder / "a" / "report.html", settings=settings, **shared)
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]  # no temporary file is left
    return path.read_text(encoding="utf-8")


def test_the_report_holds_plan_verdict_figure_source_and_provenance(finished, tmp_path):
    page, verdict = written(finished, tmp_path), PLAN.verdict(finished[2])
    read = int(finished[2].frame["cached"].sum())  # the cache is that of the whole test session
    for part in (f"Verdict: {verdict.word}", PLAN.hypothesis, PLAN.prediction, "+0.5 points", "Loss: own_loss",
                 "return strength * F.cross_entropy", "strength=0.5", "3: 0, 1, 2", tiny_data().key[:16], "StudentNet",
                 "smoke", "epochs=2", f"{read} read from the cache", "logical cores", str(verdict)):  # fmt: skip
        assert part.replace("'", "&#x27;") in page, part
    assert re.findall(r'<img alt="[^"]{40,}" src="data:image/png;base64,', page)


def test_the_report_needs_no_network_and_names_no_folder(finished, tmp_path):
    page = re.sub(r"base64,[^\"]+", "base64,", written(finished, tmp_path))
    assert not re.search(r"<script|<link|@import|https?://|src=\"(?!data:)", page)
    assert str(tmp_path) not in page and str(Path.home()) not in page and "0x" not in page
    assert not re.search(r"(?<![\w.~+/:<])/(?:home|root|Users|tmp|work|usr|var)/\w", page)


def test_the_report_on_a_folder_of_images_names_the_folder_without_its_path(finished, tmp_path):
    arms, shared, result = finished
    data = dataclasses.replace(shared["data"], name="folder:/somewhere/secret/pictures")
    page = written((arms, shared | {"data": data}, result), tmp_path)
    assert "folder:pictures: " in page and "secret" not in page


def test_a_report_that_is_not_filled_in_shows_no_result(finished, tmp_path):
    plan = Experiment("What?", "TODO", "P.", "new", "old")
    arms = finished[0] | {"new": methods.OwnLoss(own_loss_to_do)}
    for page in (written(finished, tmp_path, plan), written(finished, tmp_path, arms=arms)):
        assert "Not filled in" in page and "<img" not in page and "Verdict" not in page and " ± " not in page
    assert "the function own_loss_to_do" in page


def test_the_report_lists_what_was_seen_before_and_what_was_changed_since(finished, tmp_path):
    first = written(finished, tmp_path)
    assert "This is the first result on this page." in first and "changed before it" not in first
    assert written(finished, tmp_path).count("<li>") == 1  # nothing changed: no further look
    easier = dataclasses.replace(PLAN, smallest_difference=0.001, prediction="I knew it.")
    second = written(finished, tmp_path, easier)
    assert second.count("<li>") == 2 and "exploratory: a fresh sample" in second
    assert "smallest difference of interest (+0.5 points → +0.1 points)" in second and "prediction (" in second
    arms = finished[0] | {"new": methods.OwnLoss(functools.partial(own_loss, strength=0.25))}
    third = written(finished, tmp_path, easier, arms)
    assert third.count("<li>") == 3 and "changed before it: arm new" in third
    to_do = written(finished, tmp_path, Experiment("What?", "TODO", "P.", "new", "old"))
    assert to_do.count("<li>") == 3 and "<img" not in to_do  # emptying the plan does not make it forget
    assert written(finished, tmp_path).count("<li>") == 4


def test_a_page_of_another_kind_holds_no_earlier_look(finished, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "report.html").write_bytes(b"\xff not a page")
    assert written(finished, tmp_path).count("<li>") == 1


@pytest.mark.parametrize(
    ("change", "arms", "error", "message"),
    [
        ({"treatment": "nwe"}, {}, ValueError, "treatment must be one of the arms ['old', 'new'], not 'nwe'"),
        ({"baseline": "control"}, {}, ValueError, "baseline must be one of the arms"),
        ({"metric": "val_accuracy"}, {}, ValueError, "metric must be one of test_accuracy, "),
        (
            {},
            {"new": own_loss},
            TypeError,
            "arm 'new' must be a method, such as OwnLoss(own_loss, teacher), not a loss",
        ),
        ({}, {"new": functools.partial(own_loss, strength=1.0)}, TypeError, "arm 'new' must be a method"),
    ],
)
def test_arms_that_do_not_fit_the_plan_are_refused_before_training(change, arms, error, message):
    known = {"old": methods.CrossEntropy(), "new": methods.OwnLoss(functools.partial(own_loss, strength=0.5))}
    PLAN.check_arms(known)
    with pytest.raises(error, match=re.escape(message)):
        dataclasses.replace(PLAN, **change).check_arms(known | arms)


def test_the_report_replaces_an_earlier_one_completely_or_not_at_all(finished, tmp_path, monkeypatch):
    before = written(finished, tmp_path)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="cannot write"):
        experiment.report(
            PLAN, finished[2], finished[0], tmp_path / "a" / "report.html", settings=profiles.settings("smoke"),
            **finished[1],
        )  # fmt: skip
    assert (tmp_path / "a" / "report.html").read_text(encoding="utf-8") == before


def test_one_seed_and_a_metric_in_nats_can_be_drawn():
    one = made_up("test_nll", old=[0.7], new=[0.6], other=[0.65])
    plan = Experiment("Q?", "H.", "P.", "new", "old", metric="test_nll", smallest_difference=0.02)
    _, alt = plan.figure(one)
    assert "−0.1000 ± ∞ nats" in alt and plan.verdict(one).word == "not resolved"


EQUAL = {
    "attention": lambda t, pairs: methods.AttentionKD(t, 2.0, 0.1, pairs=pairs, weight=10.0),
    "hints": lambda t, pairs: methods.HintKD(t, 2.0, 0.1, pairs=(pairs[len(pairs) // 2],), weight=10.0),
    "progressive": lambda t, pairs: methods.AnnealedKD(t, (2.0, 2.0), (0.0, 0.5)),
    "mutual": lambda t, pairs: methods.MutualLearning(),
    "blank": lambda t, pairs: methods.KD(t, 2.0, 0.1),
}


CONTROLS = {
    "attention": lambda t: methods.KD(t, 2.0, 0.1),
    "hints": lambda t: methods.KD(t, 2.0, 0.1),
    "progressive": lambda t: methods.KD(t, 2.0, 0.25),
    "mutual": lambda t: methods.MutualLearning(weight=0.0),
    "blank": lambda t: methods.KD(t, 2.0, 0.1),
}


@pytest.mark.parametrize("name", EQUAL)
def test_the_proposal_trains_bit_for_bit_what_the_package_trains(name):
    given, teacher = proposals.PROPOSALS[name], tiny_teacher()
    names = {
        "functools": functools, "F": F, "nn": nn, "losses": losses, "models": models, "training": training,
        "s": SimpleNamespace(student=lambda: STUDENT), "teacher": teacher, "temperature": 2.0, "alpha": 0.1,
        "shared": {"student": STUDENT}, **{name: getattr(methods, name) for name in methods.__all__},
    }  # fmt: skip
    exec(given.loss + "\n" + given.arms, names)
    assert list(names["arms"]) == [given.baseline, given.treatment]
    pairs = models.stages_of_equal_size(training.build(STUDENT, 0), teacher.model)
    ours, reference = names["arms"][given.treatment], EQUAL[name](teacher, pairs)
    control = names["arms"][given.baseline]
    assert (type(control), vars(control)) == (type(CONTROLS[name](teacher)), vars(CONTROLS[name](teacher)))
    runs = [
        training.fit(training.build(names["shared"]["student"], 0), method, tiny_data(), CONFIG)
        for method in (ours, reference, control)
    ]
    assert equal_states(runs[0].state, runs[1].state)
    assert runs[0].start == runs[2].start
    assert equal_states(runs[0].state, runs[2].state) == (name == "blank")  # else the control lacks something


@pytest.mark.parametrize("name", proposals.PROPOSALS)
def test_a_written_notebook_is_valid_stable_and_clean(name, tmp_path, capsys):
    assert cli.main(["propose", name, "--output", str(tmp_path / "new")]) == 0
    path = tmp_path / "new" / f"{name}.ipynb"
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert text == nbformat.writes(proposals.notebook(name)) + "\n"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert ("TODO" in text) == (name == "blank")
    ruff = [sys.executable, "-m", "ruff"]
    common = ["--isolated", "--line-length", "120", path.name]  # in a folder where kdnotes is a package like any other
    for command in ([*ruff, "check", "--extend-select", "I,W,B,UP", *common], [*ruff, "format", "--check", *common]):
        done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "used"), [("mutual", ""), ("progressive", "t k"), ("hints", "tak"), ("blank", "tak")])
def test_a_proposal_sets_only_what_it_uses(name, used):
    cells = [cell.source for cell in proposals.notebook(name).cells if cell.cell_type == "code"]
    found = ("temperature = " in cells[0], "alpha = " in cells[0], "teacher = s.teacher()" in cells[1])
    assert found == tuple(letter in used for letter in "tak")


def test_proposals_are_judged_on_images_that_no_chapter_gave_to_a_student():
    source = "\n".join(cell.source for cell in proposals.notebook("hints").cells)
    (number,) = set(re.findall(r"splits\(subset_seed=(\d+)\)", source))
    settings = profiles.settings("lesson")
    own, fresh = (
        set(part.train.images.flatten(1).sum(1).tolist())
        for part in (settings.splits(), settings.splits(subset_seed=int(number)))
    )
    assert int(number) and len(fresh) > 400 and len(own & fresh) < 0.15 * len(fresh)
    assert [cell.metadata.get("tags") for cell in proposals.notebook("hints").cells][:3] == [None, ["parameters"], None]


def test_propose_overwrites_nothing_and_names_what_there_is(tmp_path, capsys):
    (tmp_path / "hints.ipynb").write_text("mine")
    assert cli.main(["propose", "hints", "--output", str(tmp_path)]) == 2
    assert (tmp_path / "hints.ipynb").read_text() == "mine"
    assert cli.main(["propose", "hint", "--output", str(tmp_path / "no")]) == 2
    assert cli.main(["propose", "blank", "--output", str(tmp_path / "hints.ipynb")]) == 2
    assert cli.main(["propose"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and all(line.startswith("kdnotes: ") for line in lines)
    assert "exists already" in lines[0]
    assert lines[1].endswith("must be one of attention, hints, progressive, mutual, blank, not 'hint'")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["hints.ipynb"]


# All cells of the notebooks in one process, as IPython runs them: five kernels would each import torch.
RUN_ALL = """
import sys
import nbformat
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for name in sys.argv[1:]:
    shell.reset(new_session=True)
    for cell in nbformat.read(f"{name}.ipynb", 4).cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source, store_history=True).raise_error()
"""


def test_all_proposals_execute_and_report(tmp_path):
    for name in proposals.PROPOSALS:
        proposals.write(name, tmp_path)
    environment = os.environ | {"KDNOTES_PROFILE": "smoke", "KDNOTES_WORKERS": "1", "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, *proposals.PROPOSALS],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name, given in proposals.PROPOSALS.items():
        page = (tmp_path / "reports" / f"{name}.html").read_text(encoding="utf-8")
        assert ("Not filled in" in page) == (name == "blank") and ("Verdict: " in page) == (name != "blank")
        assert given.loss.splitlines()[0].replace("'", "&#x27;") in page
        assert str(tmp_path) not in page


@pytest.mark.parametrize("name", proposals.PROPOSALS)
def test_the_hypothesis_of_a_proposal_is_what_the_rule_judges(name):
    assert "gains δ or more" in proposals.PROPOSALS[name].hypothesis
    text = nbformat.writes(proposals.notebook(name)).lower()
    assert "supported" not in text and "refuted" not in text


def test_a_proposal_executes_in_a_kernel_through_papermill(tmp_path):
    proposals.write("attention", tmp_path)
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "-p", "profile", "smoke"]
    done = subprocess.run(
        [*command, "attention.ipynb", "done.ipynb"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Verdict: " in (tmp_path / "reports" / "attention.html").read_text(encoding="utf-8")
    outputs = [output for cell in nbformat.read(tmp_path / "done.ipynb", 4).cells for output in cell.get("outputs", [])]
    assert "stderr" not in [output.get("name") for output in outputs]
    assert json.dumps(outputs).count("image/png") >= 1
