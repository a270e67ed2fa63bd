"""Training one student: the configuration, the loop, and what is said when it fails."""

from kdnotes.data import Views
from kdnotes.machine import alone, isolated, single_thread, usable_device
from kdnotes.training.config import Config
from kdnotes.training.evaluation import predict, state_key
from kdnotes.training.exactness import STACKED, is_exact
from kdnotes.training.loop import build, trained
from kdnotes.training.run import Run
from kdnotes.training.watched import fit, fit_together

__all__ = [
    "STACKED", "Config", "Run", "Views", "alone", "build", "fit", "fit_together", "is_exact",
    "isolated", "predict", "single_thread", "state_key", "trained", "usable_device",
]  # fmt: skip
