"""Executed notebooks as web pages: formulas in MathML, figures inline, solutions folded away."""

from __future__ import annotations

import html
import re
from typing import Any

import jinja2
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

from kdnotes.show.document import document

__all__ = ["index_page", "notebook_page"]

NOTEBOOK = """{% extends 'basic/index.html.j2' %}
{% block codecell %}
{%- if 'solution' in cell.metadata.get('tags', []) -%}
<details><summary>Solution</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{% endblock codecell %}
{% block data_latex %}<div>{{ output.data['text/latex'] | markdown2html }}</div>{% endblock %}
"""
INDEX = """<h1>kdnotes: knowledge distillation, executed</h1>
<p>{{ heading }}</p>
{% for row in rows %}
{% set title = row.number ~ ". " ~ row.title %}
<div class="chapter"><p><strong>
{%- if row.page %}<a href="{{ row.page }}">{{ title }}</a>{% else %}{{ title }}{% endif -%}
</strong></p>
<p>{{ row.promise }}</p>
<p class="status">
{%- if row.status %}<span class="{{ row.status }}">{{ row.status }}</span>, {{ row.seconds }} s
{%- else %}not run{% endif %}
{%- if row.notebook %}, <a href="{{ row.notebook }}">notebook</a>{% endif %}</p>
{%- if row.error %}

<pre>{{ row.error }}</pre>
{%- endif %}</div>
{% endfor %}"""


def notebook_page(notebook: NotebookNode, title: str) -> str:
    """A complete HTML document of an executed notebook, with a link to ``index.html``."""
    options = {"exclude_input_prompt": True, "exclude_output_prompt": True}
    body, _ = _Exporter(raw_template=NOTEBOOK, **options).from_notebook_node(notebook)
    body = re.sub(r'(href="\d\d_\w+)\.ipynb"', r'\1.html"', body)  # the next chapter as a page
    colors = HtmlFormatter(style="friendly", nobackground=True).get_style_defs(".highlight")
    return document(title, f'<p><a href="index.html">All chapters</a></p>\n{body}', colors)


def index_page(rows: list[dict[str, Any]], heading: str) -> str:
    """The index: one entry a chapter with number, title, promise, status, seconds and links.

    Args:
        rows: dictionaries with ``number``, ``title``, ``promise``, ``status`` ("" if it has not
            run), ``seconds``, ``error``, ``page`` and ``notebook`` (file names, or "").
        heading: a line under the title, such as the profile and the data set.
    """
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(INDEX)
    return document("kdnotes", template.render(rows=rows, heading=heading))


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
        """Static outputs only: no widget and no script, which need a kernel or a network."""
        config, live = super().default_config, ("widget", "javascript", "mermaid")
        kinds = config.NbConvertBase.display_data_priority
        static = [kind for kind in kinds if not any(word in kind for word in live)]
        config.NbConvertBase.display_data_priority = static
        return config

    @jinja2.pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = _Renderer(escape=False, attachments=attachments)
        return MarkdownWithMath(renderer=renderer).render(source)


def _mathml(body: str, display: str) -> str:
    """MathML of a TeX formula, or its source where the converter does not know it."""
    environments = r"\\(begin|end)\{(aligned|split|align|equation\*?)\}"
    known = re.sub(environments, _environment, " ".join(body.split()))
    try:
        return convert(known, display=display)
    except Exception:  # a dozen classes, also IndexError, for TeX that it cannot read
        return f'<code class="math-source">{html.escape(body)}</code>'


def _environment(match: re.Match[str]) -> str:
    """The converter knows no ``aligned`` and numbers ``align``: both look like ``align*``."""
    return "" if match[2].startswith("equation") else f"\\{match[1]}{{align*}}"
