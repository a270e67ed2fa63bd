"""Teachers: the bank against a live forward, identity, records, and the teacher that ships."""

from __future__ import annotations

import copy
import dataclasses
import functools
import shutil

import pytest
import torch
from helpers import CONFIG, STUDENT, equal_states, tiny_data, tiny_teacher

from kdnotes import metrics, store, teachers, training
from kdnotes.data import Views, load
from kdnotes.methods import LabelSmoothing
from kdnotes.models import TeacherNet, forward_features
from kdnotes.store import runs
from kdnotes.teachers import Teacher

pytestmark = pytest.mark.usefixtures("own_cache")


def test_bank_equals_a_live_forward_of_the_same_views_in_eval_mode():
    teacher, data, views = tiny_teacher(), tiny_data(), Views(3)
    bank = teacher.bank(data.train, views)
    assert bank.shape == (3, 60, 4) and bank.dtype == torch.float32 and not bank.requires_grad
    for view in range(3):
        images = views.take(data.train, torch.arange(60), view)
        torch.testing.assert_close(bank[view], teacher.model(images), rtol=1e-4, atol=1e-6)
        some = torch.tensor([9, 3])
        torch.testing.assert_close(
            bank[view, some], teacher.model(images[some]), rtol=1e-4, atol=1e-6
        )
    assert not torch.allclose(bank[0], bank[1])
    teacher.model.train()
    assert not torch.allclose(bank[0], teacher.model(views.take(data.train, torch.arange(60), 0)))


def test_bank_is_computed_once_and_again_for_other_views_data_or_weights(own_cache, monkeypatch):
    computed, honest = [], runs.write
    monkeypatch.setattr(runs, "write", lambda *given: computed.append(1) or honest(*given))
    data = tiny_data()
    for teacher, split, views in (
        (tiny_teacher(), data.train, Views(2)),
        (tiny_teacher(), data.train, Views(2)),
        (tiny_teacher(), data.test, Views(2)),
        (tiny_teacher(), data.train, Views(2, seed=1)),
        (tiny_teacher(1), data.train, Views(2)),
    ):
        teacher.bank(split, views)
    assert len(computed) == 4 and len(list((own_cache / "banks").glob("*.safetensors"))) == 4


@pytest.mark.parametrize(
    ("stage", "shape"), [("block1", (2, 16, 16)), ("block3", (8, 4, 4)), ("block4", (16, 2, 2))]
)
def test_features_equal_a_live_forward_of_the_same_views_in_eval_mode(stage, shape):
    teacher, data, views = tiny_teacher(), tiny_data(), Views(2)
    state = copy.deepcopy(teacher.model.state_dict())
    assert teacher.feature_shape(stage) == shape
    features = teacher.features(data.train, views, stage)
    assert features.shape == (2, 60, *shape)
    assert features.dtype == torch.float32
    assert not features.requires_grad
    assert not any(module.training for module in teacher.model.modules())
    assert equal_states(teacher.model.state_dict(), state)
    for view in range(2):
        images = views.take(data.train, torch.arange(60), view)
        expected = forward_features(teacher.model, images)[1][stage]
        torch.testing.assert_close(features[view], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(features[0], features[1])


def test_features_are_computed_once_for_each_stage_split_and_teacher(own_cache, monkeypatch):
    computed, honest = [], runs.write
    monkeypatch.setattr(runs, "write", lambda *given: computed.append(1) or honest(*given))
    data, views = tiny_data(), Views(2)
    teacher, again, other = tiny_teacher(), tiny_teacher(), tiny_teacher(1)
    first = teacher.features(data.train, views, "block2")
    assert torch.equal(again.features(data.train, views, "block2"), first) and len(computed) == 1
    assert not torch.equal(other.features(data.train, views, "block2"), first)
    teacher.features(data.test, views, "block2")
    teacher.features(data.train, Views(2, seed=1), "block2")
    teacher.features(data.train, views, "block1")
    teacher.bank(data.train, views)
    assert len(computed) == 6 and len(list((own_cache / "banks").glob("*.safetensors"))) == 6


def test_logits_are_those_of_the_plain_images():
    teacher, data = tiny_teacher(), tiny_data()
    torch.testing.assert_close(
        teacher.logits(data.test), teacher.model(data.test.images), rtol=1e-4, atol=1e-6
    )


def test_a_teacher_is_in_eval_mode_and_frozen_and_known_by_its_weights():
    teacher = tiny_teacher()
    assert not teacher.model.training
    assert not any(p.requires_grad for p in teacher.model.parameters())
    assert teacher.key == tiny_teacher().key != tiny_teacher(1).key
    changed = copy.deepcopy(teacher.model)
    changed.stages.block1[1].running_mean += 1e-3  # a buffer counts too
    assert Teacher(changed, {}).key != teacher.key
    renamed = copy.deepcopy(teacher.model)
    renamed.head[2] = torch.nn.Tanh()  # equal weights, another function
    assert Teacher(renamed, {}).key != teacher.key


def test_train_or_load_trains_once_and_records_how():
    first = teachers.train_or_load(STUDENT, tiny_data(), CONFIG)
    second = teachers.train_or_load(STUDENT, tiny_data(), CONFIG)
    smooth = teachers.train_or_load(STUDENT, tiny_data(), CONFIG, LabelSmoothing(0.2))
    assert first.record == second.record and first.key == second.key != smooth.key
    assert first.record["config"] == dataclasses.asdict(CONFIG)
    assert (first.record["method"], smooth.record["method"]) == ("CrossEntropy", "LabelSmoothing")
    assert first.record["data"] == "tiny, 60 training images"
    assert "StudentNet" in first.record["architecture"]
    assert len(first.record["history"]["loss"]) == 2
    fresh = metrics.evaluate(first.logits(tiny_data().test), tiny_data().test.targets)
    assert fresh["accuracy"] == first.record["metrics"]["test_accuracy"]
    assert fresh["nll"] == pytest.approx(first.record["metrics"]["test_nll"], rel=1e-5)


def test_a_teacher_that_is_not_finite_is_named_where_it_is_asked_and_nothing_of_it_is_stored(
    own_cache,
):
    """In the two images that are looked at first, or only later."""
    data, teacher = tiny_data(), tiny_teacher()
    teacher.model.stages.block4[1].weight.data[0] = float("nan")
    message = r"teacher \(TeacherNet\) must give .*'stages\.block4\.1\.weight' is not finite"
    with pytest.raises(ValueError, match=message):
        teacher.logits(data.test)
    message = r"the outputs of 'block4' of the teacher \(TeacherNet\) must be finite"
    with pytest.raises(ValueError, match=message):
        teacher.features(data.train, Views(2), "block4")
    later = dataclasses.replace(data.test, images=data.test.images.clone())
    later.images[7] = float("inf")
    message = r"the logits of the teacher \(TeacherNet\) must be finite, but 4 of 160"
    with pytest.raises(ValueError, match=message):
        tiny_teacher().logits(later)
    assert not list(own_cache.rglob("*.safetensors"))
    # The stages before are as they were.
    assert teacher.features(data.train, Views(2), "block3").isfinite().all()


# The shipped teacher


def test_shipped_teacher_is_as_good_as_its_record_says():
    """All 10,000 test images, evaluated again; another machine may round a few to the other way."""
    teacher, data = teachers.lesson_teacher(), load("fashion-mnist")
    logits = training.predict(teacher.model, data.test.images)
    record = teacher.record["metrics"]
    fresh = metrics.evaluate(logits, data.test.targets)
    assert abs(fresh["accuracy"] - record["test_accuracy"]) <= 5e-4
    assert fresh["nll"] == pytest.approx(record["test_nll"], abs=1e-3)
    assert fresh["ece"] == pytest.approx(record["test_ece"], abs=1e-3)
    assert fresh["accuracy"] > 0.9


def test_shipped_teacher_was_trained_as_the_command_trains_it():
    record = teachers.lesson_teacher().record
    assert record["config"] == dataclasses.asdict(teachers.LESSON_CONFIG)
    assert record["method"] == "CrossEntropy" and record["data"].startswith("fashion-mnist, 10000")
    assert {"seconds", "created", "torch"} <= set(record)


def test_train_lesson_teacher_writes_what_lesson_teacher_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(teachers, "load", lambda name: tiny_data())
    monkeypatch.setattr(teachers, "LESSON_CONFIG", dataclasses.replace(CONFIG, epochs=1))
    tiny = functools.partial(TeacherNet, num_classes=4, in_channels=1, width=2)
    monkeypatch.setattr(teachers, "LESSON_FACTORY", tiny)
    path = tmp_path / "teacher.safetensors"
    made = teachers.train_lesson_teacher(path)
    read = teachers.lesson_teacher(path)
    assert read.key == made.key and read.record == made.record
    raw = path.read_bytes()
    teachers.train_lesson_teacher(path)
    assert path.read_bytes() == raw
    teachers.train_lesson_teacher(path, fresh=True)
    again = teachers.lesson_teacher(path)
    assert again.key == made.key and again.record["metrics"] == made.record["metrics"]


def test_a_damaged_or_foreign_checkpoint_is_named_in_one_line(tmp_path):
    path = tmp_path / "teacher.safetensors"
    with pytest.raises(ValueError, match="missing or damaged"):
        teachers.lesson_teacher(path)
    shutil.copy(teachers.SHIPPED, path)
    raw = path.read_bytes()
    path.write_bytes(raw[:-100] + bytes([raw[-100] ^ 1]) + raw[-99:])
    with pytest.raises(ValueError, match="its checksum differs"):
        teachers.lesson_teacher(path)
    for model in (
        TeacherNet(in_channels=1, width=8),
        TeacherNet(num_classes=9, in_channels=1, width=16),
    ):
        store.write(path, {name: t.contiguous() for name, t in model.state_dict().items()}, {})
        message = "checkpoint of another architecture than TeacherNet"
        with pytest.raises(ValueError, match=message) as caught:
            teachers.lesson_teacher(path)
        assert "\n" not in str(caught.value) and "tensors differ" in str(caught.value)
