#!/usr/bin/env bash
# tflite-micro with a file whose weights lie behind its flatbuffer, as the format allows and as quantizers write it for larger
# networks. The file is the same but for the place of the weights.
#
# What one would guess: it runs as with the weights inside, or it is refused.
# What happens: no error. The weights' room is in the arena, as if they were activations, nothing is read into it, and the answer
#   is another one. LiteRT's own interpreter gives the right answer for both files.
# What the course does about it: its LiteRT files hold all weights inside, and its measurement of the arena refuses others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq ai-edge-litert==2.3.0 tflite-micro==0.dev20261023182759 flatbuffers numpy
cd "$folder"
venv/bin/python - <<'EOF' 2>/dev/null
from importlib.metadata import version

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from tflite_micro.python.tflite_micro import runtime

WEIGHTS, GIVEN = np.array([[1, 2], [3, 4]], np.float32), np.array([[1, 1]], np.float32)


def file(behind):
    """One linear layer; its weights inside the flatbuffer, or behind it at a multiple of 1024."""
    buffers = [schema.BufferT() for _ in range(2)]
    if behind:
        buffers[1].offset, buffers[1].size = 1024, WEIGHTS.nbytes
    else:
        buffers[1].data = np.frombuffer(WEIGHTS.tobytes(), np.uint8)
    tensors = []
    for name, shape, buffer in (("x", [1, 2], 0), ("w", [2, 2], 1), ("y", [1, 2], 0)):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, shape, buffer
        tensor.type = schema.TensorType.FLOAT32
        tensors.append(tensor)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    layer = schema.OperatorT()
    layer.opcodeIndex, layer.inputs, layer.outputs = 0, [0, 1, -1], [2]
    layer.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    layer.builtinOptions = schema.FullyConnectedOptionsT()
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, [layer], [0], [2]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    packed = bytes(builder.Output())
    return packed.ljust(1024, b"\0") + WEIGHTS.tobytes() if behind else packed


def by_litert(content):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], GIVEN)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tolist()


def by_micro(content):
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=20000)
    interpreter.set_input(GIVEN, 0)
    interpreter.invoke()
    return interpreter.get_output(0).tolist()


print("ai-edge-litert", version("ai-edge-litert"), "tflite-micro", version("tflite-micro"))
inside, behind = file(False), file(True)
print("weights inside: LiteRT", by_litert(inside), "tflite-micro", by_micro(inside))
print("weights behind: LiteRT", by_litert(behind), "tflite-micro", by_micro(behind))
assert by_litert(inside) == by_litert(behind) == by_micro(inside) == [[3, 7]]
assert by_micro(behind) != [[3, 7]], "the behaviour has changed"
EOF
