"""More numbers of finished runs, such as what happens to a student when the images move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from kdnotes import checks, metrics
from kdnotes.data import Split
from kdnotes.data.shifts import shift
from kdnotes.study.results import Study
from kdnotes.training import Run, predict


def measured(study: Study, measure: Callable[[str, Run], Mapping[str, float]]) -> Study:
    """The study with further columns: its intervals, differences and tables know them too.

    Nothing is trained, and nothing stored.

    Args:
        measure: from an arm's name and a run to numbers by name; called once a run.

    Raises:
        ValueError: a name is taken already, or the runs do not have the same names.
    """
    checks.instance(Study, said="a kdnotes.study.Study")("study", study)
    rows = study.frame[["arm", "seed"]].itertuples(index=False)
    found = [dict(measure(arm, study.runs[arm, seed])) for arm, seed in rows]
    names = list(found[0])
    if any(list(one) != names for one in found):
        raise ValueError("measure must give the same names for every run")
    if taken := [name for name in names if name in study.frame.columns]:
        raise ValueError(f"measure must give new names, not {taken}: the study has them already")
    columns = {name: [one[name] for one in found] for name in names}
    return Study(study.frame.assign(**columns), study.runs)


def under_shifts(
    network: nn.Module, split: Split, pixels: Sequence[int] = (0, 1, 2, 3, 4)
) -> dict[str, float]:
    """How a network fares when all images move by some pixels: up, down, left and right, averaged.

    A convolution is by itself indifferent to shifts, patches and learned positions are not.

    Args:
        network: from images to logits.
        split: the images, such as 1,000 of the test split: each shift asks it four times.
        pixels: distinct shifts, 0 or more.

    Returns:
        Of each shift s "shift s accuracy", and "shift s agreement": the share of images whose class
        is that of the image in its place.
    """
    checks.instance(nn.Module, said="a torch.nn.Module")("network", network)
    checks.instance(Split, said="a kdnotes.data.Split")("split", split)
    checks.instance(Sequence, said="a sequence of shifts, such as range(5)")("pixels", pixels)
    for size in pixels:
        checks.count("pixels", size, least=0)
    if not len(pixels) or len(set(pixels)) < len(pixels):
        raise ValueError(f"pixels must be distinct shifts, at least one, not {pixels!r}")
    found, still = {}, predict(network, split.images)
    for size in pixels:
        logits = [still] if size == 0 else _in_four_directions(network, split.images, size)
        right = [metrics.accuracy(one, split.targets) for one in logits]
        same = [metrics.agreement(one, still) for one in logits]
        found[f"shift {size} accuracy"] = sum(right) / len(right)
        found[f"shift {size} agreement"] = sum(same) / len(same)
    return found


def _in_four_directions(network: nn.Module, images: Tensor, size: int) -> list[Tensor]:
    ways = ((size, 0), (-size, 0), (0, size), (0, -size))
    return [predict(network, shift(images, *way)) for way in ways]
