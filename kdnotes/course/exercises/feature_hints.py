"""The hint with its regressor, linear CKA, what the regressor costs."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses, metrics
from kdnotes.course.attempt import Exercise


def _smaller(student: Tensor, teacher: Tensor) -> list[int]:
    return [min(sizes) for sizes in zip(student.shape[2:], teacher.shape[2:], strict=True)]


class Hint(Exercise):
    gradient_of = (0, 1, 2, 3)

    def reference(self, student, teacher, weight, bias):
        return self.difference(student, teacher.detach(), weight, bias).square().mean()

    def difference(self, student, teacher, weight, bias):
        one, other = losses.match_size(student, teacher)
        return torch.einsum("tc,bchw->bthw", weight, one) + bias[:, None, None] - other

    def cases(self):
        """Equal sizes, a larger teacher, a larger student; not square, and of a broken ratio."""
        shapes = (
            (2, (3, 4, 4), (5, 4, 4)),
            (3, (3, 4, 4), (5, 8, 8)),
            (2, (4, 8, 8), (4, 4, 4)),
            (3, (3, 8, 4), (5, 2, 2)),
            (2, (3, 8, 4), (5, 4, 2)),
            (3, (2, 3, 3), (4, 7, 7)),
        )
        cases = []
        for seed, (batch, own, theirs) in enumerate(shapes):
            generator = torch.Generator().manual_seed(seed)
            sizes = (batch, *own), (batch, *theirs), (theirs[0], own[0]), (theirs[0],)
            cases.append(tuple(torch.randn(*size, generator=generator) for size in sizes))
        return cases

    def wrong_sum(self, student, teacher, weight, bias):
        """That is a sum over the batch and the feature: take the mean of the squares."""
        return self.difference(student, teacher.detach(), weight, bias).square().sum()

    def wrong_channels_cut_off(self, student, teacher, weight, bias):
        """You cut off channels: use the regressor; channel 3 has other meanings in two networks."""
        one, other = losses.match_size(student, teacher.detach())
        return (one - other[:, : one.shape[1]]).square().mean()

    def wrong_repeated_elements(self, student, teacher, weight, bias):
        """Pooling to a larger size only repeats elements: pool the larger of the two."""
        teacher = F.adaptive_avg_pool2d(teacher, student.shape[2:])
        return self.reference(student, teacher, weight, bias)

    def wrong_whole_ratios(self, student, teacher, weight, bias):
        """Windows of a whole ratio leave elements out: take adaptive_avg_pool2d."""
        rows, columns = _smaller(student, teacher)
        features = (
            F.avg_pool2d(one, (one.shape[2] // rows, one.shape[3] // columns))
            for one in (student, teacher)
        )
        return self.reference(*features, weight, bias)


def _uncentred(x: Tensor, y: Tensor) -> float:
    return float((x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))


class CKA(Exercise):
    def reference(self, x, y):
        return _uncentred(x - x.mean(0), y - y.mean(0))

    def cases(self):
        generator = torch.Generator().manual_seed(5)
        x = torch.randn(30, 6, generator=generator, dtype=torch.float64)
        mixed = x @ torch.randn(6, 4, generator=generator, dtype=torch.float64)
        noise = torch.randn(30, 4, generator=generator, dtype=torch.float64)
        pairs = (x + 2, x + 2), (x + 1, mixed + noise - 3), (x, noise + 1)
        return [*pairs, (2 * x[:12] + 1, mixed[:12])]

    def wrong_uncentred(self, x, y):
        """The features are not centred: subtract each dimension's mean over the images."""
        return _uncentred(x, y)

    def wrong_not_normalised(self, x, y):
        """That is HSIC up to a factor: divide by √(HSIC(x, x)·HSIC(y, y))."""
        return float(((x - x.mean(0)).T @ (y - y.mean(0))).square().sum())

    def wrong_estimate(self, x, y):
        """That is the unbiased estimate: the exercise asks for the plain one."""
        return metrics.cka(x, y)


class RegressorCost(Exercise):
    def reference(self, student, teacher, kernel):
        return (student * kernel**2 + 1) * teacher, 0

    def cases(self):
        return [(24, 64, 1), (12, 32, 3), (5, 5, 1)]

    def wrong_no_bias(self, student, teacher, kernel):
        """The bias is missing: one number for each of the teacher's channels."""
        return student * kernel**2 * teacher, 0

    def wrong_deployed(self, student, teacher, kernel):
        """The regressor is thrown away: deployment costs nothing more."""
        return ((student * kernel**2 + 1) * teacher,) * 2


EXERCISES = {1: Hint(), 2: CKA(), 3: RegressorCost()}
