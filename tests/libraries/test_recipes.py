"""Recipes: a library's loss in our loop trains what ours does."""

from __future__ import annotations

import functools

import pytest
from helpers import tiny_teacher, train

from kdnotes import store
from kdnotes.libraries import formulas, recipes
from kdnotes.methods import KD

pytestmark = pytest.mark.usefixtures("own_cache")
RIGHT = [name for name in recipes.RECIPES if "default" not in name]


def needed(name):
    if name not in recipes.available():
        pytest.skip(f"{recipes.RECIPES[name][0]} is not installed")


def test_a_formula_as_a_method_is_kd():
    run = train(recipes.of_formula(formulas.R, tiny_teacher(), 2.0, 0.3))
    expected = train(KD(tiny_teacher(), 2.0, 0.3))
    assert_equal(run, expected)


def test_another_formula_is_not():
    run = train(recipes.of_formula(formulas.R_OVER_K, tiny_teacher(), 2.0, 0.3))
    with pytest.raises(AssertionError):
        assert_equal(run, train(KD(tiny_teacher(), 2.0, 0.3)))


def assert_equal(run, expected):
    """Equal but for rounding, which weights without a gradient (biases before a norm) show."""
    losses = [one.history["loss"].tolist() for one in (run, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert run.metrics["test_nll"] == pytest.approx(expected.metrics["test_nll"], rel=1e-3)


@pytest.mark.parametrize("alpha", [0.1, 0.5])
@pytest.mark.parametrize("name", RIGHT)
def test_a_librarys_loss_trains_our_student(name, alpha):
    needed(name)
    assert_equal(
        train(recipes.recipe(name, tiny_teacher(), 2.0, alpha)),
        train(KD(tiny_teacher(), 2.0, alpha)),
    )


def test_keras_default_trains_another_student():
    needed("keras")
    run = train(recipes.recipe("keras, default loss", tiny_teacher(), 2.0, 0.1))
    same = train(recipes.of_formula(formulas.CLIPPED_LOGITS, tiny_teacher(), 2.0, 0.1))
    assert_equal(run, same)
    with pytest.raises(AssertionError):
        assert_equal(run, train(KD(tiny_teacher(), 2.0, 0.1)))


def test_without_its_library_a_recipe_says_so(monkeypatch):
    monkeypatch.setattr("kdnotes.libraries.recipes.installed", lambda package: None)
    assert recipes.available() == () and recipes.recipes(tiny_teacher(), 2.0, 0.1) == {}
    with pytest.raises(ModuleNotFoundError, match="timm is not installed: pip install timm"):
        recipes.recipe("timm", tiny_teacher(), 2.0, 0.1)


def test_a_version_is_part_of_a_runs_name(monkeypatch):
    names = set()
    for version in ("1.0", "1.1", "1.1"):
        monkeypatch.setattr("kdnotes.libraries.recipes.installed", lambda package, v=version: v)
        method = recipes.recipe("timm", tiny_teacher(), 2.0, 0.1)
        names.add(store.fingerprint(method))
        assert "timm (1." in next(iter(recipes.recipes(tiny_teacher(), 2.0, 0.1)))
    assert len(names) == 2


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (("tim", 2.0, 0.1), ValueError, "name must be 'timm' or"),
        (("timm", 0.0, 0.1), ValueError, "temperature must be"),
        (("timm", 2.0, 1.1), ValueError, r"alpha must lie in \[0, 1\]"),
        (("timm", 2.0, "much"), TypeError, "alpha must be"),
    ],
)
def test_a_recipe_refuses(call, kind, message):
    name, temperature, alpha = call
    with pytest.raises(kind, match=message):
        recipes.recipe(name, tiny_teacher(), temperature, alpha)


def test_a_formula_must_be_one():
    with pytest.raises(TypeError, match="formula must be a Formula"):
        recipes.of_formula(functools.partial(abs), tiny_teacher(), 2.0, 0.1)
    with pytest.raises(ValueError, match="names must be 'timm' or"):
        recipes.recipes(tiny_teacher(), 2.0, 0.1, names=("nothing",))
