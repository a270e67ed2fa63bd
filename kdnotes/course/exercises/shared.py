"""What several chapters ask."""

from kdnotes.course.questions import Question
from kdnotes.study import Study

__all__ = ["BetterThan", "OnlyNLL"]


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
