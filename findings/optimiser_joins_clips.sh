#!/usr/bin/env bash
# onnxscript's optimiser, which torch.onnx.export runs by default: one Clip after another.
#
# What one would guess: two Clips become one with the same values.
# What happens: the joined Clip gets the larger of the lower and the smaller of the upper bounds.
#   Where the ranges do not meet, lower exceeds upper, and a Clip then gives the upper one:
#   Clip(0, 1) before Clip(2, 3) gives 1 instead of 2. Clip(-3, -1) before a ReLU gives -1, though a
#   ReLU never gives less than 0. ONNX Runtime's own joining is right.
# What the course does about it: no network of it clips twice; a test compares the logits of each
#   exported network with PyTorch's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import onnxruntime as ort
import onnxscript
from onnx import TensorProto, helper, numpy_helper
from onnxscript.optimizer import optimize

print("onnxscript", onnxscript.__version__)
x = np.arange(-4, 5, dtype=np.float32)

def values(model):
    y = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    return sorted(set(y.tolist()))

found = {}
for first, second in (((0, 1), (2, 3)), ((-3, -1), None), ((0, 3), (1, 2))):
    bounds = {"a": first[0], "b": first[1]} | ({"c": second[0], "d": second[1]} if second else {})
    kind, read = ("Clip", ["h", "c", "d"]) if second else ("Relu", ["h"])
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [9]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Clip", ["x", "a", "b"], ["h"]), helper.make_node(kind, read, ["y"])],
        "clips", made[:1], made[1:],
        [numpy_helper.from_array(np.array(v, np.float32), name) for name, v in bounds.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    name = f"Clip{first} then " + (f"Clip{second}" if second else "Relu")
    found[name] = values(model), values(optimize(model))
    print(f"{name}: values {found[name][0]}, optimised {found[name][1]}")
expected = [([2], [1]), ([0], [-1]), ([1, 2], [1, 2])]
assert list(found.values()) == expected, "the behaviour has changed"
EOF
