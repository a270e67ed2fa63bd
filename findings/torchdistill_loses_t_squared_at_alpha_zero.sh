#!/usr/bin/env bash
# torchdistill's KDLoss, with the teacher alone.
#
# What one would guess: the loss is α·CE + (1 − α)·T²·KL, as its documentation says, so that α = 0 is
#   the limit of a small α: T²·KL.
# What happens: where alpha is 0, or no labels are given, it is KL without T²: at T = 4 a sixteenth. A
#   small α, and α = 0, differ by that factor; beta is left out too.
# What the course does about it: its table of libraries has alpha = 1e-9 as the call that is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.14.1 torchdistill==1.1.5 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'EOF'
from importlib.metadata import version

import torch
from torchdistill.losses.mid_level import KDLoss

print("torchdistill", version("torchdistill"), "torch", torch.__version__)
torch.manual_seed(0)
T, targets = 4.0, torch.randint(10, (64,))
teacher, student = ({"net": {"output": 3 * torch.randn(64, 10)}} for _ in range(2))


def loss(alpha, labels=targets, **settings):
    kind = KDLoss("net", "output", "net", "output", T, alpha=alpha, **settings)
    return kind(student, teacher, labels).item()


nothing, little, unlabelled = loss(0), loss(1e-9), loss(1e-9, labels=None)
print(f"alpha 1e-9: {little:.4f}; alpha 0: {nothing:.4f}; the first without labels: {unlabelled:.4f}")
print(f"alpha 0 with beta 5: {loss(0, beta=5.0):.4f}")
assert abs(little / nothing - T**2) < 1e-3 and nothing == unlabelled, "the behaviour has changed"
assert loss(0, beta=5.0) == nothing, "the behaviour has changed"
EOF
