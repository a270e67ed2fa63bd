"""Networks from elsewhere (timm, torchvision, transformers, one's own): do they give logits?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def check_network(
    name: str,
    network: nn.Module,
    images: Tensor,
    num_classes: int | None = None,
    modes: tuple[bool, ...] = (True, False),
) -> None:
    """``ValueError`` unless the network gives finite logits ``[batch, classes]`` for these images,
    in one tensor.

    Networks from elsewhere (timm, torchvision, transformers, one's own) may return a tuple, a dict
    or probabilities, some of them in training alone, or be built for other images.

    Args:
        name: what the message calls the network, such as "student".
        network: asked without gradients. In training mode that changes its running statistics: give
            a copy then.
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
                f"{name} ({type(network).__name__}) must take float32 images [batch, {channels}, "
                f"{height}, {width}], "
                f"but fails ({why}): build it for {height}×{width} pixels and {channels} channels, "
                "or begin it with a "
                "layer that adapts them, such as torch.nn.Upsample"
            ) from error
        if problem := _problem_of_logits(output, len(images), num_classes, network):
            wanted = f"[{len(images)}, {num_classes or 'classes'}]"
            when = "training" if mode else "evaluation"
            raise ValueError(
                f"{name} ({type(network).__name__}) must give logits {wanted}, but in {when} "
                f"{problem}"
            )


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
    shapes = [
        f"{key}: {list(x.shape) if isinstance(x, Tensor) else type(x).__name__}"
        for key, x in parts[:4]
    ]
    return f"{type(output).__name__}({', '.join(shapes)}{', …' if len(parts) > 4 else ''})"


def _problem_of_logits(output: Any, batch: int, num_classes: int | None, network: nn.Module) -> str:
    """What keeps an output from being finite logits ``[batch, classes]``, with the remedy; "" if
    nothing does.
    """
    returns = f"it returns {describe(output)}: "
    if not isinstance(output, Tensor):
        return returns + "wrap it in a torch.nn.Module whose forward returns the logits alone"
    if not output.is_floating_point():
        return returns + "it must return the logits themselves, not classes"
    if output.ndim > 2 and output.shape[0] == batch and output.shape[2:].numel() == 1:
        return returns + "put a torch.nn.Flatten behind it"
    if output.ndim != 2 or output.shape[0] != batch:
        return (
            returns
            + "a row an image and a column a class are wanted, so its last layers must be others"
        )
    if output.shape[1] != (num_classes or max(output.shape[1], 2)):
        return returns + f"give its last layer {num_classes or '2 or more'} outputs, one a class"
    if not bool(output.isfinite().all()):
        damaged = [
            name
            for name, tensor in network.state_dict().items()
            if not bool(tensor.isfinite().all())
        ]
        where = (
            f"{damaged[0]!r} is not finite"
            if damaged
            else "its weights are finite, look at its layers and images"
        )
        return f"some are NaN or infinite: {where}"
    if bool((output >= 0).all()) and bool(((output.sum(dim=1) - 1).abs() < 1e-4).all()):
        return "its rows are probabilities, they sum to 1: leave out its softmax"
    return ""
