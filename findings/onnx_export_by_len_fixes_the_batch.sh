#!/usr/bin/env bash
# torch.onnx.export of a network with a dynamic batch, whose forward asks for the batch by len(x).
#
# What one would guess: the size of the batch stays open, as with x.shape[0]; or the export refuses, as torch.export does
#   where a dimension that was named dynamic turns out to be a constant.
# What happens: with len(x) the file's batch is the example's, without an error or a warning. With x.shape[0] it is open.
# What the course does about it: edge.export refuses a file whose batch is a number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.14.1 onnx==1.23.2 onnxscript==0.7.2
cd "$folder"
venv/bin/python - <<'EOF'
import torch


class Rows(torch.nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x):
        count = len(x) if self.by == "len" else x.shape[0]
        return x + torch.ones(1, 3).expand(count, -1)


print("torch", torch.__version__)
found = {}
for by in ("len", "shape"):
    batch = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(
        Rows(by).eval(), (torch.zeros(2, 3),), dynamo=True, verbose=False, dynamic_shapes=(batch,)
    )
    size = program.model_proto.graph.input[0].type.tensor_type.shape.dim[0]
    found[by] = size.dim_param or size.dim_value
    print(f"asked by {by}: the batch of the file is {found[by]!r}")
assert found["len"] == 2 and isinstance(found["shape"], str), "the behaviour has changed"
EOF
