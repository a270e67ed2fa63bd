"""The frame of all sliders: a picture without scripts, and with them the one that is asked for."""

from __future__ import annotations

import base64
import fnmatch
import html
import json
import re
import tomllib
from pathlib import Path

import pytest
from browser import dom, needs_browser
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_notebook, new_output
from slider_helpers import paths, said, shown

from kdnotes.show import interactive
from kdnotes.show.document import document
from kdnotes.show.pages import notebook_page

ROOT = Path(__file__).parents[2]
PAIR = ([2.0, 0.0, -1.0], [3.0, 1.0, -1.0], 0, ["<b>", "dog", "ship & 'car'"])


@pytest.fixture(scope="module")
def data():
    return shown(interactive.gradient_slider, *PAIR, alpha=0.3, temperature=2.0)


def start_of(data: dict) -> list[str]:
    alphas, temperatures = data["values"]
    return data["frames"][alphas.index("0.3") * len(temperatures) + temperatures.index("2")]


def test_two_can_share_a_page(data):
    again = shown(interactive.gradient_slider, *PAIR, alpha=0.3, temperature=2.0)
    assert data["page"] == again["page"]
    assert not re.search(r"\bid=|\bsrc=\"http|<link|@import|url\(", data["page"])


def test_without_scripts_there_is_a_picture_of_the_start_and_a_hint(data):
    alt, source = re.search(r'<img alt="([^"]*)" src="data:[^,]*,([^"]*)"', data["page"]).groups()
    picture = base64.b64decode(source).decode()
    assert re.findall(r' d="([^"]*)"', picture) == paths(start_of(data))
    assert html.unescape(alt).endswith(said(start_of(data)))
    assert (
        '<div class="controls" style="display:none">' in data["page"]
        and "Trust Notebook" in data["page"]
    )
    assert f'aria-live="polite">{html.escape(said(start_of(data)))}</p>' in data["page"]


def test_no_key_of_a_slider_reaches_jupyterlab(data):
    inputs = re.findall(r"<input[^>]*>", data["page"])
    assert len(inputs) == 2
    assert all('data-lm-suppress-shortcuts="true"' in one for one in inputs)


def test_names_are_escaped_and_close_no_script():
    names = ["</script><img src=x>", "b"]
    page = shown(interactive.temperature_slider, [0.0, 1.0], names)["page"]
    assert page.count("</script>") == page.count("<script") == 2
    assert "<img src=x" not in page.replace("\\/", "/")


def test_what_is_embedded_is_small():
    classes = [f"class {k}" for k in range(10)]
    z = [0.37 * k * (-1) ** k for k in range(10)]
    sizes = {
        "temperature": shown(interactive.temperature_slider, z, classes),
        "gradient": shown(interactive.gradient_slider, z, z[::-1], 0, classes),
        "decoupled": shown(interactive.decoupled_slider, z, z[::-1], 0, classes),
    }
    assert {name: len(one["page"]) < 100_000 for name, one in sizes.items()} == dict.fromkeys(
        sizes, True
    )


def test_script_and_style_are_packaged():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["kdnotes"]
    for name in ("slider.js", "slider.css"):
        packaged = [fnmatch.fnmatch(f"show/interactive/{name}", pattern) for pattern in patterns]
        assert any(packaged)


# Moves every slider of every copy to every position, and writes down what is then on the page.
DRIVER = """<script>
const roots = [...document.querySelectorAll(".kdnotes-interactive")], seen = [];
for (const root of roots) {
  const inputs = [...root.querySelectorAll("input")], frames = [];
  const move = (which) => {
    if (which === inputs.length) {
      const found = [...root.querySelectorAll("path")].map(path => path.getAttribute("d"));
      const shown = [...root.querySelectorAll(".value")].map(value => value.textContent);
      const spoken = inputs.map(input => input.getAttribute("aria-valuetext"));
      frames.push([found, root.querySelector(".said").textContent, shown, spoken]);
      return;
    }
    for (let at = 0; at <= Number(inputs[which].max); at++) {
      inputs[which].value = at;
      inputs[which].dispatchEvent(new Event("input", { bubbles: true }));
      move(which + 1);
    }
  };
  const paths = [...root.querySelectorAll("path")].map(path => path.getAttribute("d"));
  const hidden = root.querySelector(".controls").style.display === "none";
  const state = { paths, hidden, hint: !!root.querySelector(".hint") };
  if (!hidden) move(0);
  seen.push({ ...state, frames });
}
const result = document.createElement("pre");
result.id = "result";
result.textContent = JSON.stringify(seen);
document.body.append(result);
</script>"""


def in_a_browser(document_text: str, folder: Path) -> list[dict]:
    """What the driver saw of each copy on a page."""
    page = folder / "page.html"
    page.write_text(document_text.replace("</body>", f"{DRIVER}</body>"), encoding="utf-8")
    return json.loads(BeautifulSoup(dom(page.as_uri()), "html.parser").find(id="result").text)


@needs_browser
def test_the_script_shows_the_picture_that_the_sliders_ask_for(data, tmp_path):
    one = shown(interactive.temperature_slider, PAIR[0], PAIR[3], start=2.0)
    untrusted = re.sub(r"<(script|style).*?</\1>", "", data["page"], flags=re.DOTALL)
    pages = [untrusted, data["page"], one["page"], data["page"]]
    stayed, *moved = in_a_browser(document("sliders", "".join(pages)), tmp_path)
    assert stayed["hidden"] and stayed["hint"] and stayed["paths"] == []
    for seen, wanted in zip(moved, (data, one, data), strict=True):
        assert not seen["hidden"] and not seen["hint"]
        assert len(seen["frames"]) == len(wanted["frames"])
        for (found, words, *values), frame in zip(seen["frames"], wanted["frames"], strict=True):
            assert (found, words) == (paths(frame), said(frame))
            assert values[0] == values[1]
    assert moved[0]["paths"] == moved[2]["paths"] == paths(start_of(data))
    shown_values = [frame[2] for frame in moved[0]["frames"]]
    assert shown_values == [[a, t] for a in data["values"][0] for t in data["values"][1]]


@needs_browser
def test_the_page_of_a_notebook_keeps_its_sliders(data, tmp_path):
    shown_html = new_output("display_data", {"text/html": data["page"], "text/plain": "HTML"})
    cell = new_code_cell("slider()", outputs=[shown_html])
    (seen,) = in_a_browser(notebook_page(new_notebook(cells=[cell]), "1. Sliders"), tmp_path)
    assert [frame[:2] for frame in seen["frames"]] == [
        [paths(frame), said(frame)] for frame in data["frames"]
    ]
