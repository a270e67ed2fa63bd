#!/usr/bin/env bash
# ExecuTorch with a batch that may be 1 to 64, exported from an example of two images.
#
# What one would guess: the file takes any batch from 1 to 64, as was asked for.
# What happens: 15 is the largest that it takes; 16 ends with an error at run time, that a bounded tensor cannot be resized.
#   Exported from an example of 64, it takes 64. Nothing is said at export.
# What the course does about it: the chapter on edge runtimes shows both numbers; its adapter exports from the example of the
#   largest batch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.14.1 executorch==1.5.1 torchao==0.18.0
cd "$folder"
venv/bin/python - <<'EOF' 2>/dev/null
from importlib.metadata import version

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime

network = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4096, 10)
).eval()


def largest(example):
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    with torch.no_grad():
        program = torch.export.export(network, (torch.zeros(example, 1, 32, 32),), dynamic_shapes=shapes)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    buffer = lowered.to_executorch().buffer  # these three are borrowed by one another
    loaded = Runtime.get().load_program(buffer)
    forward = loaded.load_method("forward")
    for batch in range(64, 0, -1):
        try:
            forward.execute([torch.zeros(batch, 1, 32, 32)])
            return batch
        except RuntimeError:
            continue


print("executorch", version("executorch"), "torch", torch.__version__)
found = {example: largest(example) for example in (2, 64)}
print("largest batch by the example's:", found)
assert found == {2: 15, 64: 64}, "the behaviour has changed"
EOF
