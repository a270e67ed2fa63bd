"""The cost of distillation of language models, printed as ``bench`` prints that of images."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed

from kdnotes import checks
from kdnotes.course.bench import print_figures, printed_number
from kdnotes.files import write_text
from kdnotes.language import bench

__all__ = ["run"]

TIMES = {
    "plain_step": "plain loop, a live teacher in every step",
    "kd_step": "kdnotes, token-level distillation",
    "kd_step_together": "the same, a seed a core at once",
    "ce_step": "kdnotes, cross-entropy",
    "on_policy_step": "kdnotes, the student writes 64 names, the teacher grades them",
    "bank": "the teacher's answers to 2,000 names, once for all arms and seeds",
    "write_cached": "the student writes {} names with a cache",
    "write_uncached": "the same without a cache",
}
FIGURES = {  # what it is, and the aim
    "plain_over_kd": ("plain loop / kdnotes, a core", ""),
    "plain_over_study": ("plain loop / kdnotes as studies run it, a seed a core", "≥ 5"),
    "kd_over_ce": ("distillation arm / cross-entropy arm", "≤ 1.10"),
    "uncached_over_cached": ("writing without a cache / with one", "≥ 5"),
    "worker_peak_gib": ("peak memory of a worker, GiB", "≤ 1.2"),
}
WORKER = """
import functools
from kdnotes import language
from kdnotes.course.memory import peak_gib
from kdnotes.data import load_corpus
from kdnotes.models import Decoder
corpus = load_corpus(train_strings=2000)
arm = language.TokenKD(language.surname_teacher())
language.compare({{"kd": arm}}, 1, student=functools.partial(Decoder, 27, 14, 32, 2, 2),
                 corpus=corpus, schedule=language.Schedule(steps={}), workers=1, report=None)
print(peak_gib())
"""


def run(
    *, quick: bool = False, output: Path | None = None, echo: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measure, print a table through ``echo``, and return all figures; also write ``output``, JSON.

    With ``quick`` the sizes are small and nothing is repeated: it shows that the measurement works.
    """
    if output is not None:
        checks.new_file("output", output)
    cores, written = cpu_count(), 5 if quick else 500
    sizes = {"steps": 3, "rounds": 1} if quick else {"steps": 100, "rounds": 3}
    figures = {"written": written, "cores": cores, "torch": torch.__version__, "quick": quick}
    figures["load"] = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    figures |= bench.measure(written=written, **sizes)
    with Parallel(n_jobs=cores) as pool:
        together = pool(delayed(bench.kd_step)(**sizes) for _ in range(cores))
    figures["kd_step_together"] = statistics.mean(together)
    figures["plain_over_study"] = cores * figures["plain_step"] / figures["kd_step_together"]
    figures["worker_peak_gib"] = printed_number(WORKER.format(sizes["steps"]))
    if output is not None:  # before anything that can go wrong with what is printed
        write_text(Path(output), json.dumps(figures, indent=2) + "\n")
    _print(figures, echo)
    return figures


def _print(figures: dict[str, Any], echo: Callable[[str], None]) -> None:
    echo(f"\n{'Time of the processor; steps of 64 names':<66}{'best ms':>9}")
    for name, what in TIMES.items():
        echo(f"{what.format(figures['written']):<66}{figures[name]:9.1f}")
    heading = f"Figure (of best times; {figures['cores']} cores)"
    print_figures(heading, FIGURES, figures, echo)
