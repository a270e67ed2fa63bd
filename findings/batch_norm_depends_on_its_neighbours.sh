#!/usr/bin/env bash
# PyTorch on a CPU: batch norm in channels_last, and how many channels lie beside a channel.
#
# What one would guess: a batch norm treats each channel by itself, so that others beside it change no
#   bit of it, as they change none in the forward pass, of the gradient of its scale, or in a grouped
#   convolution.
# What happens: the gradient of the input rounds otherwise in those channels that do not fill a vector
#   register: of 12 channels the last 4, with registers of 8 numbers.
# What the course does about it: seeds are trained side by side as one network, and must not change
#   each other. Its batch norms fill registers with zeros (models/stacked_layers.py), and before a
#   stack is trained it is tried whether a bit differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.14.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'EOF'
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.manual_seed(0)
print("torch", torch.__version__, torch.backends.cpu.get_cpu_capability())
last = torch.channels_last
x, g = torch.randn(50, 64, 16, 16), torch.randn(50, 64, 16, 16)


def norm(channels):
    images = x[:, :channels].contiguous(memory_format=last).requires_grad_()
    scale = torch.linspace(0.5, 2, 12).repeat(6)[:channels].requires_grad_()
    y = F.batch_norm(images, None, None, scale, torch.zeros(channels), True)
    y.backward(g[:, :channels].contiguous(memory_format=last))
    return y.detach()[:, :12], scale.grad[:12], images.grad[:, :12]


def differing(one, other):
    return int((one != other).sum())


alone, beside = norm(12), norm(48)
forward, scale, gradient = (differing(*pair) for pair in zip(alone, beside))
print("batch norm, 12 channels alone and beside 36 others, numbers that differ:",
      f"outputs {forward}, gradient of the scale {scale}, gradient of the input {gradient}")
changed = (alone[2] != beside[2]).any(dim=0).flatten(1).any(dim=1).nonzero().flatten().tolist()
print("  in the channels", changed)
assert forward == 0 and scale == 0 and gradient > 0, "the behaviour has changed"
EOF
