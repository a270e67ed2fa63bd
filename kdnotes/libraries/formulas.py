"""What libraries compute under the name of a distillation loss, in the notation of the course.

Each formula is plain torch, so that its arithmetic can be seen where the library is not installed;
``measure`` holds each library against the formula that is said to be its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.losses import kd_loss

Loss = Callable[[Tensor, Tensor, Tensor, float], Tensor]
CLIPPED_AT = 1e-7  # keras.config.epsilon()


@dataclass(frozen=True)
class Formula:
    """A distillation loss.

    Args:
        tex: what it computes; R is ``losses.kd_loss``.
        value: function of student logits, teacher logits, both ``[batch, classes]``, targets
            ``[batch]`` and temperature; gives a scalar.
        t_squared: has it the factor T², with which its gradient does not fade as T grows?
        direction: "t‖s" is KL(p_t‖p_s), which ``kd_loss`` has; "s‖t" the reverse; "both" a mixture;
            "–" none.
        mean_over: what the sum is divided by.
    """

    tex: str
    value: Loss
    t_squared: bool
    direction: str = "t‖s"
    mean_over: str = "samples"


def _cooled(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Logarithms of p_s and p_t."""
    return F.log_softmax(student / temperature, 1), F.log_softmax(teacher / temperature, 1)


def reference(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """R = T²·KL(p_t‖p_s), the ``losses.kd_loss`` of the course."""
    return kd_loss(student, teacher, temperature)


def over_elements(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """R/K: the mean of ``F.kl_div(..., reduction="mean")`` is over samples *and* classes."""
    return kd_loss(student, teacher, temperature) / student.shape[1]


def unscaled(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """KL(p_t‖p_s) at temperature T, without T²."""
    return kd_loss(student, teacher, temperature) / temperature**2


def reverse(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """KL(p_s‖p_t) at temperature T, without T²."""
    log_s, log_t = _cooled(student, teacher, temperature)
    return F.kl_div(log_t, log_s, reduction="batchmean", log_target=True)


def jensen_shannon(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """½·KL(p_t‖m) + ½·KL(p_s‖m) with m = (p_s + p_t)/2, at temperature T, without T² (GKD, Agarwal
    et al. 2023, arXiv 2306.13649, eq. 1, with β = ½).
    """
    log_s, log_t = _cooled(student, teacher, temperature)
    log_m = torch.logaddexp(log_s, log_t) - torch.log(torch.tensor(2.0))
    parts = [F.kl_div(log_m, one, reduction="batchmean", log_target=True) for one in (log_t, log_s)]
    return (parts[0] + parts[1]) / 2


def jensen_shannon_at_one(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """``jensen_shannon`` at temperature 1, whatever the temperature is."""
    return jensen_shannon(student, teacher, targets, 1.0)


def clipped_logits(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Σ_c t_c·log(t_c/s_c) with t and s the *logits* over T, clipped to [1e-7, 1]: no softmax.

    The gradient is 0 for each student's logit outside (0, T).
    """
    clipped = [(one / temperature).clamp(CLIPPED_AT, 1) for one in (student, teacher)]
    return (clipped[1] * torch.log(clipped[1] / clipped[0])).sum(1).mean()


def cross_entropy(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """−Σ_c p_t,c·log p_s,c at temperature T, without T²: KL plus the teacher's entropy, so that it
    is not 0 where the student is the teacher.
    """
    log_s, log_t = _cooled(student, teacher, temperature)
    return -(log_t.exp() * log_s).sum(1).mean()


def cross_entropy_at_one(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """``cross_entropy`` at temperature 1, whatever the temperature is."""
    return cross_entropy(student, teacher, targets, 1.0)


def squared_probabilities(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """T² times the mean of (p_s − p_t)² over samples and classes."""
    probabilities = [F.softmax(one / temperature, 1) for one in (student, teacher)]
    return temperature**2 * F.mse_loss(*probabilities)


R = Formula(r"$R = T^2\,\mathrm{KL}(p_t \Vert p_s)$", reference, True)
R_OVER_K = Formula(r"$R / K$", over_elements, True, mean_over="samples and classes")
KL = Formula(r"$\mathrm{KL}(p_t \Vert p_s) = R / T^2$", unscaled, False)
KL_OF_TOKENS = Formula(KL.tex, unscaled, False, mean_over="valid tokens")
REVERSE_OF_TOKENS = Formula(
    r"$\mathrm{KL}(p_s \Vert p_t)$", reverse, False, "s‖t", mean_over="valid tokens"
)
_MIXTURE = r"\mathrm{KL}(p_t \Vert m) + \frac{1}{2}\mathrm{KL}(p_s \Vert m)"
JSD_OF_TOKENS = Formula(
    rf"$\frac{{1}}{{2}}{_MIXTURE},\ m = \frac{{1}}{{2}}(p_s + p_t)$",
    jensen_shannon,
    False,
    "both",
    "valid tokens",
)
JSD_AT_ONE = Formula(
    rf"$\frac{{1}}{{2}}{_MIXTURE}\ \text{{at}}\ T = 1$",
    jensen_shannon_at_one,
    False,
    "both",
    "valid tokens",
)
CLIPPED_LOGITS = Formula(
    r"$\sum_c \hat{t}_c \log(\hat{t}_c / \hat{s}_c),\ \hat{t} = \mathrm{clip}(z_t / T),\ "
    r"\hat{s} = \mathrm{clip}(z_s / T)$",
    clipped_logits,
    False,
    "–",
)
CROSS_ENTROPY = Formula(
    r"$-\sum_c p_{t,c} \log p_{s,c} = \mathrm{KL}(p_t \Vert p_s) + H(p_t)$", cross_entropy, False
)
CROSS_ENTROPY_AT_ONE = Formula(
    r"$-\sum_c p_{t,c} \log p_{s,c}\ \text{at}\ T = 1$",
    cross_entropy_at_one,
    False,
    mean_over="valid tokens",
)
SQUARED = Formula(
    r"$\frac{T^2}{K} \sum_c (p_{s,c} - p_{t,c})^2$",
    squared_probabilities,
    True,
    "–",
    "samples and classes",
)
