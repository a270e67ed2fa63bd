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

    def room(self, x: Tensor, context: int) -> Tensor:
        """For keys and values of the strings of x ``[B, …]``: ``[2, B, heads, context, size]``."""
        return x.new_empty(2, len(x), self.heads, context, x.shape[2] // self.heads)

    def forward(
        self, x: Tensor, past: Tensor | None = None, counted: Counted | None = None
    ) -> Tensor:
        """``[B, L, width]``, of which no place sees a later one; ``[places, width]`` of those that
        are ``counted``. The keys and values go to the end of ``past``.
        """
        three = self.attend(self.before(x))
        three = three if counted is None else counted.spread(three)
        qkv = three.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        new, kv = qkv.shape[3], qkv[1:]
        if past is not None:
            past[:, :, :, -new:] = kv
            kv = past
        is_first = new == kv.shape[3]
        mask = None if is_first or new == 1 else _sees(new, kv.shape[3], x.device)
        heard = F.scaled_dot_product_attention(
            qkv[0], kv[0], kv[1], attn_mask=mask, is_causal=is_first
        )
        heard = heard.transpose(1, 2).flatten(2)
        x = x + self.out(heard if counted is None else counted.of(heard))
        return x + self.contract(F.gelu(self.expand(self.between(x))))


def _sees(new: int, total: int, device: torch.device) -> Tensor:
    """Which of ``total`` places each of the ``new`` last ones may see, ``[new, total]`` bool."""
    return torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)
