"""Figures of the chapter on other libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kdnotes.show import plots

__all__ = ["curable"]


def curable(shares: Sequence[float], cosines: Mapping[str, Sequence[float]], alpha: float) -> None:
    """Display how far another loss's gradient can be turned to ours by its own weight.

    Args:
        shares: the weights α′ of the labels that were tried, between 0 and 1.
        cosines: name → at each of them the cosine of its gradient and of ours.
        alpha: ours, which is marked.
    """
    drawn, axes = plots.figure(width=6.4, height=3.2)
    told = []
    for number, (name, values) in enumerate(cosines.items()):
        best = max(range(len(values)), key=values.__getitem__)
        style = {"color": plots.COLORS[number], "linestyle": ("-", "--", "-.", ":")[number % 4]}
        axes.plot(shares, values, label=name, **style)
        axes.plot(shares[best], values[best], "o", color=plots.COLORS[number])
        told.append(f"{name}: best {values[best]:.3f}, at {shares[best]:.3f}")
    axes.axvline(alpha, color="0.3", linewidth=1, linestyle=":")
    axes.set_xscale("logit")
    ticks = [0.01, 0.1, 0.5, 0.9, 0.99]
    axes.set_xticks(ticks, [f"{one:g}" for one in ticks])
    axes.minorticks_off()
    axes.set(xlabel="its weight of the labels (dotted: ours)", ylabel="cosine with our gradient")
    axes.legend(loc="lower left")
    plots.show(drawn, f"Cosine with our gradient by the weight of the labels. {'; '.join(told)}.")
