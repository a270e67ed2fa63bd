#!/usr/bin/env bash
# ONNX Runtime: the probabilities of a quantised Softmax.
#
# What one would guess: a class that is certain gets 255/255 = 1, since the quantisation tool sets
#   the scale of a Softmax to 1/255 for that; rounding is symmetric, so a row sums to 1 on average.
# What happens: no probability exceeds 254/255, and rows sum to 254/255 on average. The integer
#   Softmax cuts 1/scale to a whole number, and 1/float32(1/255) is a little less than 255. The same
#   file without optimisation (Softmax in float between conversions) does reach 1.
# What the course does about it: files hold logits; softmax and temperature are computed in float.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
venv/bin/python - <<'EOF'
import logging

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

logging.disable(logging.WARNING)
print("onnxruntime", ort.__version__)
x = np.random.default_rng(0).uniform(0, 30, (1000, 4)).astype(np.float32)
x[0] = 30, 0, 0, 0  # certain
shape = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "y")]
softmax = helper.make_node("Softmax", ["x"], ["y"])
graph = helper.make_graph([softmax], "softmax", shape[:1], shape[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.save(model, "float.onnx")

class Batches(CalibrationDataReader):
    batches = iter([{"x": x}])
    def get_next(self):
        return next(self.batches, None)

quantize_static("float.onnx", "int8.onnx", Batches(), activation_type=QuantType.QUInt8)
scales = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load("int8.onnx").graph.initializer}
print("scale of the probabilities: 1 /", 1 / float(scales["y_scale"]))
found = []
levels = ort.GraphOptimizationLevel
for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    y = ort.InferenceSession("int8.onnx", options).run(None, {"x": x})[0] * 255
    found += [round(float(y.max())), round(float(y.sum(1).mean()))]
    print(f"{level.name}: largest {y.max():.1f}/255, rows sum to {y.sum(1).mean():.2f}/255")
assert found == [255, 255, 254, 254], "the behaviour has changed"
EOF
