"""A learner's function in a submission's process, as a function here."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from kdnotes.course.grading.link import Ended, Process

__all__ = ["RemoteFunction"]

KINDS = {
    name: getattr(inspect.Parameter, name)
    for name in (
        "POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD", "VAR_POSITIONAL", "KEYWORD_ONLY", "VAR_KEYWORD"
    )
}  # fmt: skip


class RemoteFunction:
    """A learner's function: called here, it runs there, gradients included."""

    def __init__(self, process: Process, parameters: Any) -> None:
        self.process = process
        if signature := _signature(parameters):
            self.__signature__ = signature

    def __call__(self, *case: Any) -> Any:
        leaves = list(_leaves(case))

        def attach(tensor: Tensor, number: int) -> Tensor:
            if not leaves:  # its gradients go elsewhere, such as into a network's weights
                return tensor.requires_grad_()
            return _Output.apply(self, number, tensor, *leaves)

        reply = self.process.ask("call", case, attach=attach)
        networks = [one for one in case if isinstance(one, nn.Module)]
        try:
            value, states = reply
            for network, (state, with_gradient) in zip(networks, states, strict=True):
                _restore(network, state, set(with_gradient))
        except (ValueError, TypeError, RuntimeError) as error:
            self.process.stop()
            raise Ended("killed", "its process answers nonsense") from error
        return value

    def gradient(self, number: int, weights: Tensor, leaves: list[Tensor]) -> list[Tensor | None]:
        found = self.process.ask("gradient", number, weights)
        if not isinstance(found, list) or not _fit(found, leaves):
            self.process.stop()
            raise Ended("killed", "its process answers nonsense")
        return found


def _fit(gradients: list[Any], leaves: list[Tensor]) -> bool:
    return len(gradients) == len(leaves) and all(
        one is None or (isinstance(one, Tensor) and one.shape == leaf.shape)
        for one, leaf in zip(gradients, leaves, strict=True)
    )


class _Output(torch.autograd.Function):
    """A tensor that the function gave, whose gradients are asked for where it came from."""

    @staticmethod
    def forward(ctx: Any, function: RemoteFunction, number: int, tensor: Tensor, *leaves: Tensor):
        ctx.function, ctx.number, ctx.leaves = function, number, leaves
        return tensor.clone()

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> tuple[Any, ...]:
        return (None, None, None, *ctx.function.gradient(ctx.number, weights, list(ctx.leaves)))


def _leaves(case: Any) -> Iterator[Tensor]:
    for one in case:
        if isinstance(one, (tuple, list)):
            yield from _leaves(one)
        elif isinstance(one, Tensor) and one.requires_grad:
            yield one


def _restore(network: nn.Module, state: dict[str, Tensor], with_gradient: set[str]) -> None:
    """Bring a network here into the state that the function left it in there."""
    network.load_state_dict(state)
    for name, one in network.named_parameters():
        one.grad = torch.zeros_like(one) if name in with_gradient else None


def _signature(parameters: Any) -> inspect.Signature | None:
    try:
        made = [inspect.Parameter(name, KINDS[kind]) for name, kind in parameters]
        long = any(len(one.name) > 60 for one in made)
        return inspect.Signature(made) if made and not long else None
    except (ValueError, TypeError, KeyError):
        return None
