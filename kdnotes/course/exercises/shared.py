"""What several chapters ask."""

from kdnotes.course.questions import Comparison, Question
from kdnotes.lab import Design
from kdnotes.study import Arm, Study
from kdnotes.study.arms import at_seed

__all__ = ["BetterThan", "OnlyNLL", "RoundedTraining"]


class BetterThan(Question):
    """The arms that a figure of paired differences resolves to be better than its baseline."""

    asks = "a list of names of arms; it may be empty"
    hint = "two things count: whether the interval excludes 0, and on which side it lies"

    def expected(self, study: Study, baseline: str = "KD") -> set[str]:
        pairs = {arm: (arm, baseline) for arm in self.choices(study, baseline)}
        return {arm for arm, difference in study.differences(pairs).items() if difference.above()}

    def choices(self, study: Study, baseline: str = "KD") -> list[str]:
        return [arm for arm in study.arms if arm != baseline]


class OnlyNLL(Question):
    """The arms that are resolved from the baseline in test NLL, but not in test accuracy."""

    asks = "a list of names of arms; it may be empty"
    hint = "go arm by arm: in the left panel its interval holds 0, in the right panel it does not"

    def expected(self, study: Study, baseline: str = "KD") -> set[str]:
        pairs = {arm: (arm, baseline) for arm in self.choices(study, baseline)}
        right, sure = (study.differences(pairs, f"test_{score}") for score in ("accuracy", "nll"))
        return {arm for arm in pairs if sure[arm].resolved and not right[arm].resolved}

    def choices(self, study: Study, baseline: str = "KD") -> list[str]:
        return [arm for arm in study.arms if arm != baseline]


class RoundedTraining(Comparison):
    """Arms that train on, from trained students, with rounded weights."""

    @staticmethod
    def arms(design: Design) -> dict[str, Arm]:
        """The arms of both sides, at the first seed of the report."""
        return {
            name: at_seed(name, design.complete_arms[name], design.report_seeds[0])
            for name in (*design.treatments, *design.baselines)
        }

    def misses(self, design: Design) -> str | None:
        from kdnotes import edge  # the chapters that need no runtime do not wait for it

        starts = [arm.student for arm in self.arms(design).values()]
        if not all(isinstance(start, edge.Start) for start in starts):
            return "every side must start from a trained student, by edge.Start in a PerSeed"
        bits = {(start.weight_bits, start.activation_bits) for start in starts}
        if len(bits) > 1:
            return "the sides must round to equal numbers of bits"
        if any(weight_bits is None for weight_bits, _ in bits):
            return "the weights must be rounded in training: in float it is no QAT"
        return None
