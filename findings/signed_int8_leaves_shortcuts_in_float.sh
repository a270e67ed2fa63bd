#!/usr/bin/env bash
# ONNX Runtime on x86-64: a small residual network, quantised with signed activations.
#
# What one would guess: activations from -128 to 127 (the tool's default) and from 0 to 255 differ
#   in a constant; either all convolutions run on integers or none does.
# What happens: signed activations are turned into unsigned ones, which x86 needs, only where one
#   operator alone reads them. A shortcut is read twice: the convolution that writes it, the one
#   that ends in the sum, and the sum stay in float between conversions. The same network without
#   its shortcut runs on integers throughout. The quantised file does not show it.
# What the course does about it: it quantises to 0 … 255; edge.operators counts what is executed.
set -euo pipefail
[ "$(uname -m)" = x86_64 ] || { echo "this is about x86-64"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
venv/bin/python - 2> messages <<'EOF' || { cat messages; exit 1; }
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

print("onnxruntime", ort.__version__)
rng, node = np.random.default_rng(0), helper.make_node
WEIGHTS = [numpy_helper.from_array(rng.normal(size=(4, 4, 3, 3)).astype(np.float32), f"w{k}")
           for k in range(3)]

class Batches(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": rng.normal(size=(20, 4, 8, 8)).astype(np.float32)}])
    def get_next(self):
        return next(self.batches, None)
def executed(shortcut, kind):
    nodes = []
    for k, read in enumerate(("x", "r0", "r1")):
        convolution = node("Conv", [read, f"w{k}"], [f"c{k}"], pads=[1] * 4)
        nodes += [convolution, node("Relu", [f"c{k}"], [f"r{k}"])]
    if shortcut:
        nodes[-1:] = [node("Add", ["c2", "r0"], ["sum"]), node("Relu", ["sum"], ["r2"])]
    shape = ["N", 4, 8, 8]
    ends = [[helper.make_tensor_value_info(one, TensorProto.FLOAT, shape)] for one in ("x", "r2")]
    graph = helper.make_graph(nodes, "residual", *ends, WEIGHTS)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, "float.onnx")
    quantize_static("float.onnx", "int8.onnx", Batches(), activation_type=kind)
    options = ort.SessionOptions()
    options.optimized_model_filepath = "optimised.onnx"
    ort.InferenceSession("int8.onnx", options, providers=["CPUExecutionProvider"])
    types = [one.op_type for one in onnx.load("optimised.onnx").graph.node]
    return {name: types.count(name) for name in ("QLinearConv", "Conv", "QLinearAdd", "Add")}

found = {(shortcut, kind.name): executed(shortcut, kind)
         for shortcut in (True, False) for kind in (QuantType.QUInt8, QuantType.QInt8)}
for (shortcut, kind), counts in found.items():
    print(f"shortcut {shortcut}, activations {kind}: {counts}")
assert found[True, "QInt8"]["Conv"] == 2 and found[True, "QInt8"]["Add"] == 1, "changed"
assert not any(one["Conv"] for key, one in found.items() if key != (True, "QInt8")), "changed"
EOF
