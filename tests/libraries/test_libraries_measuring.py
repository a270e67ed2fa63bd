"""The measurement itself, of a library that is made up."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pytest
import torch
from made_up_libraries import broken, by_three, made_up, on_the_shelf, whole

from kdnotes import libraries
from kdnotes.libraries import Call, formulas, measuring


def test_the_example_is_the_same_everywhere():
    student, teacher, targets = libraries.example()
    assert targets[:8].tolist() == [5, 0, 3, 3, 7, 9, 3, 5]
    assert teacher[0, :3].tolist() == pytest.approx(EXPECTED_TEACHER, abs=1e-5)
    assert student[0, :3].tolist() == pytest.approx(EXPECTED_STUDENT, abs=1e-5)
    assert student.shape == teacher.shape == (64, 10) and student.dtype == torch.float32


EXPECTED_TEACHER = [0.35077, -0.92501, -2.17160]
EXPECTED_STUDENT = [1.09579, 0.47487, -0.46406]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"batch": 0}, ValueError, "batch must be at least 1"),
        ({"classes": 1}, ValueError, "classes must be at least 2"),
        ({"classes": 2.5}, TypeError, "classes must be an integer"),
    ],
)
def test_an_example_that_cannot_be(given, kind, message):
    with pytest.raises(kind, match=message):
        libraries.example(**given)


def test_ratios_of_a_known_loss(monkeypatch):
    on_the_shelf(monkeypatch, made_up())
    found = libraries.measure("made-up")
    assert found.version == version("torch")
    assert found.default.loss == pytest.approx(3 / 16, rel=1e-5)
    assert found.default.gradient == pytest.approx(3 / 16, rel=1e-5)
    assert found.default.cosine == pytest.approx(1, abs=1e-5)
    assert found.default.formula_error == pytest.approx(
        2, rel=1e-4
    )  # it is said to be KL, not 3·KL
    assert found.cured.loss == pytest.approx(1) and found.cured.formula_error < 1e-6


def test_weights_of_a_known_loss():
    found = measuring.shares(whole)
    assert (found.labels, found.distillation) == pytest.approx((0.5, 2), rel=1e-5)
    assert found.rest < 1e-5


def test_a_loss_that_is_no_sum_of_the_two_leaves_a_rest():
    assert measuring.shares(formulas.reverse).rest > 0.1


def test_another_direction_is_seen():
    call = Call("", formulas.reverse, formulas.KL)
    found = measuring.ratios(call)
    assert found.cosine < 0.99 and found.formula_error > 0.1


def test_a_measurement_leaves_generators_and_output_alone(monkeypatch, capsys):
    def loud(*given):
        print("buy me")
        torch.rand(3)
        return by_three(*given)

    on_the_shelf(monkeypatch, made_up(loss=loud))
    state = torch.get_rng_state()
    libraries.measure("made-up")
    assert torch.equal(state, torch.get_rng_state()) and capsys.readouterr().out == ""


def test_an_error_of_a_library_comes_through(monkeypatch):
    on_the_shelf(monkeypatch, made_up(loss=broken))
    with pytest.raises(RuntimeError, match="no such thing"):
        libraries.measure("made-up")


def test_an_unknown_library_is_named():
    for call in (libraries.get, libraries.measure, libraries.compared):
        with pytest.raises(ValueError, match=r"name must be .keras. or .*, not .kears."):
            call("kears")


def test_none_is_installed_without_its_package():
    assert libraries.installed("no-such-package-at-all") is None
    assert libraries.installed("torch") == version("torch")


@pytest.mark.parametrize("name", libraries.names())
def test_a_call_says_what_is_missing(name, monkeypatch):
    library = libraries.get(name)
    monkeypatch.setattr("kdnotes.libraries.library.installed", lambda package: None)
    calls = [library.default.loss, library.cured.loss, *(one.loss for one in library.weights)]
    for loss in calls:
        with pytest.raises(ModuleNotFoundError, match=f"{library.package} is not installed: pip"):
            loss(*libraries.example(batch=4, classes=13), 2.0)


def test_keras_on_another_backend_is_told(monkeypatch):
    keras = type(sys)("keras")
    keras.backend = type(sys)("backend")
    keras.backend.backend = lambda: "jax"
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setattr("kdnotes.libraries.library.installed", lambda package: "3.15.1")
    with pytest.raises(RuntimeError, match="keras runs on jax, not on torch: set KERAS_BACKEND"):
        libraries.get("keras").default.loss(*libraries.example(), 4.0)
