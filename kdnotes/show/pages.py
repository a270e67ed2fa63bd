"""Executed notebooks as web pages: formulas in MathML, figures inline, solutions folded away."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

from kdnotes.show.arrange import Heading, arrange
from kdnotes.show.document import document
from kdnotes.show.terms import link

__all__ = ["code_colors", "index_page", "markdown", "notebook_page", "relink", "text_page"]

HERE = Path(__file__).parent
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True, trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
# Tags mean what they mean to JupyterLab and Jupyter Book; text is not boxed in cells, so that
# sections are what lies between headings.
NOTEBOOK = """{% extends 'basic/index.html.j2' %}
{% block codecell %}
{%- set tags = cell.metadata.get('tags', []) -%}
{%- if 'solution' in tags -%}
<details class="solution"><summary>Solution</summary>{{ super() }}</details>
{%- elif 'hide-cell' in tags -%}
<details><summary>Code and its output</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{% endblock codecell %}
{% block input_group %}
{%- if 'hide-input' in cell.metadata.get('tags', []) -%}
<details><summary>Code that draws the figure</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{% endblock input_group %}
{% block markdowncell %}{{ cell.source | markdown2html | strip_files_prefix }}{% endblock %}
{% block data_latex %}<div>{{ output.data['text/latex'] | markdown2html }}</div>{% endblock %}
"""


def notebook_page(
    notebook: NotebookNode,
    title: str,
    previous: tuple[str, str] | None = None,
    following: tuple[str, str] | None = None,
    terms: Mapping[str, tuple[str, str]] | None = None,
) -> str:
    """A complete HTML document of an executed notebook, with a table of contents.

    Args:
        notebook: with the outputs to be shown.
        title: of the document.
        previous, following: name and title of the chapters before and after, to be linked; see
            ``relink`` for where the links lead.
        terms: to be linked where they are used first (``show.terms``).
    """
    options = {"exclude_input_prompt": True, "exclude_output_prompt": True}
    cells, _ = _Exporter(raw_template=NOTEBOOK, **options).from_notebook_node(notebook)
    body, contents = arrange(cells)
    page = _page(link(body, terms or {}), contents, previous, following)
    return document(title, page, code_colors())


def code_colors() -> str:
    """The style sheet of coloured Python: of enough contrast on #f8f8f8, comments too."""
    return HtmlFormatter(style="default", nobackground=True).get_style_defs(".highlight")


def markdown(text: str, attachments: Mapping[str, Any] | None = None) -> str:
    """The HTML of Markdown, with its formulas in MathML.

    Args:
        text: the Markdown.
        attachments: of the notebook's cell: name of a file → what nbformat keeps of it.
    """
    options = {"escape": False, "exclude_anchor_links": True, "attachments": attachments or {}}
    return MarkdownWithMath(renderer=_Renderer(**options)).render(text)


def text_page(text: str, title: str) -> str:
    """A complete HTML document of Markdown, beside the chapters."""
    body, contents = arrange(markdown(f"# {title}\n\n{text}"))
    return document(title, _page(body, contents))


def _page(
    body: str,
    contents: list[Heading],
    previous: tuple[str, str] | None = None,
    following: tuple[str, str] | None = None,
) -> str:
    return TEMPLATES.get_template("chapter.html").render(
        body=body,
        contents=contents,
        previous=previous,
        following=following,
        script=_script("page.js"),
    )


def relink(page: str, pages: dict[str, str]) -> str:
    """A chapter's page whose links to other chapters lead to what there is.

    Args:
        page: from ``notebook_page``.
        pages: name of a chapter → file name of its page; a link to any other chapter leads to its
            place in ``index.html``, which says how to run it.
    """

    def target(match: re.Match[str]) -> str:
        name, anchor = match[1], match[2] or ""
        file = f"{pages[name]}{anchor}" if name in pages else f"index.html#{name}"
        return f'data-page="{name}{anchor}" href="{file}"'

    return re.sub(r'data-page="(\w+)(#[^"]*)?" href="[^"]*"', target, page)


def index_page(rows: list[dict[str, Any]], heading: str) -> str:
    """The index: a search over all sections, and one entry a chapter.

    Args:
        rows: dictionaries with ``name``, ``number``, ``title`` (with its number), ``promise``,
            ``status`` ("" if it has not run), ``seconds``, ``profile``, ``error``, ``page`` and
            ``notebook`` (file names, or ""), and perhaps ``minutes`` (to read it). A row with the
            number "" is a page beside the chapters.
        heading: what holds for the last run, such as the profile and the data set.
    """
    template = TEMPLATES.get_template("index.html")
    page = template.render(rows=rows, heading=heading, script=_script("search.js"))
    return document("kdnotes", page)


def _script(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


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
        return markdown(source, context.get("cell", {}).get("attachments"))


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
