"""Each library that is installed here behaves as the record says: these fail when it changes."""

from __future__ import annotations

import pytest

from kdnotes import libraries


def here(name):
    library = libraries.get(name)
    if libraries.installed(library.package) is None:
        pytest.skip(f"{library.package} is not installed")
    return library


@pytest.mark.parametrize("name", libraries.names())
def test_a_library_is_as_recorded(name):
    here(name)
    row = libraries.compared(name).loc[name]
    assert "as recorded" in row["verdict"], row["verdict"]


@pytest.mark.parametrize(
    "name", [one for one in libraries.names() if not libraries.recorded().loc[one, "problem"]]
)
def test_a_library_computes_its_formula(name):
    here(name)
    found = libraries.measure(name)
    for ratios in (found.default, found.cured):
        assert ratios.formula_error < 1e-4
    assert found.cured.loss == pytest.approx(1, abs=1e-4)
