"""Networks made of networks: one with exits after its stages, and peers that are trained
together.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.models.networks import conv_norm
from kdnotes.models.staged import StagedNet, feature_shapes, forward_features


class MultiExitStudent(StagedNet):
    """A staged network with an exit after every stage but the first: the student of
    be-your-own-teacher (1905.08094).

    Each shallow exit is a bottleneck (3×3 convolutions, with stride 2 as often as it takes to reach
    the deepest stage's size) and a linear head. ``forward`` gives the deepest exit, which is the
    backbone's own head. Exits are built after the backbone, so that it starts from the weights that
    it would have alone.

    Args:
        backbone: builds the network without exits, such as ``functools.partial(ResidualStudent,
            in_channels=1)``.
    """

    def __init__(self, backbone: Callable[[], StagedNet]):
        checks.builder("backbone", backbone)
        network = backbone()
        if not isinstance(network, StagedNet):
            raise TypeError(
                f"backbone must build a network with named stages, not {type(network).__name__}"
            )
        super().__init__(
            dict(network.stages.named_children()),
            network.head,
            network.num_classes,
            network.in_channels,
        )
        shapes = feature_shapes(network)
        deepest = shapes.popitem()[1]
        shapes.popitem(last=False)
        if not shapes:
            raise ValueError(
                "backbone must have at least 3 stages, the exits lie between the first and the last"
            )
        self.exits = nn.ModuleDict(
            {name: Exit(shape, deepest, network.num_classes) for name, shape in shapes.items()}
        )

    def forward_exits(self, images: Tensor) -> dict[str, Tensor]:
        """Logits ``[batch, classes]`` of every exit, from the shallowest to the deepest."""
        logits, features = forward_features(self, images)
        shallow = {name: branch(features[name]) for name, branch in self.exits.items()}
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

    Its one stage, "peers", gives the logits of all, ``[batch, peers, classes]``; ``forward`` gives
    the first peer's. The first peer is built first, so that it starts from the weights that it
    would have alone; ``training.fit`` keeps the predictions of all peers with the run
    (``run.kept["peers.validation"]`` and ``["peers.test"]``).

    Args:
        peers: build the networks, two or more, such as ``(functools.partial(ResidualStudent,
            in_channels=1),) * 2``.
    """

    def __init__(self, peers: tuple[Callable[[], nn.Module], ...]):
        if not isinstance(peers, tuple) or len(peers) < 2:
            raise TypeError(
                "peers must be a tuple of 2 functions or more that build the networks, not "
                f"{peers!r}"
            )
        for number, peer in enumerate(peers):
            checks.builder(f"peers[{number}]", peer)
        networks = [build() for build in peers]
        for number, network in enumerate(networks):
            if not (hasattr(network, "num_classes") and hasattr(network, "in_channels")):
                raise TypeError(
                    f"peers[{number}] must build a network with the attributes num_classes and "
                    "in_channels, such as "
                    f"StudentNet, but a {type(network).__name__} lacks them"
                )
        sizes = {(network.num_classes, network.in_channels) for network in networks}
        if len(sizes) > 1:
            raise ValueError(f"peers must have equal classes and channels, not {sorted(sizes)}")
        super().__init__({"peers": Peers(networks)}, First(), *sizes.pop())

    @property
    def peers(self) -> list[nn.Module]:
        """The networks, in order."""
        return list(self.stages.peers.networks)


class Peers(nn.Module):
    """The logits of several networks, ``[batch, peers, classes]``."""

    def __init__(self, networks: list[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([network(images) for network in self.networks], dim=1)


class First(nn.Module):
    """The first peer's logits."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits[:, 0]


class Exit(nn.Module):
    """A bottleneck and a linear head behind a stage."""

    def __init__(self, shape: torch.Size, deepest: torch.Size, num_classes: int):
        super().__init__()
        (channels, size), (out, target) = (shape[0], shape[1]), (deepest[0], deepest[1])
        layers, stride = [], 2 if size > target else 1
        while not layers or size > target:
            layers += [*conv_norm(channels, out, stride), nn.ReLU()]
            channels, size = out, -(-size // stride)
        self.bottleneck = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(out, num_classes)
        )

    def forward(self, feature: Tensor) -> Tensor:
        return self.head(self.bottleneck(feature))
