"""What a loss does not see: the teacher's features are changed, the student's stay.

``TABLE`` is the table of ``kdnotes.losses.relations``, with KD, hints and CRD beside.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kdnotes import losses

SIZE = 5  # channels of a feature, or classes


def contrast(student, teacher):
    """CRD's loss of the student's anchors, against all other samples of the batch."""
    ours, theirs = F.normalize(student, dim=1), F.normalize(teacher, dim=1)
    order = torch.stack([torch.roll(torch.arange(len(ours)), -i) for i in range(len(ours))])
    return losses.contrastive_loss((ours @ theirs.T).gather(1, order), 0.0, 0.5)


LOSSES = {
    "KD": losses.kd_loss,
    "hint": losses.hint_loss,
    "RKD-D": losses.relational_distance_loss,
    "RKD-A": losses.relational_angle_loss,
    "SP": losses.similarity_loss,
    "DIST": losses.dist_loss,
    "CRD": contrast,
}


def draws(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


CHANGES = {
    "rotation": lambda z: z @ torch.linalg.qr(draws(SIZE, SIZE))[0],
    "permutation": lambda z: z[:, [1, 2, 0, 4, 3]],
    "one scale": lambda z: 3 * z,
    "one vector added": lambda z: z + draws(SIZE),
    "a scale a sample": lambda z: z * draws(len(z), 1).exp(),
    "a number a sample": lambda z: z + draws(len(z), 1),
}
# Which changes a loss does not see.
TABLE = {
    "KD": {"a number a sample"},
    "hint": set(),
    "RKD-D": {"rotation", "permutation", "one scale", "one vector added"},
    "RKD-A": {"rotation", "permutation", "one scale", "one vector added"},
    "SP": {"rotation", "permutation", "one scale"},
    "DIST": {"a number a sample"},
    "CRD": {"one scale", "a scale a sample"},
}


def pair():
    torch.manual_seed(0)
    return torch.randn(2, 8, SIZE, dtype=torch.float64)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_loss_does_not_see_what_the_table_says_and_sees_the_rest(name, change):
    student, teacher = pair()
    value = LOSSES[name](student, teacher)
    changed = LOSSES[name](student, CHANGES[change](teacher))
    if change in TABLE[name]:
        torch.testing.assert_close(changed, value)
    else:
        assert abs(changed - value) > 1e-3 * value


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_sees_a_permutation_of_both_or_the_order_of_the_samples(name):
    student, teacher = pair()
    value, order = LOSSES[name](student, teacher), torch.randperm(8)
    permuted = map(CHANGES["permutation"], (student, teacher))
    torch.testing.assert_close(LOSSES[name](*permuted), value)
    torch.testing.assert_close(LOSSES[name](student[order], teacher[order]), value)


@pytest.mark.parametrize("name", ["hint", "RKD-D", "RKD-A", "SP", "CRD"])
def test_no_loss_of_features_sees_a_rotation_of_both(name):
    student, teacher = pair()
    rotated = map(CHANGES["rotation"], (student, teacher))
    torch.testing.assert_close(LOSSES[name](*rotated), LOSSES[name](student, teacher))


@pytest.mark.parametrize("name", ["RKD-D", "RKD-A", "SP"])
def test_relations_among_samples_are_the_same_in_a_wider_space(name):
    student, teacher = pair()
    wider = torch.cat([teacher, torch.zeros(8, 3)], dim=1)
    torch.testing.assert_close(LOSSES[name](student, wider), LOSSES[name](student, teacher))


def test_the_documented_table_is_this_one():
    """Of a row of the docstring "yes" is blind; its first row holds two changes."""
    lines = losses.relational_distance_loss.__globals__["__doc__"].splitlines()
    rows = [line.split()[-4:] for line in lines if line.split()[-1:] in (["yes"], ["no"])]
    changes = [("rotation", "permutation"), *((name,) for name in list(CHANGES)[2:])]
    assert len(rows) == len(changes)
    for row, names in zip(rows, changes, strict=True):
        for answer, loss in zip(row, ("RKD-D", "RKD-A", "SP", "DIST"), strict=True):
            assert {name in TABLE[loss] for name in names} == {answer == "yes"}
