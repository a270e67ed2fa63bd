"""What several chapters ask."""

from kdnotes.course.questions import Question
from kdnotes.study import Study

__all__ = ["BetterThan"]


class BetterThan(Question):
    """The arms that a figure of paired differences resolves to be better than its baseline."""

    asks = "a list of names of arms; it may be empty"
    hint = "two things count: whether the interval excludes 0, and on which side it lies"

    def expected(self, study: Study, baseline: str = "KD") -> set[str]:
        pairs = {arm: (arm, baseline) for arm in self.choices(study, baseline)}
        return {arm for arm, difference in study.differences(pairs).items() if difference.above()}

    def choices(self, study: Study, baseline: str = "KD") -> list[str]:
        return [arm for arm in study.arms if arm != baseline]
