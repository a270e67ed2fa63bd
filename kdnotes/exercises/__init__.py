"""References, cases and named traps of the chapters' exercises, one module a chapter."""

from __future__ import annotations

import torch
from torch import Tensor


def with_gradients(value: object) -> object:
    """What is compared of a scalar loss: its value, and the lengths of the gradients that it sends, largest first."""
    if isinstance(value, (list, tuple)):
        return tuple(with_gradients(one) for one in value)
    if not isinstance(value, Tensor) or value.ndim:
        return value
    gradients = torch.autograd.grad(value, _leaves(value), retain_graph=True) if value.grad_fn is not None else []
    return value.detach(), tuple(sorted((float(one.norm()) for one in gradients), reverse=True))


def _leaves(loss: Tensor) -> list[Tensor]:
    """The tensors whose gradient the loss would fill."""
    waiting, seen, found = [loss.grad_fn], set(), []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        waiting += [following for following, _ in node.next_functions]
    return found
