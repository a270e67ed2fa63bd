#!/usr/bin/env bash
# OpenVINO: an ONNX network whose batch is made fixed, and what save_model writes.
#
# What one would guess: after model.reshape nothing but the image is unknown, and what depends on
#   constants alone is computed once, at the latest when the file is written.
# What happens: each convolution's bias goes through ShapeOf, Subtract, Broadcast, Concat and
#   Reshape, since the batch was open when the file was read; reshape leaves them, and save_model
#   writes them all. One pass, ConstantFolding, removes them.
# What the course does about it: its adapter runs this pass before it writes the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1
cd "$folder"
venv/bin/python - <<'EOF'
import os
from collections import Counter

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper
from openvino import passes

print("openvino", openvino.__version__, "onnx", onnx.__version__)
rng, nodes, weights = np.random.default_rng(0), [], []
for k in range(5):
    for name, shape in ((f"w{k}", (4, 4, 3, 3)), (f"b{k}", (4,))):
        weights.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    nodes.append(helper.make_node("Conv", [f"x{k}", f"w{k}", f"b{k}"], [f"x{k + 1}"], pads=[1] * 4))
shape = ["N", 4, 8, 8]
ends = [[helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)] for x in ("x0", "x5")]
graph = helper.make_graph(nodes, "convolutions", *ends, weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.save(model, "float.onnx")

found = {}
for folded in (False, True):
    network = openvino.Core().read_model("float.onnx")
    network.reshape([1, 4, 8, 8])
    if folded:
        manager = passes.Manager()
        manager.register_pass(passes.ConstantFolding())
        manager.run_passes(network)
    openvino.save_model(network, "saved.xml", compress_to_fp16=False)
    saved = openvino.Core().read_model("saved.xml")
    types = Counter(one.get_type_name() for one in saved.get_ops())
    found[folded] = types
    size = os.path.getsize("saved.xml")
    print("folded" if folded else "as it is", f"{size} bytes", dict(types))
assert found[False]["ShapeOf"] >= 5 and found[False]["Broadcast"] >= 5, "the behaviour has changed"
assert not {"ShapeOf", "Broadcast", "Concat"} & set(found[True]), "the behaviour has changed"
EOF
