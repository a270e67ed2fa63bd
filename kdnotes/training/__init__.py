"""Training one student: the configuration, the loop, and what is said when it fails."""

from kdnotes.data import Views
from kdnotes.machine import alone, isolated, single_thread, usable_device
from kdnotes.training.config import Config
from kdnotes.training.loop import Run, build, fit, predict, state_key

__all__ = [
    "Config", "Run", "Views", "alone", "build", "fit", "isolated", "predict", "single_thread",
    "state_key", "usable_device",
]  # fmt: skip
