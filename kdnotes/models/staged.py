"""A network as a chain of named stages and a head, and what can be asked of one.

A stage boundary is a block boundary (pooling and dropout belong to the block they follow), so
``model.stages`` is an ``nn.Sequential`` whose children carry the names, and an intermediate feature
is the output of one of its children.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class StagedNet(nn.Module):
    """``stages`` (named blocks) followed by ``head``; the base of the course's networks."""

    def __init__(
        self, stages: dict[str, nn.Module], head: nn.Module, num_classes: int, in_channels: int
    ):
        super().__init__()
        self.stages = nn.Sequential(OrderedDict(stages))
        self.head = head
        self.num_classes = num_classes
        self.in_channels = in_channels

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[batch, channels, 32, 32]`` to logits ``[batch, classes]``."""
        return self.head(self.stages(images))


def forward_features(model: StagedNet, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits ``[batch, classes]`` and the output ``[batch, channels, height, width]`` of every
    stage, by name.
    """
    features, x = {}, images
    for name, stage in model.stages.named_children():
        x = features[name] = stage(x)
    return model.head(x), features


def count_parameters(model: nn.Module) -> int:
    """Number of weights and biases, frozen or not; buffers such as running statistics do not
    count.
    """
    return sum(parameter.numel() for parameter in model.parameters())


def feature_shapes(model: StagedNet) -> OrderedDict[str, torch.Size]:
    """Shape ``[channels, height, width]`` of every stage's output for a 32×32 image; the model is
    left as it was.
    """
    training = model.training
    with torch.no_grad():
        device = next(model.parameters()).device
        _, features = forward_features(
            model.eval(), torch.zeros(1, model.in_channels, 32, 32, device=device)
        )
    model.train(training)
    return OrderedDict((name, feature.shape[1:]) for name, feature in features.items())


def input_shape(model: nn.Module) -> tuple[int, int, int] | None:
    """``(channels, height, width)`` of the images that a network is made for: its attribute
    ``input_shape``, or 32×32 with its ``in_channels``; ``None`` if it says neither.
    """
    channels = getattr(model, "in_channels", None)
    return getattr(model, "input_shape", None) or (channels and (channels, 32, 32))


def stages_of_equal_size(student: StagedNet, teacher: StagedNet) -> tuple[tuple[str, str], ...]:
    """Pairs (student's stage, teacher's stage) whose outputs have equal height and width: of each
    size the last. (Logits by token or peer have no size.)
    """
    ours, theirs = (
        {shape[1:]: name for name, shape in feature_shapes(net).items() if len(shape) == 3}
        for net in (student, teacher)
    )
    return tuple((name, theirs[size]) for size, name in ours.items() if size in theirs)
