"""A small language model: a decoder that reads tokens from left to right."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.models.decoder_block import Block, Counted

# How many tokens were read, and each block's keys and values ``[depth, 2, context, B, width]``: in
# this order a place's attention to those before runs through memory from end to end.
Cache = list

AT_ONCE = 1000  # strings written at a time, so that their keys and values take little memory


class Decoder(nn.Module):
    """A transformer decoder with norms before its layers (Radford et al. 2019; 1706.03762).

    ``classes + 2`` inputs (the answers, begin and padding: ``data.Vocabulary``), learned places,
    ``depth`` blocks of causal attention and a GELU layer of 4·``width``, a last norm, and a linear
    head of ``classes`` answers. No dropout. It has 12·w²·depth + (13·depth + 2·classes + context +
    4)·w + classes parameters for width w.

    Args:
        classes: answers to choose from: the end and the characters.
        context: most inputs of a string.
        width: of each place's vector, a multiple of ``heads``.
        depth: blocks.
        heads: of each attention.
    """

    def __init__(self, classes: int, context: int, width: int = 32, depth: int = 2, heads: int = 4):
        super().__init__()
        for name, value, least in (
            ("classes", classes, 2), ("context", context, 1), ("width", width, 1),
            ("depth", depth, 1), ("heads", heads, 1),
        ):  # fmt: skip
            checks.at_least(least)(name, value)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads ({heads}), not {width}")
        self.classes, self.context = classes, context
        self.tokens = nn.Embedding(classes + 2, width)
        self.places = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        for one in self.modules():
            if isinstance(one, (nn.Linear, nn.Embedding)):
                nn.init.normal_(one.weight, std=0.02)
            if isinstance(one, nn.Linear):
                nn.init.zeros_(one.bias)
        for block in self.blocks:  # so that the sum over the blocks begins as small as one of them
            for layer in (block.out, block.contract):
                nn.init.normal_(layer.weight, std=0.02 / (2 * depth) ** 0.5)

    def forward(
        self, tokens: Tensor, cache: Cache | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Logits ``[B, L, classes]`` of what follows each of the tokens ``[B, L]`` int64.

        Args:
            tokens: begin, and what follows it. With a cache, what follows the tokens of the calls
                before.
            cache: an empty list, or what earlier calls with it have left there; it is extended.
                For use without gradients.
            mask: the places that count, ``[B, L]`` bool, in each string the first ones; the others
                are not computed, and get the logits 0. Not with a cache.

        Raises:
            ValueError: more tokens than the context, a token that is none, or another mask.
        """
        seen = cache[0] if cache else 0
        self._check(tokens, seen)
        until = seen + tokens.shape[1]
        if mask is not None:
            checks.first_places(mask, tokens)
            if cache is not None:
                raise ValueError("mask must be None with a cache: all of its tokens count")
            counted = Counted(mask.flatten().nonzero()[:, 0], mask.shape)
            x = self.tokens(counted.of(tokens)) + self.places(counted.rows % until)
            for block in self.blocks:
                x = block(x, counted=counted)
            return counted.spread(self.head(self.norm(x)))
        x = self.tokens(tokens) + self.places.weight[seen:until]
        if cache is not None and not cache:
            cache += [0, x.new_empty(len(self.blocks), 2, self.context, len(x), x.shape[2])]
        for number, block in enumerate(self.blocks):
            x = block(x, cache and cache[1][number, :, :until])
        if cache:
            cache[0] = until
        return self.head(self.norm(x))

    def _check(self, tokens: Tensor, seen: int) -> None:
        checks.token_inputs(tokens, self.classes + 2)
        length = seen + tokens.shape[1]
        if not 0 < length <= self.context:
            raise ValueError(f"tokens must be 1 to {self.context} (the context), not {length}")

    @torch.no_grad()
    def sample(
        self, count: int, seed: int, temperature: float = 1.0, *, cached: bool = True
    ) -> Tensor:
        """Write strings: tokens ``[count, context + 1]`` int64, begin, characters, end, padding.

        A string without an end fills the context: it was cut off. The random numbers are drawn on
        the CPU, one a string and place, so that the strings depend on the seed alone, and not on
        how many are written at a time.

        Args:
            count: how many strings.
            seed: of the random numbers.
            temperature: T > 0 of the softmax that is drawn from; 1 draws from the model.
            cached: keep keys and values of the tokens before (or compute them again for each one).
        """
        checks.at_least(1)("count", count)
        checks.at_least(0)("seed", seed)
        checks.positive("temperature", temperature)
        device = self.head.weight.device
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.rand(self.context, count, generator=generator, dtype=torch.float64).to(device)
        tokens = torch.full((count, self.context + 1), self.classes + 1, device=device)
        tokens[:, 0] = self.classes
        with checks.trusted():
            for part in zip(tokens.split(AT_ONCE), drawn.split(AT_ONCE, dim=1), strict=True):
                self._write(*part, temperature, cached)
        return tokens

    def _write(self, tokens: Tensor, drawn: Tensor, temperature: float, cached: bool) -> None:
        """Fill tokens ``[B, context + 1]``, of which the begin is there; drawn ``[context, B]``."""
        rows, cache, last = torch.arange(len(tokens), device=tokens.device), [], tokens[:, :1]
        for place in range(self.context):  # rows: those without an end
            z = self(last, cache)[:, -1] if cached else self(tokens[:, : place + 1])[rows, -1]
            z = z.double() / temperature
            ladder = (z - z.amax(dim=1, keepdim=True)).exp().cumsum(dim=1)  # the last: their sum
            chosen = torch.searchsorted(ladder, drawn[place, rows, None] * ladder[:, -1:])[:, 0]
            tokens[rows, place + 1] = chosen
            left = chosen.nonzero()[:, 0]  # 0 is the end
            if not len(left):
                break
            # The last ones take the places of those that have ended: few are moved, in place.
            free = (chosen[: len(left)] == 0).nonzero()[:, 0]
            movers = left[len(left) - len(free) :]
            rows[free], chosen[free] = rows[movers], chosen[movers]
            rows, last = rows[: len(left)], chosen[: len(left), None]
            if cached:
                past = cache[1][:, :, : place + 1]
                past[:, :, :, free] = past[:, :, :, movers]
                cache[1] = cache[1][:, :, :, : len(left)]
