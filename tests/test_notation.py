"""One notation for the whole course: chapter one's table, and a reader that holds all to it.

The reader knows three kinds of faults: a letter of the table with another meaning (``RULES``), a
class that is called k instead of c, and a letter that the table gives to some chapters, in another
one.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from kdnotes.course.order import number

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = sorted((ROOT / "kdnotes" / "course" / "exercises").glob("[a-z]*.py"))
TITLE = "## Notation\n"  # of the cell with the table
GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "varepsilon": "ε", "lambda": "λ", "tau": "τ"}
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+?\$", re.DOTALL)
# "the paper's α", "(paper: α_t)": whose letter it is, is said
QUOTED = re.compile(r"\b(?:papers?|authors)(?:'s|’s|'|’)?:? (?:letter |own )?α[^.;)|]*")

# Each: a symbol of the table, what its other meanings look like in plain text, and what the course
# writes instead.
RULES = [
    ("α", r"α ?(?:T\^2|T²|KL|TCKD|L_\{?soft)",
     "the teacher's term has 1 − α, or a letter of its own"),
    ("α", r"\(1-α\w*\)·? ?(?:CE|onehot|e_)", "the labels' term has α, not 1 − α"),
    ("α", r"α_\{?(?:DKD|t|T)\b", "DKD's first weight is γ, the past of PS-KD has λ"),
    ("α", r"α_?t?·? ?p[_^]|1-α\+α", "the weight of a prediction is λ"),
    ("α", r"(?:PS-KD|BYOT|\bDKD) (?:with |at )?α|α=\d[\d.]*(?:,| and) ?(?:and )?(?:a )?[βλ]|α=β",
     "γ, λ or w"),
    ("α", r"α·?\((?:epoch|t\b)|α·t\b|α is warmed|[Tt]he share α",
     "the share of the past is λ, DKD's weight γ"),
    ("α", r"α (?:of DKD )?(?:is |now |weighs )?the (?:(?:share|weight) of the )?"
     r"(?:prediction|previous|past|soft|target)",
     "α is the weight of the labels' term"),
    ("K", r"\bK (?:\w+ )?(?:teachers|students|peers|trainings|exits|fractions)\b",
     "M teachers, peers or exits"),
    ("K", r"\bK\b[^.|]{0,70}number of (?:teachers|peers|students|exits)", "M is their number"),
    ("K", r"(?:costs|roughly) K times|peers[^.|]{0,40}grows with K\b", "M peers"),
    ("K", r"\[K, ?(?:B|N|V|batch)|\[[BN], ?K, ?(?:C|classes)", "logits of many are [M, B, K]"),
    ("K", r"(?:weights?|gate|p_\w\(y\)|teacher)\b(?:(?!logits)[^.|;]){0,40}\[(?:B|N|V·N), ?K\]",
     "[B, M] for one number a teacher"),
    ("K", r"\\frac(?:1K|\{1\}\{K(?:-1)?\}) ?(?:\\sum_(?!\{?c)|\(1-)|\\frac\{K\}\{K\+1\}",
     "1/M or 1/(M − 1)"),
    ("K", r"(?:teacher|each)[^.|]{0,40}1/\(K-1\)|1-softmax\(CE\)\)/\(K-1\)", "1/(M − 1)"),
    ("K", r"(?:sums? to|divisor is|divide by|mean is over the) K-1|divided by K, as if", "M − 1"),
    ("c", r"\b(?:p|w|L|CE|g|s|n|q)_k\b|Σ_k|T\^?²?·KL\(p_t,k", "a class is c, a teacher m"),
    ("c", r"exit c\b|c<C|CE\(y, ?p_c\)", "an exit is m"),
    ("C", r"\[(?:[KM], ?)?(?:B|N|V·N), ?(?:[KM], ?)?C\]|\b1/C\b|"
     r"\bC classes|\bC is the number of classes|which is C here", "the number of classes is K"),
    ("C", r"\bC the deepest|exit C\b|[pF]_C\b", "the deepest exit is M"),
    ("B", r"\bB_m\b|\|B_", "a batch has B images; a bin has a letter of its own"),
    ("M", r"\bM bins|=1\}\^\{?M\}? ?\\frac\{\|",
     "M teachers, peers or exits; bins have a letter of their own"),
    ("n", r"\bn (?:\w+ )?(?:images|steps|samples|classes)\b|\bn_k\b|\\sum_\{n:",
     "n is the number of seeds"),
    ("t", r"\(t-1\)|\bepoch t\b|\\frac\{?t\}?\{?E|α·t/T", "an epoch is e"),
    ("s", r"\bseed s\b|\bseed s\+|\bs\+[12]\b", "s is the student's index"),
    ("T", r"\bT_\{n-1\}", "T is the temperature"),
    ("G", r"HSIC\([KL], ?[KL]\)|\b[KL]=[XY][XY]\^", "Gram matrices are G_s and G_t"),
    ("w", r"_\{?c,h,w\b|_\{?chw\b", "w is a weight; places are numbered by i"),
    ("ε", r"ε=10\^", "ε is label smoothing; write the small number itself"),
    ("e_y", r"p_s(?:\^\{T=1\})?-y\b", "the gradient is p_s − e_y; y is the label itself"),
]  # fmt: skip
K_AS_INDEX = re.compile(r"(?<![A-Za-z\\])[a-z]?k[a-z]?(?![A-Za-z])")


@dataclass(frozen=True)
class Row:
    """A symbol of the table, and the chapters that it belongs to (``None``: all)."""

    symbol: str
    meaning: str
    chapters: frozenset[int] | None


@dataclass(frozen=True)
class Fault:
    line: int
    symbol: str
    found: str
    instead: str


def plain(text: str) -> str:
    """LaTeX and Markdown as plain text of as many lines: α·CE for ``$\\alpha\\,\\mathrm{CE}$``."""
    text = re.sub(r"\\(?:mathrm|mathcal|text|operatorname)\{([^{}]*)\}", r"\1", text)
    text = re.sub(rf"\\({'|'.join(GREEK)})(?![A-Za-z])", lambda found: GREEK[found[1]], text)
    text = re.sub(r"\\(?:[bB]igg?[lr]?|left|right)(?![A-Za-z])|\\[,;:! ]|[$*`]", "", text)
    text = text.replace(r"\cdot", "·").replace("−", "-").replace(r"\(", "(")
    return re.sub(r" *([-+·=<]) *", r"\1", text)


@functools.cache
def sources(path: Path) -> list[tuple[str, str]]:
    """The id and the source of each cell of a chapter."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["id"], "".join(cell["source"])) for cell in cells]


def formulas(source: str) -> list[tuple[int, str]]:
    """The formulas of a cell with the numbers of their first lines."""
    return [
        (source.count("\n", 0, found.start()) + 1, found[0]) for found in FORMULA.finditer(source)
    ]


def letters(formula: str) -> set[str]:
    """The single letters of a formula; names such as KL or E (expectation), and P(…), are none."""
    text = re.sub(r"\\(?:mathrm|mathcal|text|operatorname)\{[^{}]*\}", " ", formula)
    text = re.sub(r"\\[bB]igg?[lr]?(?![A-Za-z])", "", text)
    found = {GREEK.get(name, "") for name in re.findall(r"\\([A-Za-z]+)", text)} - {""}
    return found | set(re.findall(r"[A-Za-z](?!\()", re.sub(r"\\[A-Za-z]+", " ", text)))


def faults(source: str) -> list[Fault]:
    """What in a text gives a letter of the table another meaning."""
    text = plain(source)
    flat = QUOTED.sub(lambda quoted: " " * len(quoted[0]), text.replace("\n", " "))
    found = [
        Fault(text.count("\n", 0, hit.start()) + 1, symbol, hit[0], instead)
        for symbol, pattern, instead in RULES
        for hit in re.finditer(pattern, flat)
    ]
    for line, formula in formulas(source):
        indices = [index.strip("{}") for index in re.findall(r"_(\w|\{[^{}]*\})", plain(formula))]
        if any(K_AS_INDEX.search(index) for index in indices):
            found.append(Fault(line, "c", formula, "a class is c, a teacher, peer or exit m"))
        if "onehot" in formula:
            found.append(Fault(line, "e_y", formula, "the one-hot label is e_y"))
    return found


def misplaced(source: str, chapter: int) -> list[Fault]:
    """Letters of other chapters by the table: Greek ones anywhere, Latin ones in formulas."""
    found = []
    bound = [row for row in TABLE.values() if row.chapters and chapter not in row.chapters]
    for row in bound:
        if row.symbol in GREEK.values():
            lines = [
                place
                for place, line in enumerate(plain(source).split("\n"), 1)
                if row.symbol in line
            ]
        else:
            lines = [line for line, formula in formulas(source) if row.symbol in letters(formula)]
        allowed = ", ".join(map(str, sorted(row.chapters)))
        found += [
            Fault(line, row.symbol, row.symbol, f"the table has it in chapters {allowed} only")
            for line in lines
        ]
    return found


def read_table() -> dict[str, Row]:
    """The notation table of the first chapter, by symbol."""
    rows = {}
    (source,) = [source for _, source in sources(PATHS[0]) if source.startswith(TITLE)]
    for line in source.splitlines():
        columns = [column.strip() for column in line.strip("|").split("|")]
        if not line.startswith("| $"):
            continue
        symbols, meaning, chapters = columns
        numbers = None if chapters == "all" else frozenset(map(int, chapters.split(",")))
        for symbol in map(plain, symbols.split(", ")):
            assert symbol not in rows, f"{symbol} stands twice in the table"
            rows[symbol] = Row(symbol, meaning, numbers)
    return rows


TABLE = read_table()


def report(found: list[tuple[str, Fault]]) -> str:
    """One line a fault: where it stands, what stands there, what the table says."""
    return "\n".join(
        f"{place}, line {fault.line}: {fault.found!r}; {fault.symbol}: "
        f"{TABLE[fault.symbol].meaning}; {fault.instead}"
        for place, fault in found
    )


def test_the_table_has_the_symbols_that_the_rules_are_about():
    assert {symbol for symbol, *_ in RULES} <= set(TABLE)
    assert "the weight of the labels' term and nothing else" in TABLE["α"].meaning
    assert (
        TABLE["M"].chapters
        == set(map(number, ("self_distillation", "many_teachers", "mutual_learning")))
        and TABLE["K"].chapters is None
    )


@pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
def test_a_chapter_keeps_the_notation(path):
    found = []
    for name, source in sources(path):
        if source.startswith(TITLE):
            continue
        here = faults(source) + misplaced(source, int(path.stem[:2]))
        found += [(f"cell {name}", fault) for fault in here]
    assert not found, f"{path.name} leaves the notation table of the course:\n{report(found)}"


@pytest.mark.parametrize("path", EXERCISES, ids=[path.stem for path in EXERCISES])
def test_the_checkers_of_exercises_keep_the_notation(path):
    strings = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]  # fmt: skip
    found = [
        (f"{path.name} from line {node.lineno}", fault)
        for node in strings
        for fault in faults(node.value)
    ]
    assert not found, f"{path.name} leaves the notation table of the course:\n{report(found)}"


@pytest.mark.parametrize("symbol", [row.symbol for row in TABLE.values() if row.chapters])
def test_a_symbol_is_used_in_the_chapters_that_the_table_names(symbol):
    for chapter in sorted(TABLE[symbol].chapters):
        texts = [source for _, source in sources(PATHS[chapter - 1])]
        used = any(symbol in letters(formula) for text in texts for _, formula in formulas(text))
        greek = symbol in GREEK.values() and any(symbol in plain(text) for text in texts)
        assert used or greek, (
            f"the notation table has {symbol} in chapter {chapter}, which does not use it"
        )


# What stood in the first edition, by the symbol that it misused.
FIRST_EDITION = [
    ("α", r"\big(\alpha\,\mathrm{TCKD} + \beta\,\mathrm{NCKD}\big)$$"),
    ("α", r"is called $\alpha_{\mathrm{DKD}}$ below"),
    ("α", '"α_DKD=8": DecoupledKD(teacher, temperature, 8.0, betas[-1]),'),
    ("α", r"for DKD $\beta/(1+\alpha_{\mathrm{DKD}}+\beta)$"),
    ("α", r"DKD with $\alpha=1$ and each $\beta$"),
    ("α",
     r"- **target only**: CE + TCKD ($\alpha=1$, $\beta=0$): the student learns how sure to be"),
    ("α", r"With weights $\alpha=\beta=1$ it is KD, term for term."),
    ("α", r"the $\alpha$ of DKD is the weight of the target term"),
    ("α", r"$$q_i = (1-\alpha_t)\,\mathrm{onehot}(y_i) + \alpha_t\,p_i^{(t-1)}$$"),
    ("α",
     r"Here $\alpha$ is the share of the *prediction*; in chapter 4 it was that of the labels."),
    ("α", 'own_past = {f"PS-KD α={a:g}": SelfKD(a) for a in (0.3, 0.8)}'),
    ("α", r"PS-KD with $\alpha = 0.3$ and the paper's $0.8$"),
    ("α", r"whose largest target would be $1-\alpha+\alpha/K$"),
    ("α",
     r"$$(1-\alpha)\,\mathrm{CE}(y, p_c) + "
     r"\alpha\,T^2\,\mathrm{KL}\bigl(p_C^{(T)}\,\|\,p_c^{(T)}\bigr)$$"),
    ("α", r"and $\alpha$ now the share of the *soft* term:"),
    ("α", r"Our numbers $T = 3$, $\alpha = 0.3$ and $\lambda = 0.03$ are the defaults"),
    ("α", 'taught = {"BYOT α=0.3, λ=0.03": BeYourOwnTeacher(3.0, 0.3, 0.03)}'),
    ("α", "let it grow, α·(epoch + 1)/epochs"),
    ("α", "α and β are exchanged: α weighs the target term, β the non-target term"),
    ("K", r"$K$ is the number of classes (in chapter 8 it will be the number of teachers)."),
    ("K",
     r"($K$ is the number of *teachers* in this chapter; in chapter 5 it was the number of "
     r"classes.)"),
    ("K", r"With $K$ teachers, and $p_k$ the softened output of teacher $k$"),
    ("K", r"$$\frac1K\sum_k \mathrm{KL}(p_k\,\|\,p_s)$$"),
    ("K",
     r"$$w_k = \frac{1}{K-1}\left(1 - \frac{e^{\mathrm{CE}_k}}{\sum_j e^{\mathrm{CE}_j}}\right)$$"),
    ("K", "The $K$ fractions sum to 1, so the brackets sum to $K-1$ and the weights to 1."),
    ("K", "no teacher has more than $1/(K-1)$"),
    ("K", r"gives the target $\frac{K}{K+1}\bar p + \frac{1}{K+1}u$"),
    ("K", '"""Stored logits ``[K, V·N, classes]`` on (at most 8) views of the training images."""'),
    ("K", "`ca_weights(z_t, y)`: CA-MKD's weights `[B, K]`"),
    ("K", "`z_s` is `[B, C]`, `z_t` is `[K, B, C]`"),
    ("K", "- say what the method costs: K peers are K trainings."),
    ("K", "a *cohort* of $K$ untrained students, the *peers*, sees the same batches"),
    ("K", r"$$\mathrm{CE}(y, p_i) + \frac{1}{K-1}\sum_{j \ne i} \mathrm{KL}(p_j \,\|\, p_i)$$"),
    ("K", r"the largest $\frac{1}{K}\sum_i p_{i,k}$"),
    ("K", "the ensemble costs $K$ times that"),
    ("K", "from the logits [N, K, classes] of K peers"),
    ("c", r"$\mathcal{L} = -\sum_k q_{i,k}\log p_{i,k}$"),
    ("c", r"minimise $-\log\sum_k w_k\,p_k(y)$"),
    ("c", r"$$\mathrm{KL}(p_t\,\|\,p_s) = \sum_k p_{t,k}\log\frac{p_{t,k}}{p_{s,k}}$$"),
    ("c", r"$\sum_k (n_k/N)^2$ if $n_k$ samples are of class $k$"),
    ("C", "which is $C$ here"),
    ("C", '"""Mean entropy of distributions ``[N, C]``, in nats."""'),
    ("C", "one that gives every label about $1/C$"),
    ("C", "With $C$ the deepest exit, $F_c$ the feature before the head of exit $c$"),
    ("C", "[K, B, C], so the classes are dim=2"),
    ("B",
     r"$$\mathrm{ECE} = \sum_{m=1}^{M} \frac{|B_m|}{N}\,\bigl|\,\mathrm{acc}(B_m) - "
     r"\mathrm{conf}(B_m)\bigr|$$"),
    ("M", "sorts the $N$ images into $M$ bins by confidence"),
    ("n", "Both students are scored on the *same* $n$ images"),
    ("n", "With $n$ steps in all and $k$ of them done"),
    ("n", r"$M_{ij} = \frac{1}{N_i} \sum_{n:\, y_n = i} p_{t,j}(x_n)$"),
    ("t", r"In epoch $t$ of $E$, PS-KD trains sample $i$"),
    ("t", r"The prediction $p_i^{(t-1)}$ must be that of *sample* $i$."),
    ("s", "the teacher of seed $s$ is the network of the *next* seed, $s+1$"),
    ("T", r"$$P\big(T_{n-1}(\delta\sqrt n/s_d) > t_{0.975,\,n-1}\big),$$"),
    ("G",
     r"$$\mathrm{CKA} = \frac{\mathrm{HSIC}(K, L)}{\sqrt{\mathrm{HSIC}(K, K)\,\mathrm{HSIC}(L, "
     r"L)}}.$$"),
    ("G", r"inner products $K = XX^\top$, $L = YY^\top$ of the features"),
    ("w", r"\sum_{c,h,w}\bigl(r(F_s)_{chw} - F_{t,chw}\bigr)^2"),
    ("ε", r"($\varepsilon = 10^{-7}$ only avoids a division by 0.)"),
    ("e_y", r"this is the familiar $p_s - y$ of cross-entropy"),
    ("e_y", r"softens the targets to $(1-\varepsilon)\,\mathrm{onehot} + \varepsilon/K$"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("symbol", "text"), FIRST_EDITION, ids=[text[:50] for _, text in FIRST_EDITION]
)
def test_what_the_first_edition_wrote_is_found(symbol, text):
    assert symbol in {fault.symbol for fault in faults(text)}


@pytest.mark.parametrize(
    ("chapter", "text"),
    [(1, r"Write $\beta = 1/T$"), (6, r"std(z) + \varepsilon"), (7, r"exceeds a threshold $\tau$"),
     (1, "$M_{ij}$"), (9, "BYOT α=0.3, λ=0.03"), (8, r"$\gamma$"), (13, r"$P = H \cdot W$")],
)  # fmt: skip
def test_a_letter_in_a_chapter_that_the_table_does_not_give_it_is_found(chapter, text):
    assert misplaced(text, chapter)


@pytest.mark.parametrize(
    "text",
    [
        r"$$\alpha\,\mathrm{CE}(y, p_s) + "
        r"(1-\alpha)\,T^2\,\mathrm{KL}\bigl(p_t^{(T)}\,\|\,p_s^{(T)}\bigr)$$",
        r"$$\mathrm{CE}(y, p_s) + \gamma\,\mathrm{TCKD} + \beta\,\mathrm{NCKD}$$ (paper: $\alpha$, "
        r"$\beta$)",
        r"$(1-\lambda)\,e_y + \lambda\,p^{(e-1)}$ with the share $\lambda$ of the past (paper: "
        r"$\alpha_t$)",
        r"with $\alpha = 0.7$ (the authors' $\alpha = 0.3$ weighs the KL)",
        r"$q = \alpha\,e_y + (1 - \alpha)\,p_t$, $\varepsilon = 1 - \alpha$, $(1 - \alpha) \log K$",
        r"$$\frac{1}{M-1}\sum_{j \ne i}\mathrm{KL}(p_j\,\|\,p_i), \frac1M\sum_m p_{m,c}, "
        r"\frac{1}{2K}\sum_c z_c$$",
        "`z_t` is `[M, B, K]`, `weights` is `[B, M]`; logits `[N, K]` of $K$ classes",
        r"features $[N, C, H, W]$, $\frac{1}{C_t P}\sum_{c,i}(r(F_s)_{c,i} - F_{t,c,i})^2$",
        r"$\mathrm{HSIC}(G_s, G_t)$; the standard deviation has $K-1$ in its denominator",
        r"$P\big(\text{a split}\big)$, $\mathrm{E}_p[z]$, $s_d/\sqrt n$ and $n$ seeds",
        "KD α=0.1 and KD α=0; α from 0 to 0.5; with α = 0.1, T = 2",
    ],
)  # fmt: skip
def test_what_keeps_the_table_is_accepted(text):
    assert faults(text) == []
