"""Losses of inner features against closed forms (decimals, loops), identities, torchdistill."""

from __future__ import annotations

import decimal
from decimal import Decimal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from loss_helpers import CASES, as_single, relative, say

from kdnotes import losses

FORMS = pytest.mark.parametrize("form", ["code", "paper"])


def random_feature(rng, batch, size, scale=None):
    """``[batch, channels, height, width]``, exact in float32, up to ±1e4; some images are zeros."""
    scale = 10.0 ** rng.uniform(-4, 4) if scale is None else scale
    feature = scale * rng.standard_normal((batch, rng.integers(1, 6), *size))
    feature *= rng.random((batch, 1, 1, 1)) > 0.05
    return as_single(np.clip(feature, -1e4, 1e4))


def random_pairs(rng, largest=6, equal_size=False):
    """One to three pairs of features (student's, teacher's); channels differ, and sizes may."""
    batch, pairs = rng.integers(1, 4), []
    for _ in range(rng.integers(1, 4)):
        size = rng.integers(1, largest, 2)
        other = size if equal_size or rng.random() < 0.5 else rng.integers(1, largest, 2)
        student, teacher = random_feature(rng, batch, size), random_feature(rng, batch, other)
        if rng.random() < 0.1 and tuple(size) == tuple(other):  # all but equal
            teacher = as_single(student * (1 + 1e-3 * rng.standard_normal(student.shape)))
        pairs.append((student, teacher))
    return pairs


def tensors(pairs, dtype=torch.float64):
    """(students, teachers), each a list."""
    return tuple(
        [torch.tensor(one, dtype=dtype) for one in side] for side in zip(*pairs, strict=True)
    )


def pooled(feature, size):
    """Means over the bins floor(i·H/h) … ceil((i + 1)·H/h), by loops."""
    (height, width), (h, w) = feature.shape[2:], size
    found = np.zeros((*feature.shape[:2], h, w))
    for i in range(h):
        for j in range(w):
            rows = slice(i * height // h, -(-(i + 1) * height // h))
            columns = slice(j * width // w, -(-(j + 1) * width // w))
            found[:, :, i, j] = feature[:, :, rows, columns].mean(axis=(2, 3))
    return found


def matched_by_hand(student, teacher):
    size = tuple(min(*sizes) for sizes in zip(student.shape[2:], teacher.shape[2:], strict=True))
    return pooled(student, size), pooled(teacher, size)


def closed_map(image):
    """Σ_c F_c² of one image ``[channels, height, width]``, divided by its norm, in decimals."""
    channels = [[Decimal(float(x)) for x in channel.flatten()] for channel in image]
    energy = [sum(x * x for x in place) for place in zip(*channels, strict=True)]
    norm = sum(e * e for e in energy).sqrt()
    return [e / norm if norm else e for e in energy]


def closed_attention(pairs, form):
    """One value a sample."""
    found = []
    with decimal.localcontext(prec=40):
        for i in range(len(pairs[0][0])):
            total = Decimal(0)
            for student, teacher in pairs:
                q_s, q_t = map(closed_map, (student[i], teacher[i]))
                square = sum((a - b) ** 2 for a, b in zip(q_s, q_t, strict=True))
                total += square / len(q_s) if form == "code" else square.sqrt()
            found.append(float(total))
    return np.array(found)


# Attention


@FORMS
def test_attention_equals_the_closed_form_in_1000_random_cases(form, capsys):
    rng = np.random.default_rng(0)
    worst = dict.fromkeys(("float64", "float32", "maps"), 0.0)
    largest = 0.0
    for _ in range(CASES):
        pairs = random_pairs(rng, largest=5)
        expected = closed_attention([matched_by_hand(*pair) for pair in pairs], form)
        for dtype, name in ((torch.float64, "float64"), (torch.float32, "float32")):
            each = losses.attention_transfer_loss(
                *tensors(pairs, dtype), form=form, reduction="none"
            )
            assert each.dtype == dtype and each.shape == (len(pairs[0][0]),)
            worst[name] = max(worst[name], relative(each.double(), expected))
        feature = pairs[0][0]
        with decimal.localcontext(prec=40):
            maps = np.array([[float(x) for x in closed_map(image)] for image in feature])
        worst["maps"] = max(
            worst["maps"], relative(losses.attention_map(torch.tensor(feature)), maps)
        )
        largest = max(largest, expected.max())
    found = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    say(
        capsys,
        f"attention_transfer_loss ({form}), {CASES:,} cases, values up to {largest:.2f}: "
        f"differences {found}",
    )
    assert worst["float64"] < 1e-14
    assert worst["maps"] < 1e-14
    assert worst["float32"] < 2e-6
    assert largest > 0.5


def torchdistill_attention(pairs, form):
    mid_level = pytest.importorskip("torchdistill.losses.mid_level")
    names = [f"stage{number}" for number in range(len(pairs))]
    module = {name: {"io": "output", "path": name} for name in names}
    loss = mid_level.ATLoss(
        {name: {"teacher": module[name], "student": module[name]} for name in names}, mode=form
    )
    student, teacher = (
        {name: {"output": one} for name, one in zip(names, side, strict=True)}
        for side in tensors(pairs)
    )
    return float(loss(student, teacher))


@FORMS
def test_attention_equals_torchdistill_in_1000_random_cases(form, capsys):
    """Which knows no maps of unequal size: these are pooled before."""
    rng, worst = np.random.default_rng(1), 0.0
    for _ in range(CASES):
        pairs = random_pairs(rng)
        expected = torchdistill_attention([matched_by_hand(*pair) for pair in pairs], form)
        found = losses.attention_transfer_loss(*tensors(pairs), form=form).item()
        worst = max(worst, relative(found, expected))
    say(
        capsys,
        f"attention_transfer_loss, torchdistill ATLoss ({form}), {CASES:,} cases: difference "
        f"{worst:.1e}",
    )
    assert worst < 1e-14


def stored_case(number):
    """Two pairs of features from sines, which need no generator; the scale grows to 1e4."""
    scale = (0.1, 30.0, 1e4)[number]
    pairs = []
    for channels, other, size in ((3, 2, 4), (2, 5, 3)):
        first, second = (
            np.arange(2 * c * size * size, dtype=float).reshape(2, c, size, size)
            for c in (channels, other)
        )
        pairs.append((scale * np.sin(first + number), np.cos(2 * second + number)))
    return pairs


# Values of torchdistill 1.1.5's ATLoss for ``stored_case(i)``, made by ``torchdistill_attention``.
TORCHDISTILL_1_1_5 = {
    "code": (0.07723553812366313, 0.06368123499070921, 0.07921347662361763),
    "paper": (1.3460970229180147, 1.2390231476861182, 1.379505205321887),
}


@FORMS
@pytest.mark.parametrize("number", range(3))
def test_attention_equals_stored_values_of_torchdistill(form, number):
    found = losses.attention_transfer_loss(*tensors(stored_case(number)), form=form).item()
    assert found == pytest.approx(TORCHDISTILL_1_1_5[form][number], rel=1e-12)


def test_attention_by_hand():
    """Σ_c F_c² = (3² + 4², 0) against (0, 5²): Q = (1, 0) and (0, 1)."""
    student = torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]]])
    teacher = torch.tensor([[[[0.0, -5.0]]]])
    assert torch.equal(losses.attention_map(student), torch.tensor([[1.0, 0.0]]))
    assert losses.attention_transfer_loss([student], [teacher]) == 1.0  # (1² + 1²)/2
    paper = losses.attention_transfer_loss([student], [teacher], form="paper")
    assert paper.item() == pytest.approx(2**0.5)
    both = ([student, teacher], [teacher, student])
    assert losses.attention_transfer_loss(*both) == 2.0
    uneven = torch.tensor([[[[1.0, 2.0]]]])
    torch.testing.assert_close(losses.attention_map(uneven), torch.tensor([[1.0, 4.0]]) / 17**0.5)


def test_the_code_form_is_the_square_of_the_paper_form_over_the_number_of_places():
    rng = np.random.default_rng(2)
    for _ in range(100):
        students, teachers = tensors(random_pairs(rng, equal_size=True)[:1])
        code, paper = (
            losses.attention_transfer_loss(students, teachers, form=form, reduction="none")
            for form in ("code", "paper")
        )
        torch.testing.assert_close(
            code, paper**2 / students[0][0, 0].numel(), rtol=1e-10, atol=1e-14
        )


def test_maps_are_blind_to_the_scale_of_a_sample_the_sign_and_the_order_of_channels():
    torch.manual_seed(0)
    feature = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    maps = losses.attention_map(feature)
    assert maps.shape == (3, 30) and (maps >= 0).all()
    torch.testing.assert_close(maps.norm(dim=1), torch.ones(3, dtype=torch.float64))
    scale = torch.tensor([1e-150, -3.0, 1e150], dtype=torch.float64).view(3, 1, 1, 1)
    for same in (
        feature * scale,
        feature[:, [2, 0, 3, 1]],
        -feature,
        torch.cat([feature, feature], 1),
    ):
        torch.testing.assert_close(losses.attention_map(same), maps, rtol=1e-12, atol=1e-14)
    assert losses.attention_transfer_loss([feature], [feature * scale]) < 1e-28
    single = losses.attention_map(feature[:, :, :1, :1])
    # One place says nothing.
    torch.testing.assert_close(single, torch.ones(3, 1, dtype=torch.float64))


@FORMS
@pytest.mark.parametrize("value", [1e4, 1e-4, 1e-30, 0.0])
def test_attention_is_finite_for_large_small_zero_and_equal_maps_in_float32(form, value):
    torch.manual_seed(0)
    feature = value * torch.randn(4, 3, 5, 5).clamp(-1, 1)
    feature[0] = 0.0
    feature[1] = value
    feature[2, :, 1:] = 0.0
    for teacher in (feature.clone(), value * torch.randn(4, 3, 5, 5), torch.zeros(4, 3, 5, 5)):
        student = feature.clone().requires_grad_()
        loss = losses.attention_transfer_loss([student], [teacher], form=form)
        gradient = torch.autograd.grad(loss, student)[0]
        assert torch.isfinite(loss) and torch.isfinite(gradient).all() and (gradient[0] == 0).all()
        # the gradient is as large as the map's distance, whatever the feature's scale
        if value and form == "code":
            assert gradient.abs().max() * value < 100
    zero = losses.attention_map(torch.zeros(2, 3, 4, 4))
    assert torch.equal(zero, torch.zeros(2, 16))


def test_a_gradient_is_that_of_the_map_without_the_division_by_its_largest_value():
    torch.manual_seed(0)
    feature = torch.randn(3, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    factor = torch.randn(3, 30, dtype=torch.float64)
    plain = F.normalize(feature.square().sum(1).flatten(1), dim=1)
    gradients = [
        torch.autograd.grad((maps * factor).sum(), feature)[0]
        for maps in (losses.attention_map(feature), plain)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-14)


# Sizes and hints


def test_match_size_is_the_mean_over_bins_in_1000_random_cases(capsys):
    rng, worst = np.random.default_rng(3), dict.fromkeys(("float64", "float32"), 0.0)
    for _ in range(CASES):
        student, teacher = (
            random_feature(rng, 2, rng.integers(1, 9, 2), scale=1.0) for _ in range(2)
        )
        expected = matched_by_hand(student, teacher)
        for dtype, name in ((torch.float64, "float64"), (torch.float32, "float32")):
            found = losses.match_size(
                *(torch.tensor(one, dtype=dtype) for one in (student, teacher))
            )
            for one, closed in zip(found, expected, strict=True):
                assert one.shape == closed.shape and one.dtype == dtype
                worst[name] = max(worst[name], relative(one.double(), closed))
    found = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    say(capsys, f"match_size, {CASES:,} cases: largest differences {found}")
    assert worst["float64"] < 1e-14 and worst["float32"] < 1e-6


def test_match_size_leaves_features_of_equal_size_and_pools_each_side_where_it_is_larger():
    torch.manual_seed(0)
    small, large, wide = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 8, 8), torch.randn(2, 1, 2, 8)
    same = losses.match_size(large, large[:, :2])
    assert same[0] is large and torch.equal(same[1], large[:, :2])
    means = large.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean(dim=(3, 5))
    for first, second in ((small, large), (large, small)):
        found = dict(
            zip((first.shape[1], second.shape[1]), losses.match_size(first, second), strict=True)
        )
        assert torch.equal(found[3], small)
        torch.testing.assert_close(found[5], means)
    assert [tuple(one.shape[2:]) for one in losses.match_size(small, wide)] == [(2, 4), (2, 4)]


def test_hint_loss_is_the_mean_of_squares_in_1000_random_cases(capsys):
    rng, worst = np.random.default_rng(4), dict.fromkeys(("float64", "float32"), 0.0)
    for _ in range(CASES):
        student = random_feature(rng, rng.integers(1, 5), rng.integers(1, 6, 2))
        noise = 10.0 ** rng.uniform(-4, 4) * rng.standard_normal(student.shape)
        teacher = as_single(student + noise)
        if rng.random() < 0.3:  # rows as well as maps
            student, teacher = (feature.reshape(len(feature), -1) for feature in (student, teacher))
        rows = ([feature.ravel() for feature in side] for side in (student, teacher))
        pairs = [zip(*pair, strict=True) for pair in zip(*rows, strict=True)]
        expected = np.array([np.mean([(a - b) ** 2 for a, b in pair]) for pair in pairs])
        for dtype, name in ((torch.float64, "float64"), (torch.float32, "float32")):
            pair = [torch.tensor(one, dtype=dtype) for one in (student, teacher)]
            each, mean = losses.hint_loss(*pair, reduction="none"), losses.hint_loss(*pair)
            worst[name] = max(worst[name], relative(each.double(), expected, 1e-300))
            worst[name] = max(worst[name], relative(mean.double(), expected.mean(), 1e-300))
    found = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    say(capsys, f"hint_loss, {CASES:,} cases: largest relative differences {found}")
    assert worst["float64"] < 1e-13 and worst["float32"] < 1e-4


# All of them


def test_gradcheck_of_features():
    torch.manual_seed(0)

    def leaf(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    first, second, other = leaf(2, 3, 4, 4), leaf(2, 2, 4, 4), leaf(2, 3, 2, 3)
    assert torch.autograd.gradcheck(losses.attention_map, first)
    assert torch.autograd.gradcheck(losses.match_size, (first, other))
    assert torch.autograd.gradcheck(losses.hint_loss, (first, leaf(2, 3, 4, 4)))
    for form in ("code", "paper"):
        for reduction in ("mean", "none"):

            def attention(a, b, c, named=(form, reduction)):
                return losses.attention_transfer_loss(
                    [a, a], [b, c], form=named[0], reduction=named[1]
                )

            assert torch.autograd.gradcheck(attention, (first, second, other))


def test_mean_of_none_is_mean_and_code_is_the_default():
    rng = np.random.default_rng(6)
    for _ in range(30):
        students, teachers = tensors(random_pairs(rng))
        for form in ("code", "paper"):
            each = losses.attention_transfer_loss(students, teachers, form=form, reduction="none")
            assert each.shape == (len(students[0]),)
            mean = losses.attention_transfer_loss(students, teachers, form=form)
            torch.testing.assert_close(each.mean(), mean)
        code = losses.attention_transfer_loss(students, teachers, form="code")
        assert losses.attention_transfer_loss(tuple(students), tuple(teachers)) == code


def test_arguments_and_the_generator_are_left_as_they_were():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 2, 2)
    before, state = [student.clone(), teacher.clone()], torch.get_rng_state()
    losses.attention_transfer_loss([student], [teacher])
    losses.hint_loss(*losses.match_size(student, teacher))
    assert all(map(torch.equal, (student, teacher), before))
    assert torch.equal(torch.get_rng_state(), state)
