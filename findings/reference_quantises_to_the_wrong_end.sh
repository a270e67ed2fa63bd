#!/usr/bin/env bash
# onnx: QuantizeLinear in the standard's own reference evaluator, on x86-64.
#
# What one would guess: the operator saturates, as its definition says: what is larger than the
#   largest integer becomes the largest integer.
# What happens: so it does up to 2^31 steps; a value beyond becomes the *smallest* integer, since
#   the evaluator goes through int32 before it clips. With a scale of 0.001 that begins at 2.1
#   million. NumPy warns, the evaluator does not. ONNX Runtime saturates.
# What the course does about it: it checks int8 layers by its own arithmetic in float64
#   (edge.cut_off), not by the reference evaluator.
set -euo pipefail
[ "$(uname -m)" = x86_64 ] || { echo "this is about x86-64"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

print("onnx", onnx.__version__, "onnxruntime", ort.__version__)
x = np.float32([1e-3, 1e5, 2e6, 2.2e6, 1e9])
found = []
print("values", x.tolist())
for kind in (np.uint8, np.int8, np.int16):
    code = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"])], "quantise",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5])],
        [helper.make_tensor_value_info("y", code, [5])],
        [numpy_helper.from_array(np.array(0.001, np.float32), "scale"),
         numpy_helper.from_array(np.array(0, kind), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0].tolist()
    runtime = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0].tolist()
    print(f"{kind.__name__}: reference {reference}, ONNX Runtime {runtime}")
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    found.append(reference == [1, high, high, low, low] and runtime == [1, high, high, high, high])
assert all(found), "the behaviour has changed"
EOF
