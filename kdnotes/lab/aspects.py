"""What an arm consists of, aspect by aspect, so that two arms can be compared."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from kdnotes.data import Split, Splits, split_key
from kdnotes.lab.describe import unwrap
from kdnotes.methods import KD, Method, MultiTeacherKD, OwnLoss, StandardizedKD
from kdnotes.methods.base import Taught
from kdnotes.study import Arm, PerSeed
from kdnotes.study.arms import at_seed
from kdnotes.training import Config, build, state_key

__all__ = [
    "MANY", "Aspects", "aspects", "differing", "of_networks", "plain", "said", "shared_images",
    "why",
]  # fmt: skip

PARTS = {"train": "training images", "validation": "validation images", "test": "test images"}
MANY = 0.01  # of the test images: a handful that a data set holds twice moves no result
# Constants of a loss of one's own that, under these names, mean what they mean in KD.
OF_DISTILLATION = ("temperature", "alpha")
NO_EFFECT = ("seed", "validate_every")  # fields of a schedule: pairing takes care of the seed

WHY = {
    "epochs": "longer training changes the score by itself",
    "steps": "longer training changes the score by itself",
    "batch size": "another size of the batches makes another number of steps",
    "training images": "one side learns from images that the other has not",
    "validation images": "the sides are not chosen by the same images",
    "test images": "the sides are not measured on the same images",
    "number of training strings": "more to learn from changes the score by itself",
    "training strings": "one side learns from strings that the other has not",
    "validation strings": "the sides are not chosen by the same strings",
    "test strings": "the sides are not measured on the same strings",
    "network": "another network has another score, whatever trains it",
    "initial weights": "one side starts elsewhere, with a training behind it or with other luck",
}

# (name, whose it is) → value. Arms are compared in what both have: α of KD and α of PS-KD are two.
Aspects = dict[tuple[str, str], Any]


@dataclass(frozen=True, eq=False)
class Images:
    """A split, equal to one of the same images in the same order."""

    split: Split

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Images):
            return NotImplemented
        return self.split is other.split or split_key(self.split) == split_key(other.split)


def aspects(name: str, arm: Arm, seeds: Sequence[int]) -> Aspects:
    """Of a complete arm: its schedule, images, network, initial weights seed by seed, and method,
    which is that of the first seed.
    """
    found = {
        (said(field.name), ""): getattr(arm.config, field.name)
        for field in dataclasses.fields(Config)
        if field.name not in NO_EFFECT
    }
    for part, words in PARTS.items():
        found[words, ""] = Images(getattr(arm.data, part))
    builders = [
        arm.student.build(seed) if isinstance(arm.student, PerSeed) else arm.student
        for seed in seeds
    ]
    found |= of_networks(builders, seeds)
    return found | dict(_of_method(at_seed(name, arm, seeds[0]).method))


def of_networks(builders: Sequence[Callable[[], nn.Module]], seeds: Sequence[int]) -> Aspects:
    """Of the students that are built for the seeds: their architecture, and their weights."""
    models = [build(*pair) for pair in zip(builders, seeds, strict=True)]
    shapes = tuple((key, tuple(one.shape)) for key, one in models[0].state_dict().items())
    heads = [getattr(one, "heads", None) for one in models[0].modules()]  # no shape has them
    network = (type(models[0]).__name__, shapes, tuple(n for n in heads if type(n) is int))
    weights = tuple(map(state_key, models))
    return {("network", ""): network, ("initial weights", str(network)): weights}


def _of_method(method: Method) -> Iterator[tuple[tuple[str, str], Any]]:
    kind = type(method)
    if isinstance(method, OwnLoss):
        function = unwrap(method.loss)
        yield ("method", ""), (kind, function)
        for name, value in _settings(method.loss).items():
            yield (said(name), function.__name__), plain(value)
            if name in OF_DISTILLATION and isinstance(value, (int, float)):
                yield (name, ""), value
    else:
        yield ("method", ""), (kind, None)
    fields = dataclasses.fields(method) if dataclasses.is_dataclass(method) else ()
    for field in fields:
        if isinstance(method, OwnLoss) and field.name == "loss":
            continue
        value = plain(getattr(method, field.name))
        yield (said(field.name), _owner(kind, field.name)), value
        if _is_shared(method, field.name, value):
            yield (said(field.name), ""), value


def said(name: str) -> str:
    """The name of a setting in words."""
    return name.replace("_", " ")


def _is_shared(method: Method, name: str, value: Any) -> bool:
    """Whether a setting means the same in methods that do not inherit it from one another."""
    if isinstance(value, tuple):  # a schedule, or several teachers
        return False
    if isinstance(method, StandardizedKD) and name == "temperature":  # of logits of spread 1
        return False
    if name == "teacher":
        return value is not None
    of_teacher = {"temperature": (Taught, MultiTeacherKD), "alpha": (KD, MultiTeacherKD)}
    return isinstance(method, of_teacher.get(name, ()))


def _owner(kind: type, name: str) -> str:
    """The class that declares a field; the standardised KD has a temperature of its own."""
    if issubclass(kind, StandardizedKD) and name == "temperature":
        return kind.__name__
    return next(one for one in kind.__mro__ if name in inspect.get_annotations(one)).__name__


def _settings(loss: Any) -> dict[str, Any]:
    """The constants of a loss function, given with ``functools.partial`` or by default."""
    parameters = inspect.signature(unwrap(loss)).parameters.values()
    found = {one.name: one.default for one in parameters if one.default is not one.empty}
    while isinstance(loss, functools.partial):
        found = found | loss.keywords
        loss = loss.func
    return found


def plain(value: Any) -> Any:
    """What makes two values equal: of a teacher the key of its weights."""
    if isinstance(value, (tuple, list)):
        return tuple(map(plain, value))
    if isinstance(value, functools.partial):
        return plain((value.func, *value.args, *sorted(value.keywords.items())))
    key = getattr(value, "key", None)
    return key if isinstance(key, str) else value


def differing(treatments: Sequence[Aspects], baselines: Sequence[Aspects]) -> dict[str, str]:
    """What has other values on one side than on the other; name → the values in words.

    Only what all arms have is compared. Where a side has several settings, their sets are compared:
    a learning rate that was tuned alike on both sides does not differ.
    """
    common = [key for key in treatments[0] if all(key in one for one in (*treatments, *baselines))]
    found = {}
    for key in common:
        sides = [_distinct(one[key] for one in side) for side in (treatments, baselines)]
        if any(value not in sides[1] for value in sides[0]) or len(sides[0]) != len(sides[1]):
            found[key[0]] = _in_words(*sides)
    return found


def _distinct(values: Iterator[Any]) -> list[Any]:
    found = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _in_words(treatments: Sequence[Any], baselines: Sequence[Any]) -> str:
    """Such as " (72 against 36)"; of what is no number nothing."""
    if not all(type(one) in (int, float) for one in (*treatments, *baselines)):
        return ""
    texts = [", ".join(f"{one:g}" for one in side) for side in (treatments, baselines)]
    return f" ({texts[0]} against {texts[1]})"


def why(name: str, factor: str) -> str:
    """Why an aspect that differs besides the factor is a confounder."""
    return WHY.get(name, f"its effect would be taken for that of the {factor}")


def shared_images(data: Splits) -> str | None:
    """What is wrong with the splits, if many images of one are in another, byte by byte."""
    known = {
        part: [hash(image.numpy().tobytes()) for image in getattr(data, part).images]
        for part in PARTS
    }
    for part, other in (("test", "train"), ("test", "validation"), ("validation", "train")):
        others = set(known[other])
        share = sum(image in others for image in known[part]) / max(len(known[part]), 1)
        if share > MANY:
            return f"{share:.0%} of the {PARTS[part]} are {PARTS[other]} too: they measure nothing"
    return None
