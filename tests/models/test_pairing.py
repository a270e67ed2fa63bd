"""Which stages of unlike networks can be compared."""

from __future__ import annotations

import functools

import pytest
import torch
from helpers import COHORT, STUDENT, TRANSFORMER, tiny_teacher, train

from kdnotes.methods import AT
from kdnotes.models import TeacherNet, stage_pairs
from kdnotes.training import build

pytestmark = pytest.mark.usefixtures("own_cache")


def test_every_pair_of_a_transformer_and_a_convolutional_teacher_has_its_sentence():
    teacher = build(functools.partial(TeacherNet, width=2), 0)
    found = stage_pairs(build(TRANSFORMER, 0), teacher)
    assert len(found) == 3 * 4
    for ours in ("patches", "block1"):
        assert found[ours, "block1"] == found[ours, "block2"] == "pooled to 4×4"
        assert found[ours, "block3"] == "as they are"
        assert found[ours, "block4"] == "pooled to 2×2"
    why = "not: 'tokens' gives [2, 4], logits by token or peer, no places"
    assert {found["tokens", name] for name, _ in teacher.stages.named_children()} == {why}


def test_one_place_has_no_attention_to_speak_of():
    student = functools.partial(TRANSFORMER, patch=32)
    assert {one for (name, _), one in stage_pairs(build(student, 0), tiny_teacher().model).items()
            if name == "block1"} == {
        "hints alone: one place is left, whose attention map is 1 whatever the network sees"
    }  # fmt: skip
    run = train(AT(tiny_teacher(), 2.0, 0.5, (("block1", "block3"),)), student=student)
    assert run.history["attention"].abs().max() < 1e-9


def test_peers_are_no_map_either_and_what_has_no_stages_is_refused():
    found = stage_pairs(build(COHORT, 0), build(STUDENT, 0))
    assert all(sentence.startswith("not: 'peers' gives [2, 4]") for sentence in found.values())
    for given in ((torch.nn.Flatten(), STUDENT()), (STUDENT(), STUDENT)):
        with pytest.raises(TypeError, match=r"(student|teacher) must be a network with named stag"):
            stage_pairs(*given)
