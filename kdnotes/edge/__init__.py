"""What a network becomes on a small device: an ONNX file, eight-bit integers, a budget of memory.

Post-training quantisation (``convert``) and its timings (``runtime``) are ONNX Runtime's own. What
it cannot run (weights of fewer bits) and what must be trained through (quantisation-aware training)
is simulated (``simulate``): numbers are rounded to the grid of the integers, but kept as floats.
"""

from kdnotes.edge.convert import CalibrationImages, export, fold, quantise, save
from kdnotes.edge.measure import machine, resident_memory, working_memory
from kdnotes.edge.ranges import moving_ranges
from kdnotes.edge.runtime import OnnxNetwork, cut_off, operators
from kdnotes.edge.simulate import FakeQuantised, Start, fake_quantise, weight_scales

__all__ = [
    "CalibrationImages", "FakeQuantised", "OnnxNetwork", "Start", "cut_off", "export",
    "fake_quantise", "fold", "machine", "moving_ranges", "operators", "quantise", "resident_memory",
    "save", "weight_scales", "working_memory",
]  # fmt: skip
