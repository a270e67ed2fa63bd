"""One temperature a finished student, fitted on validation: it changes no prediction."""

from __future__ import annotations

import math

from scipy.optimize import minimize_scalar
from torch import Tensor

from kdnotes import metrics
from kdnotes.data import Split, Splits
from kdnotes.study import Study
from kdnotes.training import Run

__all__ = ["CALIBRATED", "calibrated", "with_calibrated"]

CALIBRATED = "calibrated_nll"
LOWEST, HIGHEST = 0.1, 20.0


def with_calibrated(result: Study, data: Splits) -> Study:
    """The study with the columns ``validation_calibrated_nll`` and ``test_calibrated_nll``."""
    found = [calibrated(run, data) for run in result.runs.values()]
    columns = {
        f"{part}_{CALIBRATED}": [one[part] for one in found] for part in ("validation", "test")
    }
    return Study(result.frame.assign(**columns), result.runs)


def calibrated(run: Run, data: Splits) -> dict[str, float]:
    """NLL on validation and test of the logits divided by the temperature that fits validation."""

    def nll(logits: Tensor, split: Split, log_t: float) -> float:
        return metrics.negative_log_likelihood(logits / math.exp(log_t), split.targets)

    fit = minimize_scalar(
        lambda log_t: nll(run.validation_logits, data.validation, log_t),
        bounds=(math.log(LOWEST), math.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return {
        "validation": nll(run.validation_logits, data.validation, fit.x),
        "test": nll(run.test_logits, data.test, fit.x),
    }
