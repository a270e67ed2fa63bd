"""A comparison on paper: who against whom, on which score, with which seeds, and what confounds it.

A difference between two arms is the effect of what differs between them, of all of it. ``Design``
holds the very objects that ``study.compare`` trains, so that nothing is judged by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from kdnotes.data import Splits
from kdnotes.lab.aspects import Aspects, aspects, shared_images
from kdnotes.lab.sides import Sides
from kdnotes.methods import Method
from kdnotes.study import Arm, PerSeed
from kdnotes.study.arms import at_seed, complete
from kdnotes.training import Config

__all__ = ["Design"]


@dataclass(frozen=True)
class Design(Sides):
    """A comparison before it is run.

    Args:
        arms: name → ``Method`` or ``study.Arm``, as for ``study.compare``.
        treatment: the name of an arm; or several names, its settings, one of which is chosen.
        baseline: what it is compared with, in the same way; ``None``: nothing.
        metric: the score that is reported, such as "test_accuracy".
        seeds: of the report, a number (0 … n − 1) or the seeds themselves.
        choose_by: the score by which one of several settings is chosen.
        choose_seeds: the seeds of that choice, as ``seeds``.
        student, data, config: what the arms share.

    Raises:
        ValueError: an unknown arm or metric; no seed.
        TypeError: something is missing of an arm, or of the wrong kind.
    """

    arms: Mapping[str, Method | Arm]
    student: Callable[[], nn.Module] | PerSeed | None = None
    data: Splits | None = None
    config: Config | None = None

    @property
    def complete_arms(self) -> dict[str, Arm]:
        return complete(self.arms, student=self.student, data=self.data, config=self.config)

    def method(self, name: str) -> Method:
        """The method of an arm, at the first seed of the report."""
        return at_seed(name, self.complete_arms[name], self.report_seeds[0]).method

    def described(self) -> dict[str, Aspects]:
        return {name: aspects(name, arm, self.report_seeds) for name, arm in self.compared.items()}

    def shared_samples(self) -> list[str | None]:
        splits = {id(arm.data): arm.data for arm in self.compared.values()}
        return list(map(shared_images, splits.values()))
