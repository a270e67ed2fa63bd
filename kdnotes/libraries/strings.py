"""The course's language model, distilled with trl's loss: a method for ``language.compare``.

As in ``recipes``: only the loss is the library's, so that an arm is paired with ``TokenKD``.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kdnotes import checks
from kdnotes.checks import bound
from kdnotes.language import LanguageTeacher, TokenKD
from kdnotes.language.methods import TokenBatch
from kdnotes.libraries.language import gkd_cured
from kdnotes.libraries.library import installed

__all__ = ["TrlTokenKD", "by_trl"]


@dataclass(eq=False)
class TrlTokenKD(TokenKD):
    """``TokenKD`` whose soft term is trl's ``generalized_jsd_loss`` with ``beta=0``, times T².

    Args:
        version: trl's, so that a run of another version is another run.
    """

    version: str = bound(checks.instance(str), "")

    def soft(self, batch: TokenBatch) -> Tensor:
        student, teacher, mask = self.pair(batch)
        targets = batch.strings.targets[mask]
        return gkd_cured(student[mask], teacher[mask], targets, self.temperature)


def by_trl(teacher: LanguageTeacher, temperature: float = 1.0, alpha: float = 0.0) -> TrlTokenKD:
    """Token-level distillation (1606.07947) with trl's loss (GKD, 2306.13649).

    Args:
        teacher: whose answers to the training strings are stored.
        temperature: T > 0.
        alpha: α, the weight of the data's own tokens, in [0, 1].

    Raises:
        ValueError: a number is out of range.
        ModuleNotFoundError: trl is not installed.
    """
    if (version := installed("trl")) is None:
        raise ModuleNotFoundError("trl is not installed: pip install trl")
    return TrlTokenKD(teacher, temperature, alpha, version)
