"""Comparisons: paired by construction, bit-equal for any number of workers, and summarised correctly."""

from __future__ import annotations

import dataclasses
import functools
import linecache
import os

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import (
    CLASSES,
    CONFIG,
    STUDENT,
    Drawing,
    DrawingStudent,
    equal_states,
    own_cache,  # noqa: F401
    tiny_data,
    tiny_teacher,
)
from scipy import stats

from kdnotes import store, teachers, training
from kdnotes import study as study_package
from kdnotes.data import load
from kdnotes.methods import CTKD, DML, KD, CrossEntropy, FitNets, GatedKD, LabelSmoothing
from kdnotes.models import Cohort, ResidualStudent, StudentNet
from kdnotes.study import Arm, NotPairedError, PerSeed, Study, compare, comparing, each, engine
from kdnotes.training import loop

pytestmark = pytest.mark.usefixtures("own_cache")
BIT_EQUAL = ["seconds", "created", "cached"]


def study(arms, seeds=2, **changes):
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG, "workers": 1, "report": None}
    return compare(arms, seeds, **(shared | changes))


def made_up(**columns):
    """A study whose results are given, not trained."""
    rows = [
        {"arm": arm, "seed": seed, "validation_accuracy": value - 0.01, "test_accuracy": value}
        for arm, values in columns.items()
        for seed, value in enumerate(values)
    ]
    return Study(pd.DataFrame(rows), {})


# Pairedness


def test_the_longest_runs_start_first_and_the_result_keeps_the_order_of_the_arms(monkeypatch):
    begun, original = [], engine.store.cached_run
    monkeypatch.setattr(
        engine.store,
        "cached_run",
        lambda *args, **kwargs: begun.append((args[3].epochs, args[3].seed)) or original(*args, **kwargs),
    )
    longer = Arm(CrossEntropy(), config=dataclasses.replace(CONFIG, epochs=2 * CONFIG.epochs))
    result = study({"short": Arm(CrossEntropy(), config=CONFIG), "long": longer}, workers=1)
    assert begun == [(epochs, seed) for epochs in (2 * CONFIG.epochs, CONFIG.epochs) for seed in (0, 1)]
    assert list(result.runs) == [(arm, seed) for arm in ("short", "long") for seed in (0, 1)]


def test_arms_start_from_equal_weights_and_see_equal_batches(monkeypatch):
    """Seen from inside the methods: whole state dicts before the first step, and every image of every batch."""
    starts, batches = {}, {}

    class Watching(CrossEntropy):
        label = ""

        def prepare(self, student, train, views, device):
            starts.setdefault(self.label, []).append({k: v.clone() for k, v in student.state_dict().items()})

        def terms(self, batch):
            batches.setdefault(self.label, []).append((batch.images.clone(), batch.positions.clone()))
            return super().terms(batch)

    class First(Watching):
        label = "first"

    class Second(Watching):
        label = "second"

        def terms(self, batch):
            torch.rand(5)
            return {"hard": 0.5 * super().terms(batch)["hard"]}

    arms = {"first": Arm(First(), config=CONFIG), "second": Arm(Second(), config=CONFIG)}
    monkeypatch.setattr("kdnotes.store.runs.fingerprint", lambda value: f"{id(value[2])} {value[4].seed}")
    result = study(arms)
    assert all(equal_states(a, b) for a, b in zip(starts["first"], starts["second"], strict=True))
    assert len(batches["first"]) == len(batches["second"]) == 2 * 2 * 4
    for (images, positions), (other, other_positions) in zip(batches["first"], batches["second"], strict=True):
        assert torch.equal(images, other) and torch.equal(positions, other_positions)
    assert not equal_states(starts["first"][0], starts["first"][1])  # seeds differ
    for seed in (0, 1):
        assert result.runs["first", seed].start == result.runs["second", seed].start
        assert result.runs["first", seed].order == result.runs["second", seed].order
        assert not equal_states(result.runs["first", seed].state, result.runs["second", seed].state)


@pytest.mark.parametrize("draws", [False, True])
def test_one_extra_draw_at_construction_is_refused(draws):
    network = DrawingStudent if draws else StudentNet
    other = Arm(LabelSmoothing(0.2), student=functools.partial(network, **STUDENT.keywords))
    if draws:
        with pytest.raises(NotPairedError, match="arms 'plain' and 'other' start from other weights at seed 0"):
            study({"plain": CrossEntropy(), "other": other}, 1)
    else:
        assert study({"plain": CrossEntropy(), "other": other}, 1).arms == ["plain", "other"]


def test_other_batches_are_refused(monkeypatch):
    honest, calls = loop._batches, []

    def shifted(count, config, epoch):
        calls.append(epoch)
        return honest(count, config, epoch + (len(calls) > CONFIG.epochs))  # the second run's epochs come one early

    monkeypatch.setattr(loop, "_batches", shifted)
    with pytest.raises(NotPairedError, match="see other batches at seed 0"):
        study({"plain": CrossEntropy(), "smooth": LabelSmoothing(0.2)}, 1)


def test_a_drawing_method_changes_nothing_for_itself_or_others():
    result = study({"plain": CrossEntropy(), "drawing": Drawing()})
    for seed in (0, 1):
        assert equal_states(result.runs["plain", seed].state, result.runs["drawing", seed].state)


def test_arms_may_differ_in_architecture_schedule_and_data():
    arms = {
        "plain": CrossEntropy(),
        "longer": Arm(CrossEntropy(), config=dataclasses.replace(CONFIG, epochs=3)),
        "residual": Arm(
            CrossEntropy(), student=functools.partial(ResidualStudent, num_classes=CLASSES, in_channels=1, width=2)
        ),
        "fewer": Arm(
            CrossEntropy(), data=dataclasses.replace(tiny_data(), train=tiny_data().train.take(torch.arange(30)))
        ),
    }
    assert study(arms, 1).frame["test_accuracy"].notna().all()


# A method for each seed, and finished students as teachers


def test_a_function_gives_each_seed_its_method_and_its_entry_in_the_cache(own_cache):  # noqa: F811
    asked = []

    def method(seed):
        asked.append(seed)
        return LabelSmoothing(0.1 + 0.2 * seed)

    both = study({"by seed": Arm(method), "first": LabelSmoothing(0.1), "second": LabelSmoothing(0.1 + 0.2)})
    assert sorted(asked) == [0, 1]
    for seed, same, different in ((0, "first", "second"), (1, "second", "first")):
        run = both.runs["by seed", seed]
        assert equal_states(run.state, both.runs[same, seed].state)
        assert not equal_states(run.state, both.runs[different, seed].state)
        assert run.start == both.runs["first", seed].start
    stored = len(list((own_cache / "runs").glob("*.safetensors")))
    assert stored == 4  # arms of equal meaning share an entry
    assert study({"by seed": Arm(method)}).frame["cached"].all()
    changed = study({"by seed": Arm(lambda seed: LabelSmoothing(0.1 + 0.3 * seed))}).frame["cached"]
    assert changed.tolist() == [True, False]


def test_a_bare_function_is_an_arm_too():
    result = study({"plain": CrossEntropy(), "smooth": lambda seed: LabelSmoothing(0.2)}, 1)
    assert result.arms == ["plain", "smooth"]


def test_a_generation_is_taught_by_the_one_before_seed_by_seed():
    first = study({"plain": CrossEntropy()})
    asked = {}

    def born_again(seed):
        config = dataclasses.replace(CONFIG, seed=seed)
        asked[seed] = teachers.from_run(first.runs["plain", seed], STUDENT, tiny_data(), config, CrossEntropy())
        return KD(asked[seed], 2.0, 0.0)

    second = study({"plain": CrossEntropy(), "born again": Arm(born_again)})
    for seed, teacher in asked.items():
        run = first.runs["plain", seed]
        assert equal_states(teacher.model.state_dict(), run.state) and not teacher.model.training
        torch.testing.assert_close(teacher.logits(tiny_data().test), run.test_logits, rtol=1e-4, atol=1e-5)
        assert teacher.record["metrics"] == run.metrics and teacher.record["config"]["seed"] == seed
        assert teacher.record["method"] == "CrossEntropy" and teacher.record["created"] == run.created
        assert second.runs["born again", seed].start == run.start
    assert asked[0].key != asked[1].key != tiny_teacher().key
    swapped = study({"born again": Arm(lambda seed: KD(asked[1 - seed], 2.0, 0.0))})
    assert not swapped.frame["cached"].any()


# A student for each seed


class Continued(StudentNet):
    """A student that starts from given weights."""

    def __init__(self, state, **sizes):
        super().__init__(**sizes)
        self.load_state_dict(state)


def test_each_seed_gets_its_student_and_its_entry_in_the_cache(own_cache):  # noqa: F811
    first = study({"plain": CrossEntropy()})
    asked = []

    def continued(seed):
        asked.append(seed)
        return functools.partial(Continued, first.runs["plain", seed].state, **STUDENT.keywords)

    arms = {"continued": Arm(CrossEntropy(), student=PerSeed(continued))}
    second = study(arms)
    assert asked == [0, 1]
    for seed in (0, 1):
        network = training.build(STUDENT, 7)
        network.load_state_dict(first.runs["plain", seed].state)
        run = second.runs["continued", seed]
        assert run.start == training.state_key(network)
        config = dataclasses.replace(CONFIG, seed=seed)
        assert equal_states(run.state, training.fit(network, CrossEntropy(), tiny_data(), config).state)
        assert run.order == first.runs["plain", seed].order
    assert len(list((own_cache / "runs").glob("*.safetensors"))) == 4
    assert study(arms).frame["cached"].all()
    swapped = Arm(CrossEntropy(), student=PerSeed(lambda seed: continued(1 - seed)))
    assert not study({"swapped": swapped}).frame["cached"].any()


def test_a_student_for_each_seed_may_be_what_all_arms_share():
    shared = PerSeed(lambda seed: functools.partial(StudentNet, num_classes=CLASSES, in_channels=1, width=2 + seed))
    result = study({"plain": CrossEntropy(), "smooth": LabelSmoothing(0.2)}, student=shared)
    for arm in result.arms:
        assert [result.runs[arm, seed].state["stages.stem.0.weight"].shape[0] for seed in (0, 1)] == [2, 3]


def test_arms_that_continue_from_other_weights_are_not_paired():
    def arm(start):
        state = training.build(STUDENT, start).state_dict()
        return Arm(
            CrossEntropy(), student=PerSeed(lambda seed: functools.partial(Continued, state, **STUDENT.keywords))
        )

    with pytest.raises(NotPairedError, match="arms 'a' and 'b' start from other weights at seed 0"):
        study({"a": arm(5), "b": arm(6)}, 1)


def test_a_stored_run_and_a_fresh_one_are_checked_for_equal_starts():
    state = training.build(STUDENT, 5).state_dict()
    study({"plain": CrossEntropy()}, 1)
    continued = Arm(CrossEntropy(), student=functools.partial(Continued, state, **STUDENT.keywords))
    with pytest.raises(NotPairedError, match="arms 'plain' and 'continued' start from other weights at seed 0"):
        study({"plain": CrossEntropy(), "continued": continued}, 1)


def test_a_stored_run_lists_its_tensors_in_the_order_of_a_fresh_one():
    arm = {"arm": Arm(DML(), student=functools.partial(Cohort, (STUDENT, STUDENT)))}
    fresh, stored = (study(arm, 1).runs["arm", 0] for _ in range(2))
    assert stored.cached and not fresh.cached
    assert list(stored.state) == list(fresh.state) and list(stored.kept) == list(fresh.kept)
    assert store.fingerprint([fresh.state, fresh.kept]) == store.fingerprint([stored.state, stored.kept])


def test_cohorts_are_paired_with_cohorts_and_come_back_with_all_peers():
    cohort = functools.partial(Cohort, (STUDENT, STUDENT))
    arms = {
        "alone": Arm(DML(weight=0.0), student=cohort),
        "mutual": Arm(DML(), student=cohort),
        "plain": CrossEntropy(),
    }
    first, again = study(arms, 1), study(arms, 1)
    assert again.frame["cached"].all()
    runs = [result.runs["mutual", 0] for result in (first, again)]
    assert equal_states(*(run.kept for run in runs)) and equal_states(*(run.state for run in runs))
    assert all(torch.equal(run.test_logits, run.kept["peers.test"][:, 0]) for run in runs)
    alone, plain = first.runs["alone", 0], first.runs["plain", 0]
    assert alone.start == runs[0].start and alone.order == runs[0].order == plain.order
    assert torch.equal(alone.test_logits, plain.test_logits) and not torch.equal(alone.test_logits, runs[0].test_logits)


# Determinism


def test_frames_are_bit_equal_for_1_and_2_workers_and_when_run_again(tmp_path, monkeypatch):
    data = load(train_images=40, validation_images=20, test_images=20)  # pickled as a recipe
    student = functools.partial(StudentNet, in_channels=1, width=2)
    teacher = functools.partial(StudentNet, in_channels=1, width=4)
    from kdnotes.teachers import Teacher

    # A class of a notebook: a worker gets it by value and cannot see its source.
    source = "class Mine(CrossEntropy):\n    def terms(self, batch):\n"
    source += "        return {'half': super().terms(batch)['hard'] / 2}\n"
    scope = {"CrossEntropy": CrossEntropy, "__name__": "__main__"}
    exec(compile(source, "ipykernel_7/1.py", "exec"), scope)
    monkeypatch.setitem(linecache.cache, "ipykernel_7/1.py", (len(source), None, source.splitlines(True), "1.py"))
    taught = [Teacher(training.build(teacher, seed), {}) for seed in (3, 4)]
    arms = {
        "mine": scope["Mine"](),
        "gated": GatedKD(tuple(taught), 2.0, 0.5),  # with parameters of its own
        "by seed": Arm(lambda seed: CTKD(taught[seed], 2.0, 0.5)),
        "hints": FitNets(taught[0], 2.0, 0.5, (("block1", "block2"),), alone=0.5),
        "peers": Arm(DML(), student=functools.partial(Cohort, (student, student))),
    }
    shared = {"student": student, "data": data, "config": CONFIG, "report": None}
    results = []
    for folder, workers in (("a", 1), ("b", 2)):
        monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / folder))
        results.append(compare(arms, 2, workers=workers, **shared))
        assert len(list((tmp_path / folder / "runs").glob("*.safetensors"))) == 10
    results.append(compare(arms, 2, workers=1, fresh=True, **shared))
    results.append(compare(arms, 2, workers=1, **shared))
    assert [bool(result.frame["cached"].all()) for result in results] == [False, False, False, True]
    for other in results[1:]:
        pd.testing.assert_frame_equal(
            results[0].frame.drop(columns=BIT_EQUAL), other.frame.drop(columns=BIT_EQUAL), check_exact=True
        )
        assert all(equal_states(results[0].runs[job].state, other.runs[job].state) for job in other.runs)
        assert all(equal_states(results[0].runs[job].kept, other.runs[job].kept) for job in other.runs)
        assert all(
            results[0].runs[job].history.drop(columns="seconds").equals(other.runs[job].history.drop(columns="seconds"))
            for job in other.runs
        )


def test_frame_is_tidy_and_in_the_order_of_the_arms():
    lines = []
    result = study({"b": CrossEntropy(), "a": LabelSmoothing(0.2)}, report=lines.append)
    assert result.frame[["arm", "seed"]].values.tolist() == [["b", 0], ["b", 1], ["a", 0], ["a", 1]]
    assert result.arms == ["b", "a"] and result.values("a").index.tolist() == [0, 1]
    for (arm, seed), run in result.runs.items():
        row = result.frame[(result.frame["arm"] == arm) & (result.frame["seed"] == seed)].iloc[0]
        assert all(row[name] == value for name, value in run.metrics.items())
    assert len(lines) == 2 and all("2 runs" in line and "computed now" in line for line in lines)
    study({"b": CrossEntropy()}, report=lines.append)
    assert "2 of 2 cached, computed 20" in lines[-1]


# Summaries


def test_difference_equals_the_paired_t_test():
    rng = np.random.default_rng(0)
    baseline = rng.normal(0.8, 0.03, 7)
    better = baseline + rng.normal(0.01, 0.004, 7)
    result = made_up(ce=baseline, kd=better)
    mean, low, high = result.difference("kd", "ce")
    expected = stats.ttest_rel(better, baseline).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((np.mean(better - baseline), expected.low, expected.high), rel=1e-9)
    assert result.difference("kd", "ce").resolved == (stats.ttest_rel(better, baseline).pvalue < 0.05)
    assert result.difference("ce", "kd").mean == pytest.approx(-mean)
    single = stats.ttest_1samp(baseline, 0).confidence_interval(0.95)
    assert tuple(result.interval("ce"))[1:] == pytest.approx((single.low, single.high))


def test_pairing_is_by_seed_not_by_row():
    rows = made_up(ce=[0.1, 0.2, 0.3], kd=[0.2, 0.3, 0.4])
    shuffled = Study(rows.frame.iloc[[2, 0, 1, 4, 5, 3]], {})
    assert shuffled.difference("kd", "ce").half_width == pytest.approx(0, abs=1e-12)


def test_table_says_which_differences_are_resolved():
    table = made_up(ce=[0.80, 0.81, 0.82], kd=[0.85, 0.86, 0.871], noise=[0.70, 0.95, 0.80]).table("ce")
    assert table["resolved"].to_dict() == {"ce": "", "kd": "yes", "noise": "no"}
    assert table.loc["kd", "difference from ce"].startswith("+5.03 ± ")
    assert table.loc["ce", "test_accuracy %"].startswith("81.00 ± ")


def test_differences_judged_together_are_corrected_for_their_number():
    rng = np.random.default_rng(1)
    result = made_up(**{arm: rng.normal(0.8, 0.01, 5) for arm in ("ce", "a", "b", "c")})
    pairs = {f"{arm} − ce": (arm, "ce") for arm in ("a", "b", "c")}
    corrected = result.differences(pairs)
    assert list(corrected) == list(pairs)
    for name, (arm, other) in pairs.items():
        expected = stats.ttest_rel(result.values(arm), result.values(other)).confidence_interval(1 - 0.05 / 3)
        assert tuple(corrected[name])[1:] == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert result.differences({"a − ce": ("a", "ce")}) == {"a − ce": result.difference("a", "ce")}
    uneven = study_package.together({"five": [1.0, 2.0, 3.0, 4.0, 5.5], "three": [1.0, 2.0, 3.5]})
    assert [interval.n for interval in uneven.values()] == [5, 3] and study_package.together({}) == {}


def test_table_judges_its_differences_together():
    """The difference of one arm is resolved by itself, and among three it is not: the table must not say "yes"."""
    steps = [0.010, 0.012, 0.030, 0.025, 0.004]
    ce = [0.80, 0.81, 0.82, 0.80, 0.81]
    kd = [base + step for base, step in zip(ce, steps, strict=True)]
    noise = {"n1": [0.70, 0.95, 0.80, 0.90, 0.60], "n2": [0.95, 0.70, 0.80, 0.60, 0.90]}
    assert made_up(ce=ce, kd=kd).table("ce").loc["kd", "resolved"] == "yes"
    among, alone = made_up(ce=ce, kd=kd, **noise), made_up(ce=ce, kd=kd).difference("kd", "ce")
    assert alone.resolved and not among.differences({arm: (arm, "ce") for arm in ("kd", "n1", "n2")})["kd"].resolved
    assert among.table("ce")["resolved"].to_dict() == {"ce": "", "kd": "only uncorrected", "n1": "no", "n2": "no"}
    assert among.table("ce").loc["kd", "difference from ce"].split(" ± ")[1] > f"{100 * alone.half_width:.2f}"


def test_two_seeds_that_happen_to_agree_resolve_nothing():
    result = made_up(ce=[0.7785, 0.7910], kd=[0.7910, 0.8035])
    assert result.table("ce").loc["kd"].to_dict() == {
        "test_accuracy %": "79.72 ± 7.94", "difference from ce": "+1.25 ± 0.00", "resolved": "no",
    }  # fmt: skip


def test_table_names_a_corrected_level_and_judges_by_it():
    result = made_up(ce=[0.80, 0.81, 0.82], kd=[0.85, 0.86, 0.871], near=[0.82, 0.835, 0.85])
    assert result.table("ce")["resolved"].to_dict() == {"ce": "", "kd": "yes", "near": "yes"}
    table = result.table("ce", level=0.999)
    assert table["resolved (99.9 %)"].to_dict() == {"ce": "", "kd": "yes", "near": "only uncorrected"}
    assert (
        table.loc["kd", "difference from ce (99.9 %)"]
        == result.difference("kd", "ce", level=0.999).points()
        != result.difference("kd", "ce").points()
    )
    assert table["test_accuracy %"].equals(result.table("ce")["test_accuracy %"])  # each arm alone stays at 95 %


def test_best_is_chosen_on_validation_only():
    result = made_up(a=[0.5, 0.6], b=[0.7, 0.8], c=[0.6, 0.6])
    assert result.best() == "b" and result.best(among=["a", "c"]) == "c"
    with pytest.raises(ValueError, match="must not be a test metric, but 'test_accuracy'"):
        result.best("test_accuracy")


def test_stored_runs_need_no_worker(own_cache, monkeypatch):  # noqa: F811
    handed_over = []

    class Counted(joblib.Parallel):
        def __call__(self, work):
            handed_over.append(len(work))
            return super().__call__(work)

    monkeypatch.setattr(engine, "Parallel", Counted)
    first = study({"plain": CrossEntropy()})
    again, more = study({"plain": CrossEntropy()}), study({"smooth": LabelSmoothing(0.1), "plain": CrossEntropy()}, 3)
    assert handed_over == [2, 3 + 1], "the stored runs went to the workers too"
    pd.testing.assert_frame_equal(first.frame.drop(columns=BIT_EQUAL), again.frame.drop(columns=BIT_EQUAL))
    assert more.frame["cached"].tolist() == [False] * 3 + [True] * 2 + [False]


def test_workers_come_from_the_environment_and_fresh_too(monkeypatch):
    monkeypatch.setenv("KDNOTES_WORKERS", "3")
    assert engine.number_of_workers(None) == 3 and engine.number_of_workers(2) == 2
    first = study({"ce": CrossEntropy()}, 1).frame
    monkeypatch.setenv("KDNOTES_FRESH", "1")
    assert not study({"ce": CrossEntropy()}, 1).frame["cached"].any() and not first["cached"].any()
    monkeypatch.delenv("KDNOTES_FRESH")
    assert study({"ce": CrossEntropy()}, 1).frame["cached"].all()


def test_arms_are_reported_in_their_order_whichever_finishes_first():
    lines = []
    arms = {"long": Arm(CrossEntropy(), config=dataclasses.replace(CONFIG, epochs=12)), "short": CrossEntropy()}
    compare(arms, 1, student=STUDENT, data=tiny_data(), config=CONFIG, workers=2, report=lines.append)
    assert [line.split(":")[0] for line in lines] == ["long", "short"]


@pytest.mark.parametrize("workers", [1, 2])
def test_each_calls_in_order_on_one_thread_whatever_the_number_of_workers(workers):
    def work(number, tensor):
        return os.getpid(), torch.get_num_threads(), float((tensor * number).sum())

    torch.set_num_threads(2)
    try:
        found = each(work, ((number, torch.ones(3)) for number in range(5)), workers)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert [value for _, _, value in found] == [0.0, 3.0, 6.0, 9.0, 12.0]
    assert {threads for _, threads, _ in found} == {1}
    assert (os.getpid() in {process for process, _, _ in found}) == (workers == 1)
    with pytest.raises(ZeroDivisionError):
        each(lambda number: 1 / number, [(1,), (0,)], workers)
    with pytest.raises(ValueError, match="workers"):
        each(work, [], 0)


# Threads, and a store that cannot be made


def test_workers_that_are_threads_are_refused_before_anything_is_trained(own_cache):  # noqa: F811
    """12 of 12 runs with dropout came out wrong, and were stored."""
    with joblib.parallel_config("threading"):
        with pytest.raises(
            ValueError, match=r"workers=4 must be processes, not threads \(ThreadingBackend .*workers=1"
        ):
            study({"ce": CrossEntropy()}, 12, workers=4)
        assert not list(own_cache.rglob("*.safetensors"))
        alone = study({"ce": CrossEntropy()}, 2, workers=1)
    with joblib.parallel_config("loky"):
        os.environ["KDNOTES_CACHE"] = str(own_cache / "other")
        processes = study({"ce": CrossEntropy()}, 2, workers=2)
    for seed in range(2):
        assert equal_states(alone.runs["ce", seed].state, processes.runs["ce", seed].state)


def test_whatever_starts_trainings_as_threads_stores_nothing_wrong(own_cache):  # noqa: F811
    """A backend that does not tell that it is one of threads: each training that is not refused is right."""

    def train(seed):
        try:
            return store.cached_run(STUDENT, CrossEntropy(), tiny_data(), dataclasses.replace(CONFIG, seed=seed))
        except RuntimeError as error:
            return str(error)

    found = joblib.Parallel(n_jobs=4, backend="threading")(joblib.delayed(train)(seed) for seed in range(12))
    refused = [one for one in found if isinstance(one, str)]
    assert len(refused) < 12 and all("one training at a time in a process" in one for one in refused)
    for seed, one in enumerate(found):
        if not isinstance(one, str):
            config = dataclasses.replace(CONFIG, seed=seed)
            right = training.fit(training.build(STUDENT, seed), CrossEntropy(), tiny_data(), config)
            assert equal_states(one.state, right.state)
    assert len(list((own_cache / "runs").glob("*.safetensors"))) == 12 - len(refused)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_run_tells_its_arm_and_seed(workers):
    with pytest.raises(ValueError, match="lower learning_rate") as caught:
        study({"fast": Arm(CrossEntropy(), config=dataclasses.replace(CONFIG, learning_rate=1e30))}, 1, workers=workers)
    assert "in arm 'fast' with seed 0" in caught.value.__notes__


def test_a_store_that_cannot_be_made_ends_a_comparison_at_once(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(comparing, "finish", lambda *_: pytest.fail("something was computed"))
    with pytest.raises(OSError, match=r"cannot create the cache folder .*set the variable KDNOTES_CACHE"):
        study({"ce": CrossEntropy()})
