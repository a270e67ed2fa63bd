"""Edge runtimes behind one interface: is it still the same network after the export?

Each but the first is an optional extra, such as ``pip install "kdnotes[openvino]"``; "runtimes"
stands for all of them.
"""

from kdnotes.edge.runtimes import installed, micro, surprises
from kdnotes.edge.runtimes.executorch import ExecuTorch
from kdnotes.edge.runtimes.interface import Loaded, Runtime
from kdnotes.edge.runtimes.litert import LiteRT, make_converter
from kdnotes.edge.runtimes.ncnn import Ncnn
from kdnotes.edge.runtimes.onnx_runtime import OnnxRuntime
from kdnotes.edge.runtimes.openvino import OpenVino
from kdnotes.edge.runtimes.record import Record, differing, recorded
from kdnotes.edge.runtimes.rounding import Rounding, recorded_rounding
from kdnotes.edge.runtimes.table import ALL, compare

__all__ = [
    "ALL", "ExecuTorch", "LiteRT", "Loaded", "Ncnn", "OnnxRuntime", "OpenVino", "Record",
    "Rounding", "Runtime", "compare", "differing", "installed", "make_converter", "micro",
    "recorded", "recorded_rounding", "surprises",
]  # fmt: skip
