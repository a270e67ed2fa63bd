"""What the tests of edge share: a small residual network, and images for it."""

from __future__ import annotations

import functools
import platform

import torch
from helpers import CLASSES
from torch import nn

from kdnotes import models
from kdnotes.training import build

STUDENT = functools.partial(models.ResidualStudent, num_classes=CLASSES, in_channels=1, width=2)
IMAGES = torch.randn(24, 1, 32, 32, generator=torch.Generator().manual_seed(0))
X86 = platform.machine().lower() in ("x86_64", "amd64")


@functools.lru_cache(maxsize=1)
def network() -> nn.Module:
    """A student whose batch norms have means, variances, scales and shifts of their own."""
    made, generator = build(STUDENT, 0), torch.Generator().manual_seed(1)
    for norm in (module for module in made.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor in (norm.weight.data, norm.running_var):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        for tensor in (norm.bias.data, norm.running_mean):
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
    return made.eval()
