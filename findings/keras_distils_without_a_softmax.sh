#!/usr/bin/env bash
# Keras' LogitsDistillation, with the loss that it has by default.
#
# What one would guess: softmax with the temperature, KL divergence, times T², as its documentation
#   says; loss="kl_divergence", the default, and loss=KLDivergence() are two ways to write that.
# What happens: softmax and T² are applied for an object of the class KLDivergence only. The word stands
#   for a function, and so does the default: it clips the *logits* over T to [1e-7, 1] and takes them for
#   probabilities. Equal networks have a loss of 0, so that nothing looks wrong there; but the loss can
#   be negative, and logits outside of (0, T) get no gradient.
# What the course does about it: a chapter shows what a student learns from it; its table of libraries
#   has the call that is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.14.1 keras==3.15.1 numpy==2.4.6
cd "$folder"
KERAS_BACKEND=torch KERAS_HOME="$folder" venv/bin/python - <<'EOF'
import keras
import torch
import torch.nn.functional as F

print("keras", keras.__version__, "torch", torch.__version__)
torch.manual_seed(0)
T = 4.0
teacher, student = 3 * torch.randn(2, 64, 10)
student.requires_grad_()
log_s, log_t = (F.log_softmax(one / T, dim=1) for one in (student, teacher))
expected = T**2 * F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)


def distilled(**settings):
    loss = keras.distillation.LogitsDistillation(temperature=T, **settings)
    value = loss.compute_loss(teacher, student)
    return value.item(), torch.autograd.grad(value, student)[0]


right, slope = distilled(loss=keras.losses.KLDivergence())
default, other = distilled()
print(f"T² KL: {expected.item():.4f}; with KLDivergence(): {right:.4f}; by default: {default:.4f}")
unmoved = (other == 0).float().mean().item()
cosine = F.cosine_similarity(slope.flatten(), other.flatten(), dim=0).item()
print(f"by default {unmoved:.0%} of the logits get no gradient; cosine of the gradients {cosine:.2f}")
assert abs(right - expected.item()) < 1e-3, "the behaviour has changed"
assert abs(default - right) > 1 and unmoved > 0.3 and cosine < 0.5, "the behaviour has changed"
EOF
