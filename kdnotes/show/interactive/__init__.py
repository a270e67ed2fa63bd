"""Pictures with sliders, one call each: where a hand on a slider teaches more than a figure."""

from kdnotes.show.interactive.calibration import reliability_slider
from kdnotes.show.interactive.exits import exit_slider
from kdnotes.show.interactive.logits import decoupled_slider, gradient_slider, temperature_slider
from kdnotes.show.interactive.seeds import seeds_slider

__all__ = [
    "decoupled_slider", "exit_slider", "gradient_slider", "reliability_slider", "seeds_slider",
    "temperature_slider",
]  # fmt: skip
