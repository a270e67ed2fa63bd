"""Teachers of language: asked once for their answers to the training strings, and for strings."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from kdnotes import checks, store
from kdnotes.data import Strings, Vocabulary
from kdnotes.machine import single_thread
from kdnotes.models import Decoder

AT_ONCE = 500  # strings a forward pass
STORED_AT_MOST = 2**28  # bytes of a bank; a teacher of more answers in every step


@dataclasses.dataclass(eq=False)
class LanguageTeacher:
    """A trained decoder in eval mode, without gradients, and the record of its training.

    Args:
        model: the decoder.
        vocabulary: whose tokens it knows.
        record: how it was trained and what it reached.
    """

    model: Decoder = checks.bound(checks.instance(Decoder))
    vocabulary: Vocabulary = checks.bound(checks.instance(Vocabulary))
    record: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.fields(self)
        check_speaks(self.model, self.vocabulary)
        self.model.eval().requires_grad_(False)

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of architecture, weights and characters: its identity in every store."""
        parts = [str(self.model), self.model.context, self.model.state_dict()]
        return store.fingerprint([*parts, self.vocabulary])

    def logits(self, strings: Strings) -> Tensor:
        """Logits ``[B, L, classes]`` of what follows each input that counts, 0 where none does.

        Without gradients, and on the strings' device, to which the model moves.
        """
        with torch.no_grad():
            return self.model.to(strings.tokens.device)(strings.inputs, mask=strings.mask)

    def read(self, strings: Strings) -> Iterator[Tensor]:
        """``logits`` of 500 strings at a time, on one thread: all of them may not fit."""
        self._check(strings)
        for part in torch.arange(len(strings)).split(AT_ONCE):
            with single_thread():
                yield self.logits(Strings(strings.tokens[part], strings.vocabulary))

    def bank(self, strings: Strings) -> Tensor | None:
        """Logits ``[N, L, classes]`` for all strings: computed once, then read from the disk.

        ``None`` where they would take more than 256 MB.
        """
        self._check(strings)
        if strings.inputs.numel() * self.model.classes * 4 > STORED_AT_MOST:
            return None
        device = strings.tokens.device
        parts = [bank_of, self.key, strings.tokens, *_not_cpu(device)]
        return store.cached_tensor(parts, lambda: bank_of(self, strings)).to(device)

    def write(self, count: int, seed: int, temperature: float = 1.0) -> Strings:
        """Strings that it writes, where its model is (stored).

        Args:
            count: how many.
            seed: of the draws.
            temperature: T > 0 of the softmax that is drawn from.
        """
        device = self.model.head.weight.device
        tokens = store.cached_tensor(
            [written_by, self.key, count, seed, temperature, *_not_cpu(device)],
            lambda: written_by(self, count, seed, temperature),
        )
        return Strings(tokens.to(device), self.vocabulary)

    def _check(self, strings: Strings) -> None:
        check_reads(self.model, strings)
        self.check_knows(strings.vocabulary)

    def check_knows(self, vocabulary: Vocabulary) -> None:
        """Its tokens are those of this vocabulary, and not only as many.

        Raises:
            ValueError: it is not so.
        """
        if vocabulary != self.vocabulary:
            known, found = self.vocabulary.spelled, vocabulary.spelled
            raise ValueError(f"the teacher's tokens must be the strings' {found!r}, not {known!r}")


def bank_of(teacher: LanguageTeacher, strings: Strings) -> Tensor:
    """The logits of all strings, computed anew, ``[N, L, classes]``."""
    return torch.cat(list(teacher.read(strings)))


def written_by(teacher: LanguageTeacher, count: int, seed: int, temperature: float) -> Tensor:
    """Tokens of strings that the teacher writes, ``[count, context + 1]``, drawn anew."""
    with single_thread():
        return teacher.model.sample(count, seed, temperature)


def moved(strings: Strings, device: torch.device) -> Strings:
    """The same strings on a device."""
    if strings.tokens.device == device:
        return strings
    return Strings(strings.tokens.to(device), strings.vocabulary)


def _not_cpu(device: torch.device) -> list[str]:
    """What a device that rounds in its own way adds to the name of a stored result."""
    return [] if device.type == "cpu" else [device.type]


def check_reads(model: Decoder, strings: Strings) -> None:
    """The model knows the tokens of the strings, and they fit its context.

    Raises:
        ValueError: it is not so.
    """
    checks.instance(Strings, said="a kdnotes.data.Strings")("strings", strings)
    check_speaks(model, strings.vocabulary)
    length = strings.inputs.shape[1]
    if length > model.context:
        raise ValueError(f"strings must have at most {model.context} inputs, not {length}")


def check_speaks(model: Decoder, vocabulary: Vocabulary) -> None:
    """The model chooses from as many classes as the vocabulary has.

    Raises:
        ValueError: it is not so.
    """
    if model.classes != vocabulary.classes:
        raise ValueError(
            f"vocabulary must have the model's {model.classes} classes, not {vocabulary.classes}"
        )
