"""Teacher and students for 32×32 images.

``width`` scales every layer; any number of classes ≥ 2 and of input channels ≥ 1 works.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.models.staged import StagedNet


class TeacherNet(StagedNet):
    """VGG-style teacher: 3×3 convolutions (with bias), batch norm and ReLU in four blocks of 2, 2,
    3 and 3.

    Each block ends in 2×2 max-pooling and channel dropout (0.1, 0.1, 0.1, 0.2). With ``width=64``,
    3 channels and 10 classes it has 10,268,746 parameters.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, width: int = 64):
        _check_sizes(num_classes, in_channels, width)
        channels = [width, 2 * width, 4 * width, 8 * width]
        stages, previous = {}, in_channels
        for number, (out, depth, drop) in enumerate(
            zip(channels, (2, 2, 3, 3), (0.1, 0.1, 0.1, 0.2), strict=True), 1
        ):
            stages[f"block{number}"] = _vgg_block(previous, out, depth, drop)
            previous = out
        head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(previous * 2 * 2, 16 * width), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(16 * width, 8 * width), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(8 * width, num_classes),
        )  # fmt: skip
        super().__init__(stages, head, num_classes, in_channels)


class StudentNet(StagedNet):
    """Depthwise-separable student in the manner of MobileNet (arXiv 1704.04861).

    Stem, then three blocks of depthwise 3×3 and pointwise 1×1 convolutions with batch norm and
    ReLU6; global average pooling, dropout 0.2, linear. With ``width=32``, 3 channels and 10 classes
    it has 50,570 parameters.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, width: int = 32):
        _check_sizes(num_classes, in_channels, width)
        stages = {
            "stem": nn.Sequential(
                nn.Conv2d(in_channels, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU6(),
                nn.MaxPool2d(2),
            ),
            "block1": nn.Sequential(*_separable(width, 2 * width), nn.MaxPool2d(2)),
            "block2": nn.Sequential(*_separable(2 * width, 4 * width), nn.MaxPool2d(2)),
            "block3": nn.Sequential(*_separable(4 * width, 8 * width)),
        }
        head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(8 * width, num_classes),
        )
        super().__init__(stages, head, num_classes, in_channels)


class ResidualStudent(StagedNet):
    """Small residual network (arXiv 1512.03385): the student, or peer, of another architecture.

    A stem of a 3×3 convolution with stride 2 and max-pooling, then 1, 1 and 2 basic blocks of
    ``width``, 2·``width`` and 4·``width`` channels, the second and third stage starting with stride
    2; global average pooling, linear. About 0.15 M parameters with ``width=16``.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, width: int = 16):
        _check_sizes(num_classes, in_channels, width)
        stages = {
            "stem": nn.Sequential(
                *conv_norm(in_channels, width, stride=2), nn.ReLU(), nn.MaxPool2d(2)
            ),
            "stage1": BasicBlock(width, width),
            "stage2": BasicBlock(width, 2 * width, stride=2),
            "stage3": nn.Sequential(
                BasicBlock(2 * width, 4 * width, stride=2), BasicBlock(4 * width, 4 * width)
            ),
        }
        head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, num_classes)
        )
        super().__init__(stages, head, num_classes, in_channels)


class StridedPointwise(nn.Conv2d):
    """A 1×1 convolution with a stride. Where a gradient is wanted, it is computed from the places
    it looks at alone.

    In channels_last and with fewer channels than fit a vector register, oneDNN's gradient of the
    strided one writes past the end of its workspace (github.com/uxlfoundation/oneDNN, issue 6035):
    a crash, or wrong gradients unnoticed.
    """

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not torch.is_grad_enabled():
            return super()._conv_forward(x, weight, bias)
        return F.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], weight, bias)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (arXiv 1512.03385)."""

    def __init__(self, channels: int, out: int, stride: int = 1):
        super().__init__()
        self.residual = nn.Sequential(
            *conv_norm(channels, out, stride), nn.ReLU(), *conv_norm(out, out)
        )
        self.shortcut: nn.Module = nn.Identity()
        if channels != out or stride > 1:
            self.shortcut = nn.Sequential(
                StridedPointwise(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.residual(x) + self.shortcut(x))


def _vgg_block(channels: int, out: int, depth: int, drop: float) -> nn.Sequential:
    layers = []
    for step in range(depth):
        layers += [
            nn.Conv2d(channels if step == 0 else out, out, 3, padding=1),
            nn.BatchNorm2d(out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Dropout2d(drop))


def _separable(channels: int, out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
        nn.BatchNorm2d(channels),
        nn.ReLU6(),
        nn.Conv2d(channels, out, 1),
        nn.BatchNorm2d(out),
        nn.ReLU6(),
    ]


def conv_norm(channels: int, out: int, stride: int = 1) -> list[nn.Module]:
    """A 3×3 convolution without bias and its batch norm."""
    return [nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out)]


def _check_sizes(num_classes: int, in_channels: int, width: int) -> None:
    checks.at_least(2)("num_classes", num_classes)
    checks.at_least(1)("in_channels", in_channels)
    checks.at_least(1)("width", width)
