#!/usr/bin/env bash
# Random operators in onnxscript's optimiser, which torch.onnx.export runs, and ONNX Runtime's.
#
# What one would guess: two dropouts are two draws, also where they read the same tensor; a draw
#   is anew in each run. An optimiser leaves operators alone that the standard calls
#   non-deterministic.
# What happens: onnxscript merges two Dropouts (in training mode, as Monte Carlo dropout needs) of
#   one tensor into one, so their difference is exactly 0; and where the tensor is a constant it
#   replaces the operator by one draw, the same in every run. It leaves RandomNormalLike alone. ONNX
#   Runtime leaves Dropout alone, but merges two Bernoullis by itself, at its default level.
# What the course does about it: it exports networks in eval mode alone; what is random in a
#   lesson is drawn in PyTorch.
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

print("onnxscript", onnxscript.__version__, "onnxruntime", ort.__version__)
node, x = helper.make_node, np.full(1000, 0.5, np.float32)
kinds = {"Dropout": ["half", "training"], "Bernoulli": [], "RandomNormalLike": []}
held = [numpy_helper.from_array(np.array(0.5, np.float32), "half"),
        numpy_helper.from_array(np.array(True), "training"), numpy_helper.from_array(x, "constant")]

def model(kind, read, twice):
    nodes = [node(kind, [read, *kinds[kind]], [name]) for name in ("a", "b")[: 1 + twice]]
    nodes += [node("Sub", ["a", "b"], ["y"]) if twice else node("Neg", ["a"], ["y"])]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1000]) for name in "xy"]
    graph = helper.make_graph(nodes, "random", made[:1], made[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

def runs(made, level):
    options = ort.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = level, 3
    session = ort.InferenceSession(made.SerializeToString(), options)
    return [session.run(None, {"x": x})[0] for _ in range(2)]

levels = ort.GraphOptimizationLevel
PLAIN, FULL = levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL
found = {}
ways = [("as written", lambda made: made, PLAIN), ("onnxscript", optimize, PLAIN),
        ("ONNX Runtime", lambda made: made, FULL)]
for kind in kinds:
    for name, change, level in ways:
        two_draws = bool(runs(change(model(kind, "x", True)), level)[0].any())
        first, second = runs(change(model(kind, "constant", False)), level)
        found[kind, name] = two_draws, not np.array_equal(first, second)
        print(f"{kind}, {name}: (two nodes, two runs on a constant) differ: {found[kind, name]}")
wrong = {("Dropout", "onnxscript"): (False, False), ("Bernoulli", "onnxscript"): (False, False),
         ("Bernoulli", "ONNX Runtime"): (False, True)}
assert found == {key: wrong.get(key, (True, True)) for key in found}, "the behaviour has changed"
EOF
