"""Executed notebooks as web pages that need no network: formulas in MathML, figures inline, solutions folded away."""

from __future__ import annotations

import html
import re
from typing import Any

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

__all__ = ["document", "index_page", "notebook_page"]

TEMPLATE = """{% extends 'basic/index.html.j2' %}
{% block codecell %}
{%- if 'solution' in cell.metadata.get('tags', []) -%}
<details><summary>Solution</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{% endblock codecell %}
{% block data_latex %}<div>{{ output.data['text/latex'] | markdown2html }}</div>{% endblock data_latex %}
"""
STYLE = """
:root { color-scheme: light }
body { margin: 0 auto; max-width: 66rem; padding: 1rem; font: 1rem/1.55 system-ui, sans-serif; color: #1b1b1b }
h1, h2, h3 { line-height: 1.25 } a { color: #0b5394 } .anchor-link { visibility: hidden }
code, pre { font: .875rem/1.45 ui-monospace, Consolas, monospace } :not(pre) > code { overflow-wrap: anywhere }
.input_area pre, .text_cell_render pre { background: #f5f6f8; border-radius: .3rem; padding: .6rem .8rem }
.text_cell_render > *, .chapter { max-width: 50rem } pre { overflow-x: auto; margin: .5rem 0 } .output pre { border-left: .2rem solid #c9ced6; padding-left: .8rem }
.output_stderr pre, .output_error pre { border-color: #b3261e } img { max-width: 100%; height: auto }
.rendered_html, .formula { overflow-x: auto; overflow-y: hidden } .formula { padding: .8rem 0; margin: 0 }
[mathvariant^="bold"] { font-weight: bold } mtd[columnalign="left"] { text-align: left }
mtd[columnalign="right"] { text-align: right } mtd[columnalign] { padding: .25em .1em }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #dde1e6; vertical-align: top }
th:first-child, td:first-child { text-align: left } .text_cell_render td, .text_cell_render th { text-align: left }
details { border: 1px solid #c9ced6; border-radius: .3rem; padding: .3rem .8rem; margin: .8rem 0 }
summary { cursor: pointer } blockquote { margin-left: 0; padding-left: 1rem; border-left: .2rem solid #c9ced6 }
.chapter { border-top: 1px solid #dde1e6; padding: .6rem 0 } .chapter p { margin: .2rem 0 }
.status { color: #555 } .failed, .timeout { color: #b3261e; font-weight: 600 }
.ansi-red-fg { color: #b3261e } .ansi-green-fg { color: #1e6e3a } .ansi-blue-fg { color: #0b5394 } .ansi-bold { font-weight: 600 }
"""  # noqa: E501


def notebook_page(notebook: NotebookNode, title: str) -> str:
    """A complete HTML document of an executed notebook, with a link to ``index.html``."""
    exporter = _Exporter(raw_template=TEMPLATE, exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r'(href="\d\d_\w+)\.ipynb"', r'\1.html"', body)  # the next chapter as a page
    colors = HtmlFormatter(style="friendly", nobackground=True).get_style_defs(".highlight")
    return document(title, f'<p><a href="index.html">All chapters</a></p>\n{body}', colors)


def index_page(rows: list[dict[str, Any]], heading: str) -> str:
    """The index: one entry a chapter with number, title, promise, status, seconds and links.

    Args:
        rows: dictionaries with ``number``, ``title``, ``promise``, ``status`` ("" if it has not run), ``seconds``,
            ``error``, ``page`` and ``notebook`` (file names, or "").
        heading: a line under the title, such as the profile and the data set.
    """
    entries = "\n".join(_entry({key: html.escape(str(value)) for key, value in row.items()}) for row in rows)
    return document("kdnotes", f"<h1>kdnotes: knowledge distillation, executed</h1>\n<p>{heading}</p>\n{entries}")


def _entry(row: dict[str, str]) -> str:
    title = f"{row['number']}. {row['title']}"
    title = f'<a href="{row["page"]}">{title}</a>' if row["page"] else title
    state = f'<span class="{row["status"]}">{row["status"]}</span>, {row["seconds"]} s' if row["status"] else "not run"
    notebook = f', <a href="{row["notebook"]}">notebook</a>' if row["notebook"] else ""
    error = f"\n<pre>{row['error']}</pre>" if row["error"] else ""
    return (
        f'<div class="chapter"><p><strong>{title}</strong></p>\n<p>{row["promise"]}</p>\n'
        f'<p class="status">{state}{notebook}</p>{error}</div>'
    )


def document(title: str, body: str, style: str = "") -> str:
    """A complete HTML document in the course's style; ``title`` is escaped, ``body`` and ``style`` are not."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


class _Renderer(IPythonRenderer):
    """Markdown to HTML with MathML instead of formulas for a script to typeset."""

    def inline_math(self, body: str) -> str:
        return _mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return f'<span class="formula" style="display:block">{_mathml(body, "block")}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


class _Exporter(HTMLExporter):
    @property
    def default_config(self) -> Config:
        """Static outputs only: no widget and no script, which need a running kernel or a network."""
        config = super().default_config
        kinds = config.NbConvertBase.display_data_priority
        config.NbConvertBase.display_data_priority = [
            kind for kind in kinds if "widget" not in kind and "javascript" not in kind and "mermaid" not in kind
        ]
        return config

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        return MarkdownWithMath(renderer=_Renderer(escape=False, attachments=attachments)).render(source)


def _mathml(body: str, display: str) -> str:
    """MathML of a TeX formula; a formula that the converter does not know is shown as its source."""
    known = re.sub(r"\\(begin|end)\{(aligned|split|align|equation\*?)\}", _environment, " ".join(body.split()))
    try:
        return convert(known, display=display)
    except Exception:  # latex2mathml raises a dozen classes, also IndexError, for TeX that it cannot read
        return f'<code class="math-source">{html.escape(body)}</code>'


def _environment(match: re.Match[str]) -> str:
    """The converter knows no ``aligned`` and numbers ``align``: both look like ``align*``."""
    return "" if match[2].startswith("equation") else f"\\{match[1]}{{align*}}"
