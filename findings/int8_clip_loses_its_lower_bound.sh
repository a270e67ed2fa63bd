#!/usr/bin/env bash
# ONNX Runtime: static quantisation of a convolution that is followed by Clip(1, 3).
#
# What one would guess: int8 outputs lie between 1 and 3, as the float ones do.
# What happens: outputs lie between 0 and 3. The tool removes a Clip (or ReLU) whose result is
#   quantised, because the integers' range clips by itself. But that range is always widened to hold
#   0, so a lower bound above 0, or an upper bound below 0, is gone. The error is not rounding: it
#   is as large as the bound. extra_options={"QDQKeepRemovableActivations": True} keeps the Clip.
# What the course does about it: its networks have ReLU and Clip(0, 6) alone, whose ranges hold 0;
#   a test counts the operators that are left and compares logits.
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
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

logging.disable(logging.WARNING)
print("onnxruntime", ort.__version__)
rng = np.random.default_rng(0)
x = rng.normal(size=(20, 3, 8, 8)).astype(np.float32)
held = {"w": rng.normal(size=(4, 3, 3, 3)), "low": np.array(1), "high": np.array(3)}
graph = helper.make_graph(
    [helper.make_node("Conv", ["x", "w"], ["c"]),
     helper.make_node("Clip", ["c", "low", "high"], ["y"])], "clip",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 6, 6])],
    [numpy_helper.from_array(value.astype(np.float32), name) for name, value in held.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.save(model, "float.onnx")

class Batches(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": x}])
    def get_next(self):
        return next(self.batches, None)

for name, extra in (("int8", {}), ("kept", {"QDQKeepRemovableActivations": True})):
    quantize_static("float.onnx", f"{name}.onnx", Batches(), activation_type=QuantType.QUInt8,
                    extra_options=extra)
lowest = {}
for name in ("float", "int8", "kept"):
    y = ort.InferenceSession(f"{name}.onnx").run(None, {"x": x})[0]
    lowest[name] = round(float(y.min()), 1)
    print(f"{name}: from {y.min():.3f} to {y.max():.3f}, {(y < 0.9).mean():.0%} below the bound")
assert lowest == {"float": 1.0, "int8": 0.0, "kept": 1.0}, "the behaviour has changed"
EOF
