"""The sides of a comparison, and whether they are paired."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from torch import nn

from kdnotes import checks
from kdnotes.data import Splits
from kdnotes.methods import Method
from kdnotes.study.seeds import in_words
from kdnotes.training import Config, Run


class NotPairedError(RuntimeError):
    """Arms of one comparison started from different weights, or saw different batches."""


@dataclass(frozen=True)
class PerSeed:
    """A student that depends on the seed, such as one that starts from an earlier run of it.

    Args:
        build: function from the seed to the function that builds the student.
    """

    build: Callable[[int], Callable[[], nn.Module]]

    def __call__(self) -> nn.Module:
        raise TypeError("PerSeed needs a seed: it is for the student of study.Arm")


@dataclass(frozen=True)
class Arm:
    """One side of a comparison; what is ``None`` is taken from ``compare``'s arguments.

    Args:
        method: how the student is trained; or a function from the seed to it, where each seed has a
            teacher of its own.
        student: builds the student, such as
            ``functools.partial(StudentNet, in_channels=1, width=16)``; or ``PerSeed``.
        data: the splits.
        config: the schedule; its seed is replaced by each seed of the study.
        chosen_on: the seeds on which ``study.choose`` chose this arm, and ``compare`` refuses to
            report it (``None``: it was not chosen). No run depends on it.
    """

    method: Method | Callable[[int], Method]
    student: Callable[[], nn.Module] | PerSeed | None = None
    data: Splits | None = None
    config: Config | None = None
    chosen_on: Sequence[int] | None = None


def as_arms(arms: Mapping[str, Method | Arm]) -> dict[str, Arm]:
    """The arms, of which each is an ``Arm``.

    Raises:
        ValueError: there is none.
    """
    if not isinstance(arms, Mapping) or not arms:
        raise ValueError(f"arms must be a non-empty mapping of names to methods, not {arms!r}")
    return {name: arm if isinstance(arm, Arm) else Arm(arm) for name, arm in arms.items()}


def complete(arms: Mapping[str, Method | Arm], **shared: Any) -> dict[str, Arm]:
    """Every arm with what all share, checked.

    Raises:
        ValueError: there is no arm.
        TypeError: something of an arm is missing, or of the wrong kind.
    """
    return {name: _complete_one(name, arm, shared) for name, arm in as_arms(arms).items()}


def _complete_one(name: str, arm: Arm, shared: dict[str, Any]) -> Arm:
    method = arm.method
    if not isinstance(method, Method) and (
        not callable(method) or isinstance(method, (type, nn.Module))
    ):
        a_class = isinstance(method, type)
        found = f"the class {method.__name__}" if a_class else type(method).__name__
        raise TypeError(f"method of arm {name!r} must be a Method, not {found}")
    missing = {key: value for key, value in shared.items() if getattr(arm, key) is None}
    arm = dataclasses.replace(arm, **missing)
    checks.instance(Splits, said="a Splits")(f"data of arm {name!r}", arm.data)
    checks.instance(Config, said="a Config")(f"config of arm {name!r}", arm.config)
    chosen_on = checks.instance(Sequence, NoneType, said="the seeds of a choice, or None")
    chosen_on(f"chosen_on of arm {name!r}", arm.chosen_on)
    checks.builder(f"student of arm {name!r}", arm.student)
    return arm


def at_seed(name: str, arm: Arm, seed: int) -> Arm:
    """The arm with the method, student and schedule of one seed."""
    method = arm.method if isinstance(arm.method, Method) else arm.method(seed)
    if not isinstance(method, Method):
        found = type(method).__name__
        raise TypeError(f"method of arm {name!r} must give a Method for each seed, not {found}")
    student = arm.student.build(seed) if isinstance(arm.student, PerSeed) else arm.student
    checks.builder(f"student of arm {name!r}", student)
    config = dataclasses.replace(arm.config, seed=seed)
    return dataclasses.replace(arm, method=method, student=student, config=config)


def check_fresh(arms: Mapping[str, Arm], seeds: Sequence[int]) -> None:
    """No arm is reported on a seed on which it was chosen.

    Raises:
        ValueError: it is not so.
    """
    for name, arm in arms.items():
        if both := set(seeds).intersection(arm.chosen_on or ()):
            raise ValueError(
                f"seeds must be others than those on which arm {name!r} was chosen, where its mean "
                f"is flattered, not {in_words(seeds)}: both have {in_words(sorted(both))}"
            )


def check_paired(arms: dict[str, Arm], runs: dict[tuple[str, int], Run]) -> None:
    """Equal architectures started from equal weights, equal schedules saw equal batches.

    Raises:
        NotPairedError: it is not so.
    """
    seen: dict[object, tuple[str, str]] = {}
    for (name, seed), run in runs.items():
        arm = arms[name]
        shapes = tuple((key, tuple(tensor.shape)) for key, tensor in run.state.items())
        config = arm.config
        schedule = (config.epochs, config.batch_size, config.views, len(arm.data.train))
        for identity, value, what in (
            (("start", seed, shapes), run.start, "start from other weights"),
            (("order", seed, schedule), run.order, "see other batches"),
        ):
            first, known = seen.setdefault(identity, (name, value))
            if known != value:
                raise NotPairedError(
                    f"arms {first!r} and {name!r} {what} at seed {seed}: their difference is no "
                    "effect"
                )
