#!/usr/bin/env bash
# torchmetrics' calibration error, and probabilities that rounding has moved a little above 1.
#
# What one would guess: probabilities are probabilities; one that rounding made 1.0000002 changes the
#   error by 1e-7, or is refused.
# What happens: if any entry of an update lies outside [0, 1], softmax is applied to all of it, here to
#   2,000 rows of right probabilities. The other way round, logits that happen to lie in [0, 1] are
#   taken for probabilities. Both without a message.
# What the course does about it: metrics.expected_calibration_error takes logits only; a chapter shows
#   the two cases.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.14.1 torchmetrics==1.9.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'EOF'
import torch
import torchmetrics
from torchmetrics.functional.classification import multiclass_calibration_error

print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__)
torch.manual_seed(0)
targets = torch.randint(10, (2000,))
logits = 2 * torch.randn(2000, 10) + 4 * torch.nn.functional.one_hot(targets, 10)
probabilities = logits.softmax(1)
above = probabilities.clone()
above[0, above[0].argmax()] = 1.0000002  # one entry of 20,000
squeezed = (logits - logits.min()) / (logits.max() - logits.min())

found = [
    multiclass_calibration_error(given, targets, num_classes=10, n_bins=15).item()
    for given in (logits, probabilities, above, squeezed, squeezed * 1.0000002)
]
words = ("logits", "probabilities", "one of them 1.0000002", "logits in [0, 1]", "the last, by 1.0000002")
for what, error in zip(words, found, strict=True):
    print(f"{what}: {error:.4f}")
assert abs(found[0] - found[1]) < 1e-5 and abs(found[2] - found[1]) > 0.1, "the behaviour has changed"
assert abs(found[4] - found[3]) > 0.1, "the behaviour has changed"
EOF
