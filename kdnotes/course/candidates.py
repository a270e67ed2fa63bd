"""The methods of the chapters before hints and the settings that are tried of each."""

from __future__ import annotations

import functools

from kdnotes import models
from kdnotes.course.baseline import ALPHA, TEMPERATURE
from kdnotes.course.profiles import Settings
from kdnotes.methods import (
    BYOT,
    CAMKD,
    CTKD,
    DKD,
    KD,
    PSKD,
    AnnealedKD,
    CrossEntropy,
    GatedKD,
    LabelSmoothing,
    MultiTeacherKD,
    StandardizedKD,
    UncertaintyKD,
)
from kdnotes.study import Arm
from kdnotes.teachers import Teacher

BASELINE = "CE"


def candidates(
    s: Settings, first: Teacher, more: tuple[Teacher, ...], born_again: dict[str, Arm]
) -> dict[str, dict[str, Arm]]:
    """Method → setting → arm: all are tried in the methods' own chapters as well, whose
    stored runs are used again.

    Args:
        s: sizes, data set and student.
        first: the teacher of all methods with one teacher.
        more: further teachers for the methods with many.
        born_again: generation → arm.
    """
    T, a = TEMPERATURE, ALPHA
    many = (first, *more)
    exits = functools.partial(models.MultiExitStudent, s.student())
    methods = {
        BASELINE: {"labels alone": CrossEntropy()},
        "label smoothing": {f"ε = {e:g}": LabelSmoothing(e) for e in (0.1, 0.2)},
        "KD": {f"α = {alpha:g}": KD(first, T, alpha) for alpha in (0.0, 0.1, 0.5)}
        | {"T = 3": KD(first, 3.0, a)},
        "decoupled (DKD)": {
            f"β = {beta:g}": DKD(first, T, 1.0, beta) for beta in (0.25, 0.5, 1.0, 2.0, 8.0)
        },
        "uncertainty": {
            "weights": UncertaintyKD(first, T, a),
            "selected half": UncertaintyKD(first, T, a, keep_share=0.5),
        },
        "annealed": {
            "T 4 → 1": AnnealedKD(first, (4.0, 1.0), (a, a)),
            "T 1 → 4": AnnealedKD(first, (1.0, 4.0), (a, a)),
            "α 0 → 0.5": AnnealedKD(first, (T, T), (0.0, 0.5)),
        },
        "standardised logits": {f"T = {t:g}": StandardizedKD(first, t, a) for t in (1.0, 2.0)},
        "curriculum T (CTKD)": {f"T from {T:g}": CTKD(first, T, a)},
        "previous epoch (PS-KD)": {f"λ = {past:g}": PSKD(past) for past in (0.3, 0.8)},
        "born again": born_again,
        "own teacher (exits)": {
            "α = 0.7, hint": Arm(BYOT(3.0, 0.3, 0.03), student=exits),
            "α = 0.5": Arm(BYOT(3.0, 0.5, 0.0), student=exits),
        },
        "deep supervision (exits)": {"labels alone": Arm(BYOT(3.0, 0.0, 0.0), student=exits)},
        "teachers averaged": {"equal weights": MultiTeacherKD(many, T, a)},
        "teachers by confidence (CA-MKD)": {"from labels": CAMKD(many, T, a)},
        "teachers by a gate": {
            by: GatedKD(many, T, a, train_gate_by=by) for by in ("labels", "imitation")
        },
    }
    return {
        method: {
            setting: arm if isinstance(arm, Arm) else Arm(arm) for setting, arm in settings.items()
        }
        for method, settings in methods.items()
    }
