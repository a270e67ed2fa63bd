#!/usr/bin/env bash
# ONNX Runtime: static quantisation of a linear layer whose bias has a factor (Gemm's beta).
#
# What one would guess: y = x·w + 2·b stays that, up to rounding; or the tool refuses beta = 2.
# What happens: the tool writes beta = 1 and puts the 2 into the bias's scale, with integers that
#   are half as large, so the file says x·w + b. ONNX Runtime's integer operator ignores that scale
#   and uses its own, so with its default optimisation the very same file computes x·w + b/2. No
#   warning. (torch.onnx.export writes such a Gemm for torch.addmm(b, x, w, beta=2).)
# What the course does about it: its networks end in nn.Linear, which is exported with beta = 1;
#   the tests compare each layer of an int8 file with exact arithmetic, and int8 logits with float
#   ones.
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

logging.disable(logging.WARNING)  # a hint about preprocessing
print("onnxruntime", ort.__version__)
rng = np.random.default_rng(0)
x = rng.normal(size=(500, 16)).astype(np.float32)
w, b = (0.2 * rng.normal(size=(16, 4))).astype(np.float32), np.float32([1, 2, 3, 4])
graph = helper.make_graph(
    [helper.make_node("Gemm", ["x", "w", "b"], ["y"], beta=2.0)], "linear",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
    [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.save(model, "float.onnx")

class Batches(CalibrationDataReader):
    batches = iter([{"x": x}])
    def get_next(self):
        return next(self.batches, None)

quantize_static("float.onnx", "int8.onnx", Batches(), activation_type=QuantType.QUInt8)
factors = []
levels = ort.GraphOptimizationLevel
for file, level in (("float", levels.ORT_ENABLE_ALL), ("int8", levels.ORT_DISABLE_ALL),
                    ("int8", levels.ORT_ENABLE_ALL)):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    y = ort.InferenceSession(f"{file}.onnx", options).run(None, {"x": x})[0]
    factors.append(float(np.mean((y - x @ w).mean(0) / b)))
    print(f"{file}.onnx, {level.name}: y = x·w + {factors[-1]:.2f}·b")
assert np.allclose(factors, [2, 1, 0.5], atol=0.05), "the behaviour has changed"
EOF
