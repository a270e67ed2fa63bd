"""The benchmark of language models in its quick mode: what it prints and writes."""

from __future__ import annotations

import json

import pytest

from kdnotes import cli
from kdnotes.course import language_bench

pytestmark = pytest.mark.usefixtures("own_cache")


def test_quick_run_fills_every_figure_and_writes_json(tmp_path, capsys):
    output = tmp_path / "bench.json"
    assert cli.main(["bench", "--language", "--quick", "--output", str(output)]) == 0
    figures, table = json.loads(output.read_text()), capsys.readouterr().out
    assert [file.name for file in tmp_path.glob("*.json*")] == ["bench.json"]
    assert figures["quick"] and figures["written"] == 5 and "writes 5 names" in table
    together = figures["cores"] * figures["plain_step"] / figures["kd_step_together"]
    assert figures["plain_over_study"] == pytest.approx(together)
    assert 0.2 < figures["worker_peak_gib"] < 1.2
    for name in language_bench.TIMES:
        assert figures[name] > 0 and f"{figures[name]:.1f}" in table
    assert all(f"{figures[name]:.2f}" in table for name in language_bench.FIGURES)
    assert "≥ 5" in table and "unknown" not in table


def test_a_missing_output_folder_is_named_before_anything_is_measured(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(language_bench.bench, "measure", lambda **_: pytest.fail("measured"))
    nowhere = str(tmp_path / "nowhere" / "bench.json")
    assert cli.main(["bench", "--language", "--output", nowhere]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "output must be a file in an existing folder" in said
