#!/usr/bin/env bash
# torchdistill's CRDLoss, and who chooses the negatives.
#
# What one would guess: the loss draws negatives from its memory where none are given, since
#   contrast_idx is None by default and the class has a method for it, draw.
# What happens: draw reads self.prob, and the attribute is called self.probs: AttributeError. With a
#   contrast_idx it works. (The same slip stands in the constructor, where equal probabilities do not
#   reach it.)
# What the course does about it: methods.CRD draws its own negatives, of other classes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.14.1 torchdistill==1.1.5 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'EOF'
from importlib.metadata import version

import torch
from torchdistill.losses.mid_level import CRDLoss

print("torchdistill", version("torchdistill"), "torch", torch.__version__)
torch.manual_seed(0)
images, negatives = 64, 7
loss = CRDLoss("normalizer", "empty", "normalizer", 16, images, negatives, images)
student, teacher = torch.nn.functional.normalize(torch.randn(2, 4, 16), dim=2)
own, given = torch.arange(4), torch.randint(images, (4, 1 + negatives))
given[:, 0] = own

shapes = [tuple(one.shape) for one in loss.contrast_memory(student, teacher, own, given)]
print("negatives given:", shapes)
try:
    loss.contrast_memory(student, teacher, own)
    failed = ""
except AttributeError as error:
    failed = str(error)
print("negatives to be drawn:", failed or "drawn")
assert shapes == [(4, 8, 1)] * 2 and "'prob'" in failed, "the behaviour has changed"
EOF
