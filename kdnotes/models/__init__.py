"""Teacher and student networks for 32×32 images, each a chain of named stages and a head.

A stage boundary is a block boundary (pooling and dropout belong to the block they follow), so ``model.stages`` is an
``nn.Sequential`` whose children carry the names, and an intermediate feature is the output of one of its children.
``width`` scales every layer; any number of classes ≥ 2 and of input channels ≥ 1 works.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "Cohort", "MultiExitStudent", "ResidualStudent", "StridedPointwise", "StudentNet", "TeacherNet",
    "check_network", "count_parameters", "feature_shapes", "forward_features", "stages_of_equal_size",
]  # fmt: skip


class StagedNet(nn.Module):
    """``stages`` (named blocks) followed by ``head``; the base of the course's networks."""

    def __init__(self, stages: dict[str, nn.Module], head: nn.Module, num_classes: int, in_channels: int):
        super().__init__()
        self.stages = nn.Sequential(OrderedDict(stages))
        self.head = head
        self.num_classes = num_classes
        self.in_channels = in_channels

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[batch, channels, 32, 32]`` to logits ``[batch, classes]``."""
        return self.head(self.stages(images))


class TeacherNet(StagedNet):
    """VGG-style teacher: 3×3 convolutions (with bias), batch norm and ReLU in four blocks of 2, 2, 3 and 3.

    Each block ends in 2×2 max-pooling and channel dropout (0.1, 0.1, 0.1, 0.2). With ``width=64``, 3 channels and 10
    classes it has 10,268,746 parameters.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, width: int = 64):
        _check_sizes(num_classes, in_channels, width)
        channels = [width, 2 * width, 4 * width, 8 * width]
        stages, previous = {}, in_channels
        for number, (out, depth, drop) in enumerate(zip(channels, (2, 2, 3, 3), (0.1, 0.1, 0.1, 0.2), strict=True), 1):
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

    Stem, then three blocks of depthwise 3×3 and pointwise 1×1 convolutions with batch norm and ReLU6; global average
    pooling, dropout 0.2, linear. With ``width=32``, 3 channels and 10 classes it has 50,570 parameters.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, width: int = 32):
        _check_sizes(num_classes, in_channels, width)
        stages = {
            "stem": nn.Sequential(
                nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU6(), nn.MaxPool2d(2)
            ),
            "block1": nn.Sequential(*_separable(width, 2 * width), nn.MaxPool2d(2)),
            "block2": nn.Sequential(*_separable(2 * width, 4 * width), nn.MaxPool2d(2)),
            "block3": nn.Sequential(*_separable(4 * width, 8 * width)),
        }
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8 * width, num_classes))
        super().__init__(stages, head, num_classes, in_channels)


class ResidualStudent(StagedNet):
    """Small residual network (arXiv 1512.03385): the student, or peer, of another architecture.

    A stem of a 3×3 convolution with stride 2 and max-pooling, then 1, 1 and 2 basic blocks of ``width``, 2·``width``
    and 4·``width`` channels, the second and third stage starting with stride 2; global average pooling, linear. About
    0.15 M parameters with ``width=16``.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, width: int = 16):
        _check_sizes(num_classes, in_channels, width)
        stages = {
            "stem": nn.Sequential(*_conv_norm(in_channels, width, stride=2), nn.ReLU(), nn.MaxPool2d(2)),
            "stage1": _BasicBlock(width, width),
            "stage2": _BasicBlock(width, 2 * width, stride=2),
            "stage3": nn.Sequential(_BasicBlock(2 * width, 4 * width, stride=2), _BasicBlock(4 * width, 4 * width)),
        }
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, num_classes))
        super().__init__(stages, head, num_classes, in_channels)


class MultiExitStudent(StagedNet):
    """A staged network with an exit after every stage but the first: the student of be-your-own-teacher (1905.08094).

    Each shallow exit is a bottleneck (3×3 convolutions, with stride 2 as often as it takes to reach the deepest stage's
    size) and a linear head. ``forward`` gives the deepest exit, which is the backbone's own head. Exits are built after
    the backbone, so that it starts from the weights that it would have alone.

    Args:
        backbone: builds the network without exits, such as ``functools.partial(ResidualStudent, in_channels=1)``.
    """

    def __init__(self, backbone: Callable[[], StagedNet]):
        if not callable(backbone) or isinstance(backbone, nn.Module):
            raise TypeError(
                "backbone must be a function that builds the network, such as functools.partial(StudentNet, width=16), "
                f"not {type(backbone).__name__}"
            )
        network = backbone()
        if not isinstance(network, StagedNet):
            raise TypeError(f"backbone must build a network with named stages, not {type(network).__name__}")
        super().__init__(dict(network.stages.named_children()), network.head, network.num_classes, network.in_channels)
        shapes = feature_shapes(network)
        deepest = shapes.popitem()[1]
        shapes.popitem(last=False)
        if not shapes:
            raise ValueError("backbone must have at least 3 stages, the exits lie between the first and the last")
        self.exits = nn.ModuleDict({name: _Exit(shape, deepest, network.num_classes) for name, shape in shapes.items()})

    def forward_exits(self, images: Tensor) -> dict[str, Tensor]:
        """Logits ``[batch, classes]`` of every exit, from the shallowest to the deepest."""
        logits, features = forward_features(self, images)
        shallow = {name: exit(features[name]) for name, exit in self.exits.items()}
        return shallow | {list(features)[-1]: logits}

    def forward_until(self, images: Tensor, exit: str) -> Tensor:
        """Logits of one exit, computing no stage beyond it."""
        allowed = [*self.exits, list(self.stages._modules)[-1]]
        if exit not in allowed:
            raise ValueError(f"exit must be one of {allowed}, not {exit!r}")
        x = images
        for name, stage in self.stages.named_children():
            x = stage(x)
            if name == exit and name in self.exits:
                return self.exits[name](x)
        return self.head(x)


class Cohort(StagedNet):
    """Peers that are trained together: the student of deep mutual learning (1706.00384).

    Its one stage, "peers", gives the logits of all, ``[batch, peers, classes]``; ``forward`` gives the first peer's.
    The first peer is built first, so that it starts from the weights that it would have alone; ``training.fit`` keeps
    the predictions of all peers with the run (``run.kept["peers.validation"]`` and ``["peers.test"]``).

    Args:
        peers: build the networks, two or more, such as ``(functools.partial(ResidualStudent, in_channels=1),) * 2``.
    """

    def __init__(self, peers: tuple[Callable[[], nn.Module], ...]):
        if not isinstance(peers, tuple) or len(peers) < 2:
            raise TypeError(f"peers must be a tuple of 2 functions or more that build the networks, not {peers!r}")
        for number, peer in enumerate(peers):
            if not callable(peer) or isinstance(peer, nn.Module):
                raise TypeError(
                    f"peers[{number}] must be a function that builds the network, not {type(peer).__name__}"
                )
        networks = [build() for build in peers]
        for number, network in enumerate(networks):
            if not (hasattr(network, "num_classes") and hasattr(network, "in_channels")):
                raise TypeError(
                    f"peers[{number}] must build a network with the attributes num_classes and in_channels, such as "
                    f"StudentNet, but a {type(network).__name__} lacks them"
                )
        sizes = {(network.num_classes, network.in_channels) for network in networks}
        if len(sizes) > 1:
            raise ValueError(f"peers must have equal classes and channels, not {sorted(sizes)}")
        super().__init__({"peers": _Peers(networks)}, _First(), *sizes.pop())

    @property
    def peers(self) -> list[nn.Module]:
        """The networks, in order."""
        return list(self.stages.peers.networks)


class _Peers(nn.Module):
    def __init__(self, networks: list[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([network(images) for network in self.networks], dim=1)


class _First(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return logits[:, 0]


class _Exit(nn.Module):
    def __init__(self, shape: torch.Size, deepest: torch.Size, num_classes: int):
        super().__init__()
        (channels, size), (out, target) = (shape[0], shape[1]), (deepest[0], deepest[1])
        layers, stride = [], 2 if size > target else 1
        while not layers or size > target:
            layers += [*_conv_norm(channels, out, stride), nn.ReLU()]
            channels, size = out, -(-size // stride)
        self.bottleneck = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(out, num_classes))

    def forward(self, feature: Tensor) -> Tensor:
        return self.head(self.bottleneck(feature))


class StridedPointwise(nn.Conv2d):
    """A 1×1 convolution with a stride. Where a gradient is wanted, it is computed from the places it looks at alone.

    In channels_last and with fewer channels than fit a vector register, oneDNN's gradient of the strided one writes
    past the end of its workspace (github.com/uxlfoundation/oneDNN, issue 6035): a crash, or wrong gradients unnoticed.
    """

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not torch.is_grad_enabled():
            return super()._conv_forward(x, weight, bias)
        return F.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], weight, bias)


class _BasicBlock(nn.Module):
    def __init__(self, channels: int, out: int, stride: int = 1):
        super().__init__()
        self.residual = nn.Sequential(*_conv_norm(channels, out, stride), nn.ReLU(), *_conv_norm(out, out))
        self.shortcut: nn.Module = nn.Identity()
        if channels != out or stride > 1:
            self.shortcut = nn.Sequential(StridedPointwise(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.residual(x) + self.shortcut(x))


def forward_features(model: StagedNet, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits ``[batch, classes]`` and the output ``[batch, channels, height, width]`` of every stage, by name."""
    features, x = {}, images
    for name, stage in model.stages.named_children():
        x = features[name] = stage(x)
    return model.head(x), features


def check_network(
    name: str,
    network: nn.Module,
    images: Tensor,
    num_classes: int | None = None,
    modes: tuple[bool, ...] = (True, False),
) -> None:
    """``ValueError`` unless the network gives finite logits ``[batch, classes]`` for these images, in one tensor.

    Networks from elsewhere (timm, torchvision, transformers, one's own) may return a tuple, a dict or probabilities,
    some of them in training alone, or be built for other images.

    Args:
        name: what the message calls the network, such as "student".
        network: asked without gradients. In training mode that changes its running statistics: give a copy then.
        images: two or more, ``[batch, channels, height, width]``.
        num_classes: of the data; ``None``: any number from 2.
        modes: whether it is asked in training mode, in evaluation mode, or in both.
    """
    for mode in modes:
        try:
            with torch.no_grad():
                output = network.train(mode)(images)
        except Exception as error:  # whatever a network from elsewhere raises
            channels, height, width = images.shape[1:]
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ValueError(
                f"{name} ({type(network).__name__}) must take float32 images [batch, {channels}, {height}, {width}], "
                f"but fails ({why}): build it for {height}×{width} pixels and {channels} channels, or begin it with a "
                "layer that adapts them, such as torch.nn.Upsample"
            ) from error
        if problem := _problem_of_logits(output, len(images), num_classes, network):
            wanted = f"[{len(images)}, {num_classes or 'classes'}]"
            when = "training" if mode else "evaluation"
            raise ValueError(f"{name} ({type(network).__name__}) must give logits {wanted}, but in {when} {problem}")


def describe(output: Any) -> str:
    """What a network returned, in a few words: its kind, and the shapes of what is inside."""
    if isinstance(output, Tensor):
        return f"a {str(output.dtype).removeprefix('torch.')} tensor {list(output.shape)}"
    if isinstance(output, Mapping):
        parts = list(output.items())
    elif isinstance(output, (tuple, list)):
        parts = list(zip(getattr(output, "_fields", range(len(output))), output, strict=True))
    else:
        parts = list(getattr(output, "__dict__", {}).items())
    shapes = [f"{key}: {list(x.shape) if isinstance(x, Tensor) else type(x).__name__}" for key, x in parts[:4]]
    return f"{type(output).__name__}({', '.join(shapes)}{', …' if len(parts) > 4 else ''})"


def _problem_of_logits(output: Any, batch: int, num_classes: int | None, network: nn.Module) -> str:
    """What keeps an output from being finite logits ``[batch, classes]``, with the remedy; "" if nothing does."""
    returns = f"it returns {describe(output)}: "
    if not isinstance(output, Tensor):
        return returns + "wrap it in a torch.nn.Module whose forward returns the logits alone"
    if not output.is_floating_point():
        return returns + "it must return the logits themselves, not classes"
    if output.ndim > 2 and output.shape[0] == batch and output.shape[2:].numel() == 1:
        return returns + "put a torch.nn.Flatten behind it"
    if output.ndim != 2 or output.shape[0] != batch:
        return returns + "a row an image and a column a class are wanted, so its last layers must be others"
    if output.shape[1] != (num_classes or max(output.shape[1], 2)):
        return returns + f"give its last layer {num_classes or '2 or more'} outputs, one a class"
    if not bool(output.isfinite().all()):
        damaged = [name for name, tensor in network.state_dict().items() if not bool(tensor.isfinite().all())]
        where = f"{damaged[0]!r} is not finite" if damaged else "its weights are finite, look at its layers and images"
        return f"some are NaN or infinite: {where}"
    if bool((output >= 0).all()) and bool(((output.sum(dim=1) - 1).abs() < 1e-4).all()):
        return "its rows are probabilities, they sum to 1: leave out its softmax"
    return ""


def count_parameters(model: nn.Module) -> int:
    """Number of weights and biases, frozen or not; buffers such as running statistics do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def feature_shapes(model: StagedNet) -> OrderedDict[str, torch.Size]:
    """Shape ``[channels, height, width]`` of every stage's output for a 32×32 image; the model is left as it was."""
    training = model.training
    with torch.no_grad():
        device = next(model.parameters()).device
        _, features = forward_features(model.eval(), torch.zeros(1, model.in_channels, 32, 32, device=device))
    model.train(training)
    return OrderedDict((name, feature.shape[1:]) for name, feature in features.items())


def stages_of_equal_size(student: StagedNet, teacher: StagedNet) -> tuple[tuple[str, str], ...]:
    """Pairs (student's stage, teacher's stage) whose outputs have equal height and width: of each size the last."""
    ours, theirs = ({shape[1:]: name for name, shape in feature_shapes(net).items()} for net in (student, teacher))
    return tuple((name, theirs[size]) for size, name in ours.items() if size in theirs)


def _vgg_block(channels: int, out: int, depth: int, drop: float) -> nn.Sequential:
    layers = []
    for step in range(depth):
        layers += [nn.Conv2d(channels if step == 0 else out, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Dropout2d(drop))


def _separable(channels: int, out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.BatchNorm2d(channels), nn.ReLU6(),
        nn.Conv2d(channels, out, 1), nn.BatchNorm2d(out), nn.ReLU6(),
    ]  # fmt: skip


def _conv_norm(channels: int, out: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out)]


def _check_sizes(num_classes: int, in_channels: int, width: int) -> None:
    for name, value, least in (("num_classes", num_classes, 2), ("in_channels", in_channels, 1), ("width", width, 1)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
