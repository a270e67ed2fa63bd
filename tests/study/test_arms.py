"""Arms: a method and a student for each seed, and what makes arms unpaired."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from helpers import CONFIG, STUDENT, DrawingStudent, equal_states, study, tiny_data, tiny_teacher

from kdnotes import teachers, training
from kdnotes.methods import KD, CrossEntropy, LabelSmoothing
from kdnotes.models import StudentNet
from kdnotes.study import Arm, NotPairedError, PerSeed
from kdnotes.training import loop

pytestmark = pytest.mark.usefixtures("own_cache")


# A method for each seed, and finished students as teachers


def test_a_function_gives_each_seed_its_method_and_its_entry_in_the_cache(own_cache):
    asked = []

    def method(seed):
        asked.append(seed)
        return LabelSmoothing(0.1 + 0.2 * seed)

    first, second = LabelSmoothing(0.1), LabelSmoothing(0.1 + 0.2)
    both = study({"by seed": Arm(method), "first": first, "second": second})
    assert sorted(asked) == [0, 1]
    for seed, same, different in ((0, "first", "second"), (1, "second", "first")):
        run = both.runs["by seed", seed]
        assert equal_states(run.state, both.runs[same, seed].state)
        assert not equal_states(run.state, both.runs[different, seed].state)
        assert run.start == both.runs["first", seed].start
    stored = len(list((own_cache / "runs").glob("*.safetensors")))
    assert stored == 4  # arms of equal meaning share an entry
    assert study({"by seed": Arm(method)}).frame["cached"].all()
    changed = study({"by seed": Arm(lambda seed: LabelSmoothing(0.1 + 0.3 * seed))})
    assert changed.frame["cached"].tolist() == [True, False]


def test_a_bare_function_is_an_arm_too():
    result = study({"plain": CrossEntropy(), "smooth": lambda seed: LabelSmoothing(0.2)}, 1)
    assert result.arms == ["plain", "smooth"]


def test_a_generation_is_taught_by_the_one_before_seed_by_seed():
    first = study({"plain": CrossEntropy()})
    asked = {}

    def born_again(seed):
        config = dataclasses.replace(CONFIG, seed=seed)
        run = first.runs["plain", seed]
        asked[seed] = teachers.from_run(run, STUDENT, tiny_data(), config, CrossEntropy())
        return KD(asked[seed], 2.0, 0.0)

    second = study({"plain": CrossEntropy(), "born again": Arm(born_again)})
    for seed, teacher in asked.items():
        run = first.runs["plain", seed]
        assert equal_states(teacher.model.state_dict(), run.state) and not teacher.model.training
        logits = teacher.logits(tiny_data().test)
        torch.testing.assert_close(logits, run.test_logits, rtol=1e-4, atol=1e-5)
        assert teacher.record["metrics"] == run.metrics and teacher.record["config"]["seed"] == seed
        assert teacher.record["method"] == "CrossEntropy"
        assert teacher.record["created"] == run.created
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


def test_each_seed_gets_its_student_and_its_entry_in_the_cache(own_cache):
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
        assert equal_states(
            run.state, training.fit(network, CrossEntropy(), tiny_data(), config).state
        )
        assert run.order == first.runs["plain", seed].order
    assert len(list((own_cache / "runs").glob("*.safetensors"))) == 4
    assert study(arms).frame["cached"].all()
    swapped = Arm(CrossEntropy(), student=PerSeed(lambda seed: continued(1 - seed)))
    assert not study({"swapped": swapped}).frame["cached"].any()


def test_a_student_for_each_seed_may_be_what_all_arms_share():
    shared = PerSeed(lambda seed: functools.partial(STUDENT, width=2 + seed))
    result = study({"plain": CrossEntropy(), "smooth": LabelSmoothing(0.2)}, student=shared)
    for arm in result.arms:
        states = [result.runs[arm, seed].state for seed in (0, 1)]
        assert [len(state["stages.stem.0.weight"]) for state in states] == [2, 3]


# Arms that are not paired


@pytest.mark.parametrize("draws", [False, True])
def test_one_extra_draw_at_construction_is_refused(draws):
    network = DrawingStudent if draws else StudentNet
    other = Arm(LabelSmoothing(0.2), student=functools.partial(network, **STUDENT.keywords))
    if draws:
        message = "arms 'plain' and 'other' start from other weights at seed 0"
        with pytest.raises(NotPairedError, match=message):
            study({"plain": CrossEntropy(), "other": other}, 1)
    else:
        assert study({"plain": CrossEntropy(), "other": other}, 1).arms == ["plain", "other"]


def test_other_batches_are_refused(monkeypatch):
    honest, calls = loop._batches, []

    def shifted(count, config, epoch):
        calls.append(epoch)
        # The second run's epochs come one early.
        return honest(count, config, epoch + (len(calls) > CONFIG.epochs))

    monkeypatch.setattr(loop, "_batches", shifted)
    with pytest.raises(NotPairedError, match="see other batches at seed 0"):
        study({"plain": CrossEntropy(), "smooth": LabelSmoothing(0.2)}, 1)


def test_arms_that_continue_from_other_weights_are_not_paired():
    def arm(start):
        state = training.build(STUDENT, start).state_dict()
        student = functools.partial(Continued, state, **STUDENT.keywords)
        return Arm(CrossEntropy(), student=PerSeed(lambda seed: student))

    with pytest.raises(NotPairedError, match="arms 'a' and 'b' start from other weights at seed 0"):
        study({"a": arm(5), "b": arm(6)}, 1)


def test_a_stored_run_and_a_fresh_one_are_checked_for_equal_starts():
    state = training.build(STUDENT, 5).state_dict()
    study({"plain": CrossEntropy()}, 1)
    continued = Arm(CrossEntropy(), student=functools.partial(Continued, state, **STUDENT.keywords))
    message = "arms 'plain' and 'continued' start from other weights at seed 0"
    with pytest.raises(NotPairedError, match=message):
        study({"plain": CrossEntropy(), "continued": continued}, 1)
