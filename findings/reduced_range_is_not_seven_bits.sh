#!/usr/bin/env bash
# ONNX Runtime: reduce_range=True of static quantisation, which is to give weights of 7 bits.
#
# What one would guess: signed weights between -63 and 63, as they lie between -127 and 127 (not
#   -128) without it; in any case integers that 7 bits can hold.
# What happens: signed weights reach -64 and 64: 129 values, one more than 7 bits have. Unsigned
#   weights stay within 0 … 127. (Two products still fit 16 bits, 2·64·255 = 32,640, which is what
#   it is for.)
# What the course does about it: reduce_range is left to ONNX Runtime; the networks that the
#   course quantises itself have a symmetric grid of -63 … 63 at 7 bits, so the two are not compared
#   there.
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
w = rng.normal(size=(8, 3, 3, 3)).astype(np.float32)
w[:2, 0, 0, 0] = 9, -9  # the largest weight of a channel is positive here, negative there
graph = helper.make_graph(
    [helper.make_node("Conv", ["x", "w"], ["y"])], "convolution",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 6, 6])],
    [numpy_helper.from_array(w, "w")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.save(model, "float.onnx")

class Batches(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": rng.normal(size=(4, 3, 8, 8)).astype(np.float32)}])
    def get_next(self):
        return next(self.batches, None)

found = []
for kind, reduce in ((QuantType.QInt8, False), (QuantType.QInt8, True), (QuantType.QUInt8, True)):
    quantize_static("float.onnx", "int8.onnx", Batches(), activation_type=QuantType.QUInt8,
                    weight_type=kind, per_channel=kind == QuantType.QInt8, reduce_range=reduce)
    held = {one.name: one for one in onnx.load("int8.onnx").graph.initializer}
    integers = numpy_helper.to_array(held["w_quantized"])
    found.append((int(integers.min()), int(integers.max())))
    print(f"{kind.name}, reduce_range={reduce}: weights from {found[-1][0]} to {found[-1][1]}")
assert found[:2] == [(-127, 127), (-64, 64)] and 0 <= found[2][0] < found[2][1] <= 127, "changed"
EOF
