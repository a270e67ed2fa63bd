"""The two terms of distillation, coupling, the DKD loss; a design; a quiz."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses, methods
from kdnotes.course.attempt import Exercise
from kdnotes.course.questions import RIGHT, Comparison, Item, Question


def _batch(scale: float = 3.0, classes: int = 10, batch: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(classes)
    z_s, z_t = (scale * torch.randn(batch, classes, generator=generator) for _ in range(2))
    return z_s, z_t, torch.randint(classes, (batch,), generator=generator)


def _of_samples(z_s: Tensor, z_t: Tensor, y: Tensor, t: float) -> tuple[Tensor, Tensor]:
    return losses.decoupled_terms(z_s, z_t, y, t, reduction="none")


def _of_label(z: Tensor, y: Tensor, t: float) -> Tensor:
    """The softened probability of the label."""
    return losses.soften(z, t).gather(1, y[:, None]).squeeze(1)


def _masked(z_s: Tensor, z_t: Tensor, y: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """The summands of KL, split by class and not renormalised."""
    log_s, log_t = (F.log_softmax(z / t, dim=1) for z in (z_s, z_t))
    summands = t**2 * log_t.exp() * (log_t - log_s)
    target = summands.gather(1, y[:, None]).sum(1)
    return target.mean(), (summands.sum(1) - target).mean()


def _coupled(z_s: Tensor, z_t: Tensor, y: Tensor, t: float, factor: Tensor | None = None) -> Tensor:
    """NCKD times a factor of each sample, by default that of KD."""
    factor = 1 - _of_label(z_t, y, t) if factor is None else factor
    return (factor * _of_samples(z_s, z_t, y, t)[1]).mean()


class Terms(Exercise):
    gradient_of = (0,)
    logits, temperature = (0, 1), 3
    reference = staticmethod(losses.decoupled_terms)

    def cases(self):
        return [(*_batch(), 4.0), (*_batch(2.0, 4, batch=6), 2.0)]

    def parts(self):
        def only(place: int) -> Callable:
            return lambda *case: [
                term if i == place else 0 * term for i, term in enumerate(self.reference(*case))
            ]

        return {"TCKD": only(0), "NCKD": only(1)}

    def wrong_target_at_zero(self, z_s, z_t, y, t):
        """The target's logit is set to 0 in NCKD, and so stays one of the others; remove it."""
        is_target = F.one_hot(y, z_s.shape[1]).bool()
        others = (z.masked_fill(is_target, 0.0) for z in (z_s, z_t))
        return self.reference(z_s, z_t, y, t)[0], losses.kd_loss(*others, t)

    def wrong_not_renormalised(self, z_s, z_t, y, t):
        """The classes are masked but not renormalised: these add up to plain KL, and can be
        negative. TCKD compares (p_y, 1 − p_y); NCKD compares distributions that sum to 1.
        """
        return _masked(z_s, z_t, y, t)

    def wrong_coupled(self, z_s, z_t, y, t):
        """NCKD still has the factor 1 − p_t,y: this is KD's own split, which decoupling undoes."""
        return self.reference(z_s, z_t, y, t)[0], _coupled(z_s, z_t, y, t)

    def wrong_mean_of_classes(self, z_s, z_t, y, t):
        """Both terms are means over classes: sum over them, mean over samples ('batchmean')."""
        target, others = self.reference(z_s, z_t, y, t)
        return target / 2, others / (z_s.shape[1] - 1)


class NonTargetPart(Exercise):
    gradient_of = (0,)
    logits, temperature = (0, 1), 3
    cases = Terms.cases
    reference = staticmethod(_coupled)

    def wrong_product_of_means(self, z_s, z_t, y, t):
        """That is the product of two means; KD needs the mean of products. Multiply sample by
        sample, then take the mean (a [B, 1] factor against [B] does this: squeeze it).
        """
        return _coupled(z_s, z_t, y, t, (1 - _of_label(z_t, y, t)).mean())

    def wrong_factor_of_the_student(self, z_s, z_t, y, t):
        """The factor is taken from the student; it is the teacher's 1 − p_t,y."""
        return _coupled(z_s, z_t, y, t, 1 - _of_label(z_s, y, t))

    def wrong_direction(self, z_s, z_t, y, t):
        """The KL is the wrong way round: the teacher's distribution comes first, KL(p_t ‖ p_s)."""
        return ((1 - _of_label(z_t, y, t)) * _of_samples(z_t, z_s, y, t)[1]).mean()

    def wrong_no_factor(self, z_s, z_t, y, t):
        """The factor 1 − p_t,y is missing."""
        return _of_samples(z_s, z_t, y, t)[1].mean()

    def wrong_summands(self, z_s, z_t, y, t):
        """These are KL's own summands of the other classes, which are not the non-target part."""
        return _masked(z_s, z_t, y, t)[1]


def _ramp(epoch: int, warmup: int) -> float:
    return min(epoch / warmup, 1.0) if warmup else 1.0


class DKD(Exercise):
    gradient_of = (0,)
    logits, temperature = (0, 1), 3

    def reference(self, z_s, z_t, y, t, alpha, beta, epoch, warmup):
        return self.ramped(_ramp(epoch, warmup), z_s, z_t, y, t, alpha, beta)

    def ramped(self, ramp, z_s, z_t, y, t, alpha, beta, hard=1.0):
        soft = losses.dkd_loss(z_s, z_t, y, t, alpha, beta)
        return hard * F.cross_entropy(z_s, y) + ramp * soft

    def parts(self):
        def soft(target: int, others: int) -> Callable:
            """The terms whose factor is 1, without that of the labels."""
            return lambda z_s, z_t, y, t, alpha, beta, *epochs: self.ramped(
                _ramp(*epochs), z_s, z_t, y, t, target * alpha, others * beta, hard=0.0
            )

        return {
            "the labels' term": lambda z_s, z_t, y, *rest: F.cross_entropy(z_s, y),
            "the target term": soft(1, 0),
            "the non-target term": soft(0, 1),
            "the sum of the distillation terms": soft(1, 1),
        }

    def cases(self):
        few = _batch(2.0, 4, batch=6)
        return [
            *((*_batch(), 4.0, 1.0, 8.0, epoch, 20) for epoch in (5, 60, 19, 20, 21)),
            *((*few, 3.0, 2.0, 0.5, epoch, 8) for epoch in (4, 8, 12)),
            *((*few, 2.0, 0.5, 2.0, *epochs) for epochs in ((0, 20), (3, 0), (0, 0))),
        ]

    def wrong_without_end(self, z_s, z_t, y, t, alpha, beta, epoch, warmup):
        """The warm-up does not stop at 1: take min(epoch / warmup, 1)."""
        return self.ramped(epoch / warmup if warmup else 1.0, z_s, z_t, y, t, alpha, beta)

    def wrong_at_least_one_epoch(self, z_s, z_t, y, t, alpha, beta, epoch, warmup):
        """Where warmup = 0 the weights are full at once; max(warmup, 1) makes them 0 in epoch 0."""
        return self.ramped(min(1.0, epoch / max(warmup, 1)), z_s, z_t, y, t, alpha, beta)

    def wrong_stairs(self, z_s, z_t, y, t, alpha, beta, epoch, warmup):
        """The weights jump, as epoch // warmup is a whole number, where they should rise."""
        ramp = min(epoch // warmup, 1) if warmup else 1.0
        return self.ramped(ramp, z_s, z_t, y, t, alpha, beta)

    def wrong_labels_warmed_up(self, z_s, z_t, y, t, alpha, beta, epoch, warmup):
        """The cross-entropy is warmed up too; only the two distillation terms are."""
        ramp = _ramp(epoch, warmup)
        return self.ramped(ramp, z_s, z_t, y, t, alpha, beta, hard=ramp)


EXERCISES = {1: Terms(), 2: NonTargetPart(), 3: DKD()}


class Upside(Question):
    """KD of a teacher (0.9, 0.09, 0.01) and a student (0.9, 0.01, 0.09), the label being first."""

    asks = "KD in nats"
    hint = "take both questions apart; one of them is answered alike"
    absolute = 0.002

    def expected(self):
        student, teacher = torch.tensor([[0.9, 0.01, 0.09]]), torch.tensor([[0.9, 0.09, 0.01]])
        return float(losses.kd_loss(student.log(), teacher.log(), 1.0))

    def wrong_whole_second_question(self):
        """That is NCKD; KD hears the share 1 − p_t,y of it."""
        return self.expected() / 0.1

    def wrong_share(self):
        """NCKD counts 1 − p_t,y times, not p_t,y times."""
        return 9 * self.expected()


BY_HAND = {4: Upside()}


class Apart(Question):
    """The settings that the choice on validation resolves from the chosen one."""

    asks = "a list of names of arms, such as ['β=1']"
    hint = "read the column that says whether a difference is resolved"

    def expected(self, choice):
        against = {arm: (choice.name, arm) for arm in self.choices(choice)}
        found = choice.study.differences(against, "validation_accuracy")
        return {arm for arm, difference in found.items() if difference.resolved}

    def choices(self, choice):
        return [arm for arm in choice.study.arms if arm != choice.name]


READINGS = {5: Apart()}


class SecondQuestion(Comparison):
    """Does NCKD bring anything where TCKD is there anyway?"""

    factor = "beta"
    least_seeds = 5

    def misses(self, design):
        treatments, baselines = self.sides(design)
        if not all(type(method) is methods.DKD for method in (*treatments, *baselines)):
            return "both sides must be DKD, so that nothing but the weight of NCKD can differ"
        if any(method.alpha == 0 for method in (*treatments, *baselines)):
            return "with γ = 0 the first question is not asked"
        if any(method.beta != 0 for method in baselines):
            return "the baseline must not ask the second question: β = 0"
        if any(method.beta == 0 for method in treatments):
            return "the treatment must ask the second question: β above 0"
        return None


DESIGNS = {6: SecondQuestion()}

QUIZ = (
    Item(
        "The teacher gives the label of an image 99 %. How much does its opinion of the other "
        "classes (NCKD) count in plain KD, on this image?",
        {
            "As much as on every other image.": "its factor is made of the teacher's answer",
            "0.99 times.": "the factor falls where the teacher becomes surer of the label",
            "0.01 times.": RIGHT,
        },
    ),
    Item(
        "Someone splits the sum of the KL into the summand of the label and the other summands, "
        "and trains on both with weight 1. What is trained?",
        {
            "Plain KD.": RIGHT,
            "DKD with β = 1.": "the non-target probabilities of DKD sum to 1 on every image",
            "NCKD alone.": "the summand of the label is in the loss, too",
        },
    ),
    Item(
        "Which term can teach a student that a boot is nearer to a sneaker than to a shirt?",
        {
            "The cross-entropy with the labels.": (
                "it pushes all wrong classes down in the proportions that the student itself has"
            ),
            "TCKD.": "it sees the label, and everything else as one",
            "NCKD.": RIGHT,
        },
    ),
)
