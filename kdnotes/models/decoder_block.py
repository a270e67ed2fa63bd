"""A block of the decoder: attention to the places before, and a layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Counted(NamedTuple):
    """The places that count: their numbers among all, which are of the shape ``[B, L]``."""

    rows: Tensor
    shape: torch.Size

    def of(self, values: Tensor) -> Tensor:
        """``[B, L, …]`` to ``[places, …]``."""
        return values.flatten(0, 1).index_select(0, self.rows)

    def spread(self, values: Tensor) -> Tensor:
        """``[places, width]`` to ``[B, L, width]``, 0 where no place counts."""
        empty = values.new_zeros(self.shape.numel(), values.shape[1])
        return empty.index_copy(0, self.rows, values).unflatten(0, self.shape)


class Block(nn.Module):
    """x + attention(norm(x)), then x + layer(norm(x))."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(
        self, x: Tensor, past: Tensor | None = None, counted: Counted | None = None
    ) -> Tensor:
        """``[B, L, width]``, of which no place sees a later one; ``[places, width]`` of those that
        are ``counted``. The keys and values go to the end of ``past`` ``[2, ≥ L, B, width]``.
        """
        three = self.attend(self.before(x))
        three = three if counted is None else counted.spread(three)
        qkv = three.unflatten(2, (3, self.heads, -1)).permute(2, 1, 0, 3, 4)
        if past is not None:
            past = past.unflatten(3, (self.heads, -1))
            past[:, -qkv.shape[1] :] = qkv[1:]
        heard = _attend(qkv[0], *(qkv[1:] if past is None else past))
        heard = heard.transpose(0, 1).flatten(2)
        x = x + self.out(heard if counted is None else counted.of(heard))
        return x + self.contract(F.gelu(self.expand(self.between(x))))


def _attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of the last L of S places, none of which sees a later one.

    Args:
        query: ``[L, B, heads, size]``; so is what is returned.
        keys, values: ``[S, B, heads, size]``.
    """
    new, total = len(query), len(keys)
    if new == 1 < total:  # one product of numbers a place is less than the kernel's many small ones
        weights = (keys * (query * query.shape[3] ** -0.5)).sum(dim=3, keepdim=True).softmax(dim=0)
        return (weights * values).sum(dim=0, keepdim=True)
    sees = None
    if new < total:
        sees = torch.ones(new, total, dtype=torch.bool, device=query.device).tril(total - new)
    q, k, v = (one.permute(1, 2, 0, 3) for one in (query, keys, values))
    heard = F.scaled_dot_product_attention(q, k, v, attn_mask=sees, is_causal=sees is None)
    return heard.permute(2, 0, 1, 3)
