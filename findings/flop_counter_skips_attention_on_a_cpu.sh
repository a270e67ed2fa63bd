#!/usr/bin/env bash
# PyTorch's FlopCounterMode over scaled_dot_product_attention, on a CPU.
#
# What one would guess: both matrix products are counted, 4·heads·tokens²·width operations, as on a GPU.
# What happens: 0. The counter has formulas for the kernels that a GPU takes, and none for the CPU's, and says nothing.
#   The same attention written as two products and a softmax is counted in full.
# What the course does about it: costs.macs adds the formula.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.14.1
cd "$folder"
venv/bin/python - <<'EOF'
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

print("torch", torch.__version__)
heads, tokens, width = 4, 64, 16
q = k = v = torch.randn(1, heads, tokens, width)


def by_hand(q, k, v):
    return (q @ k.mT / width**0.5).softmax(-1) @ v


found = {}
for name, attention in {"fused": F.scaled_dot_product_attention, "by hand": by_hand}.items():
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        attention(q, k, v)
    found[name] = counter.get_total_flops()
wanted = 4 * heads * tokens**2 * width
print(found, "expected", wanted)
assert found == {"fused": 0, "by hand": wanted}, "the behaviour has changed"
EOF
