"""A block with a shortcut as an ONNX file, to try settings of int8 on."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

BLOCK = """
<ir_version: 9, opset_import: ["": 18]>
block (float[n, 4, 8, 8] images) => (float[n, 4, 8, 8] c3) {
  c0 = Conv <pads = [1, 1, 1, 1]> (images, w0, b0)
  a0 = Relu (c0)
  c1 = Conv <pads = [1, 1, 1, 1]> (a0, w1, b1)
  a1 = Relu (c1)
  c2 = Conv <pads = [1, 1, 1, 1]> (a1, w2, b2)
  sum = Add (c2, a0)
  total = Relu (sum)
  c3 = Conv <pads = [1, 1, 1, 1]> (total, w3, b3)
}
"""  # one activation is read twice, by a convolution and by an addition


@functools.cache
def residual_block() -> bytes:
    """The block as an ONNX file with random weights."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    rng, model = np.random.default_rng(0), onnx.parser.parse_model(BLOCK)
    for number in range(4):
        for name, shape in (("w", (4, 4, 3, 3)), ("b", 4)):
            values = rng.normal(size=shape).astype(np.float32)
            held = onnx.numpy_helper.from_array(values, f"{name}{number}")
            model.graph.initializer.append(held)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(model, str(prepared), skip_symbolic_shape=True)
        return prepared.read_bytes()
