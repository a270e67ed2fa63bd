"""Figures of the chapter on many teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from kdnotes.show import plots

__all__ = ["trust"]

WIDE_ENOUGH = 0.06  # of a part that has room for its number


def trust(weights: Mapping[str, Tensor], teachers: Sequence[str]) -> None:
    """Display how each rule shares out its weight, one bar a rule.

    Args:
        weights: name of the rule → mean weight of each teacher ``[M]``, which sum to 1.
        teachers: M names.
    """
    drawn, axes = plots.figure(width=6.5, height=1.2 + 0.4 * len(weights))
    told = []
    for row, (rule, shares) in enumerate(weights.items()):
        start = 0.0
        for color, share in zip(plots.COLORS, shares.tolist(), strict=False):
            axes.barh(row, share, left=start, height=0.7, color=color)
            if share > WIDE_ENOUGH:
                ink = "black" if color == plots.COLORS[1] else "white"
                middle = start + share / 2
                axes.text(middle, row, f"{share:.2f}", ha="center", va="center", color=ink)
            start += share
        parts = (f"{name} {share:.2f}" for name, share in zip(teachers, shares, strict=True))
        told.append(f"{rule}: {', '.join(parts)}")
    for color, name in zip(plots.COLORS, teachers, strict=False):
        axes.bar(0, 0, color=color, label=name)  # for the legend
    axes.set_yticks(range(len(weights)), list(weights))
    axes.invert_yaxis()
    axes.set(xlabel="mean weight", xlim=(0, 1))
    axes.legend(ncols=len(teachers), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    plots.show(drawn, f"Mean weight of each teacher by rule. {'; '.join(told)}.")
