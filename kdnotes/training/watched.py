"""``fit`` and ``fit_together`` for whoever waits: the loop's, and how far they are.

The loop knows nothing of it, so that its code, which names all stored runs, stays what it is. What
is seen of a training is what its method sees (``Batch.progress``).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence

from torch import Tensor, nn

from kdnotes import progress
from kdnotes.data import Splits
from kdnotes.methods import Batch, Method
from kdnotes.training import loop
from kdnotes.training.config import Config
from kdnotes.training.run import Run


@functools.wraps(loop.fit)
def fit(student: nn.Module, method: Method, data: Splits, config: Config) -> Run:
    return fit_together([student], [method], data, [config])[0]


@functools.wraps(loop.fit_together)
def fit_together(
    students: Sequence[nn.Module],
    methods: Sequence[Method],
    data: Splits,
    configs: Sequence[Config],
) -> list[Run]:
    sound = all(isinstance(one, Method) for one in methods)  # what is not is refused by the loop
    if not (sound and students and configs and progress.is_watched()):
        return loop.fit_together(students, methods, data, configs)
    seen, epochs = [0.0] * len(methods), getattr(configs[0], "epochs", 1)
    with progress.task(type(students[0]).__name__, epochs, "epochs") as task:
        task.live = lambda: epochs * sum(seen) / len(seen)
        methods = [_watched(one, seen, number) for number, one in enumerate(methods)]
        return loop.fit_together(students, methods, data, configs)


def _watched(method: Method, seen: list[float], number: int) -> Method:
    """The method, which also notes how far its training is."""
    own = type(method)

    class Watched(own):
        __slots__ = ()  # else it could not take the place of a class with slots

        def terms(self, batch: Batch) -> dict[str, Tensor]:
            seen[number] = batch.progress
            return super().terms(batch)

    for name in ("__name__", "__qualname__", "__module__", "__doc__"):  # errors name the class
        setattr(Watched, name, getattr(own, name))
    watched = copy.copy(method)
    object.__setattr__(watched, "__class__", Watched)
    return watched
