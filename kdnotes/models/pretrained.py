"""A network from elsewhere (timm, torchvision) that sees the course's images as its own."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.models.foreign import check_network


class Preset(NamedTuple):
    """How a network wants its images.

    Args:
        size: height and width in pixels.
        mean, std: of each channel, of values in 0 … 1; one number a channel.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


_DAMAGED = (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError)
IMAGENET = Preset(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class NormalisedImages(Protocol):
    """What is asked of a data set: a ``kdnotes.data.Splits``."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def num_classes(self) -> int: ...

    @property
    def in_channels(self) -> int: ...


class Adapted(nn.Module):
    """A network behind the layers that turn a data set's images into its own; see ``adapt``."""

    def __init__(
        self, network: nn.Module, data: NormalisedImages, preset: Preset, columns: list[int] | None
    ):
        super().__init__()
        self.network, self.size, self.columns = network, preset.size, columns
        self.num_classes, self.in_channels = data.num_classes, data.in_channels
        for name, numbers in {
            "data_mean": data.mean, "data_std": data.std, "mean": preset.mean, "std": preset.std,
        }.items():  # fmt: skip
            values = torch.tensor(numbers, dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[batch, channels, h, w]`` of the data set to logits ``[batch, classes]``."""
        pixels = images * self.data_std + self.data_mean  # 0 … 1
        if pixels.shape[2:] != (self.size, self.size):
            smaller = self.size < pixels.shape[2]
            size = (self.size, self.size)
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=smaller)
        logits = self.network((pixels - self.mean) / self.std)  # grey becomes three channels here
        return logits if self.columns is None else logits[:, self.columns]


def adapt(
    network: nn.Module,
    data: NormalisedImages,
    preset: Any = None,
    *,
    columns: Sequence[int] | None = None,
) -> Adapted:
    """The network for a data set's images: its size, its normalisation, colour from grey, its
    classes. It holds the network itself, not a copy, and may be a teacher or a student.

    Args:
        network: from images ``[batch, channels, size, size]`` to logits, of timm, torchvision or
            one's own.
        data: whose images it will see (``data.load``).
        preset: a ``Preset``; or weights of torchvision, such as ``ResNet18_Weights.DEFAULT``, that
            tell theirs (nothing is downloaded for it); ``None``: what a network of timm says of
            itself.
        columns: of its outputs, one for each class of the data; ``None``: it has no others.

    Raises:
        ValueError: nothing says how it wants its images, channels or columns do not fit, or it
            gives something else than logits for two images.
        TypeError: an argument of the wrong kind.
    """
    checks.instance(nn.Module, said="a torch.nn.Module")("network", network)
    if not all(hasattr(data, name) for name in ("mean", "std", "num_classes", "in_channels")):
        raise TypeError(f"data must be a kdnotes.data.Splits, not {checks.kind_of(data)}")
    known = preset_of(network if preset is None else preset)
    if data.in_channels not in (1, len(known.mean)):
        raise ValueError(
            f"network must see images of {data.in_channels} channels, as the data has, or data be "
            f"grey; its preset has {len(known.mean)}"
        )
    adapted = Adapted(network, data, known, _checked_columns(columns, data.num_classes))
    mode, images = network.training, torch.zeros(2, data.in_channels, 32, 32)
    try:
        check_network("network", adapted, images, data.num_classes, modes=(False,))
    finally:
        adapted.train(mode)
    return adapted


def preset_of(source: Any) -> Preset:
    """What a network of timm, or weights of torchvision, say of the images that they want.

    Raises:
        ValueError: they say nothing.
    """
    try:
        size, mean, std = source if isinstance(source, Preset) else _told(source)
    except (AttributeError, KeyError) as error:
        raise ValueError(
            "preset must be given, as models.Preset(size, mean, std) or weights of torchvision: a "
            f"{checks.kind_of(source)} does not say which images it wants. models.IMAGENET is the "
            "usual one"
        ) from error
    if not isinstance(size, int):
        raise ValueError(f"size must be one number of pixels, height and width, not {size!r}")
    checks.at_least(1)("size", size)
    if len(mean) != len(std) or not len(mean):
        raise ValueError(f"mean and std must have a number a channel, not {mean!r} and {std!r}")
    for number in mean:
        checks.number("mean", number)
    for number in std:
        checks.positive("std", number)
    return Preset(size, tuple(mean), tuple(std))


def _told(source: Any) -> tuple[Any, Sequence[float], Sequence[float]]:
    if isinstance(said := getattr(source, "pretrained_cfg", None), Mapping):  # timm
        size, mean, std = said["input_size"][1:], said["mean"], said["std"]
    else:  # torchvision
        how = source.transforms()
        size, mean, std = how.crop_size, how.mean, how.std
    return size[0] if len(set(size)) == 1 else tuple(size), mean, std


def _checked_columns(columns: Sequence[int] | None, num_classes: int) -> list[int] | None:
    if columns is None:
        return None
    columns = list(columns)
    for column in columns:
        checks.at_least(0)("columns", column)
    if len(columns) != num_classes or len(set(columns)) != num_classes:
        raise ValueError(
            f"columns must be {num_classes} different outputs, one for each class, not {columns}"
        )
    return columns


def load_weights(network: nn.Module, path: Path | str, *, without: Sequence[str] = ()) -> nn.Module:
    """The network with the weights of a local file; nothing is ever downloaded.

    Args:
        network: of the architecture of the file.
        path: a file of safetensors, or of ``torch.save`` (.pth, .pt, .bin), of which tensors alone
            are read: no code of a pickle runs.
        without: beginnings of names that are not taken from the file, such as ("fc.",), the last
            layer of a network for other classes.

    Raises:
        ValueError: no such file, it cannot be read, or its tensors belong to another architecture.
    """
    checks.instance(nn.Module, said="a torch.nn.Module")("network", network)
    checks.existing_file("path", path, "a local file of weights")
    left = tuple([without] if isinstance(without, str) else without)
    held = {name: x for name, x in _read(Path(path)).items() if not name.startswith(left)}
    own = {name: x for name, x in network.state_dict().items() if not name.startswith(left)}
    shapes = {name: list(x.shape) for name, x in own.items()}
    found = {name: list(x.shape) for name, x in held.items()}
    if shapes != found:
        different = [name for name in {**shapes, **found} if shapes.get(name) != found.get(name)]
        first = different[0]
        raise ValueError(
            f"path must hold weights of a {type(network).__name__}: {len(different)} tensors "
            f"differ, the first is {first!r}, {shapes.get(first)} in the network and "
            f"{found.get(first)} in {Path(path).name}; without=({first.split('.')[0] + '.'!r},) "
            "leaves such a layer as it is"
        )
    network.load_state_dict(held, strict=False)
    return network


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        why = str(error).strip().split("\n", maxsplit=1)[0][:120]
        raise ValueError(f"path must hold tensors, but {path.name} does not: {why}") from error
    for name in ("state_dict", "model"):  # what training scripts wrap them in
        held = held.get(name, held) if isinstance(held, Mapping) else held
    if not isinstance(held, Mapping) or not all(isinstance(x, Tensor) for x in held.values()):
        found = checks.kind_of(held)
        raise ValueError(f"path must hold tensors by name, but {path.name} holds a {found}")
    return dict(held)
