"""Exercises of chapter 2: parameters of a separable convolution, calibration error, a teacher's outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdnotes.course.check import Exercise, Trap


def _parameters(c: int, d: int) -> int:
    return 9 * c + c + c * d + d


def _calibration_error(confidence: Tensor, correct: Tensor, bins: int, mean_of_bins: bool = False) -> float:
    return _binned((confidence * bins).ceil(), confidence, correct, bins, mean_of_bins)


def _binned(where: Tensor, confidence: Tensor, correct: Tensor, bins: int, mean_of_bins: bool = False) -> float:
    """The error over bins of the numbers 1 … ``bins``; what lies outside is in none."""
    members = [where == number for number in range(1, bins + 1) if bool((where == number).any())]
    gaps = [float((correct - confidence)[inside].mean().abs()) for inside in members]
    weights = [1 / len(members) if mean_of_bins else float(inside.double().mean()) for inside in members]
    return sum(gap * weight for gap, weight in zip(gaps, weights, strict=True))


def _calibration_cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for count, bins in ((40, 5), (200, 15)):
        confidence = 0.3 + 0.7 * torch.rand(count, generator=generator, dtype=torch.double)
        correct = (torch.rand(count, generator=generator, dtype=torch.double) < confidence**2).double()
        cases.append((confidence, correct, bins))
    edges = torch.tensor([0.25, 0.25, 0.375, 0.5, 0.5, 0.625, 0.75, 0.75, 0.875, 1.0, 1.0], dtype=torch.double)
    correct = torch.tensor([1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 0], dtype=torch.double)
    return [*cases, (edges, correct, 4), (edges[:9], correct[:9], 8)]


class _Dropout(nn.Dropout):
    """Drops the same units at every call, so that a trap can be recognised by its numbers."""

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        generator = torch.Generator().manual_seed(0)
        return features * (torch.rand(features.shape, generator=generator) >= self.p) / (1 - self.p)


def _networks_in_train_mode() -> list[tuple]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), _Dropout(0.5), nn.Linear(4 * 36, 3))
        model = nn.Sequential(*layers)
        images = torch.randn(16, 1, 8, 8) + 1
        # Dropout of everything, so that the mode shows and the outputs are the same in every call.
        other = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Dropout(1.0), nn.Linear(6, 4))
        others = torch.randn(5, 3, 2, 2)
    return [(model.train(), images), (other.train(), others)]


def _outputs(model: nn.Module, images: Tensor, evaluating: bool = True, gradients: bool = False) -> Tensor:
    model.train(not evaluating)
    with torch.set_grad_enabled(gradients):
        return model(images)


def _one_kind_evaluating(kind: type[nn.Module], gradients: bool = False):
    """Layers of this kind alone are in eval mode."""

    def wrong(model: nn.Module, images: Tensor) -> Tensor:
        for layer in model.train().modules():
            layer.training = not isinstance(layer, kind)
        with torch.set_grad_enabled(gradients):
            return model(images)

    return wrong


def _trained_afterwards(model: nn.Module, images: Tensor) -> Tensor:
    logits = _outputs(model, images)
    model.train()(images)
    return logits


def _with_gradient_or_not(logits: object) -> object:
    if not isinstance(logits, Tensor):
        return logits
    return logits.detach(), "with gradient" if logits.requires_grad else "without gradient"


BATCH_NORM_ALONE = "batch norm is in eval mode, dropout is not: call model.eval()"

EXERCISES = {
    "02.1": Exercise(
        _parameters,
        lambda: [(32, 64), (128, 256), (5, 3)],
        (
            Trap(lambda c, d: 9 * c * d + d, "this is a standard convolution; the 3×3 part sees one channel at a time"),
            Trap(lambda c, d: 9 * c + c * d, "the weights are right; each part also has a bias an output channel"),
            Trap(lambda c, d: 9 * c + c * d + d, "the depthwise part has biases too, one a channel"),
            Trap(lambda c, d: 9 * c * c + c + c * d + d, "the depthwise part has 9 weights a channel, not 9 a pair"),
        ),
    ),
    "02.2": Exercise(
        _calibration_error,
        _calibration_cases,
        (
            Trap(
                lambda confidence, correct, bins: _calibration_error(confidence, correct, bins, mean_of_bins=True),
                "all bins count equally here; weigh each by its share of the samples",
            ),
            Trap(
                lambda confidence, correct, bins: float((correct - confidence).mean().abs()),
                "this is one bin: over- and under-confidence cancel; bin first, then take absolute values",
            ),
            Trap(
                lambda confidence, correct, bins: float((correct - confidence).abs().mean()),
                "this compares single samples, which are always 0 or 1; average within a bin before comparing",
            ),
            Trap(
                lambda confidence, correct, bins: _binned((confidence * bins).floor() + 1, confidence, correct, bins),
                "a confidence of exactly 1 is in no bin, and one on an edge is in the bin above; bin m holds "
                "(m − 1)/bins < confidence ≤ m/bins",
            ),
            Trap(
                lambda confidence, correct, bins: _binned(
                    ((confidence * bins).floor() + 1).clamp(max=bins), confidence, correct, bins
                ),
                "a confidence on an edge belongs to the bin below: bin m holds (m − 1)/bins < confidence ≤ m/bins",
            ),
        ),
    ),
    "02.3": Exercise(
        _outputs,
        _networks_in_train_mode,
        (
            Trap(
                lambda model, images: _outputs(model, images, evaluating=False),
                "the model was in training mode: batch norm used this batch, and its statistics moved; call eval()",
            ),
            Trap(
                lambda model, images: _outputs(model, images, gradients=True),
                "the values are right, but they carry gradients into the teacher; compute them under no_grad()",
            ),
            Trap(
                lambda model, images: _outputs(model, images, evaluating=False, gradients=True),
                "the model is in training mode, and the outputs carry gradients: eval() and no_grad() are missing",
            ),
            *(
                Trap(_one_kind_evaluating(nn.BatchNorm2d, gradients), BATCH_NORM_ALONE + end)
                for gradients, end in ((False, ""), (True, ", under no_grad()"))
            ),
            Trap(
                _one_kind_evaluating(nn.Dropout),
                "dropout is in eval mode, batch norm is not, and its statistics moved: call model.eval()",
            ),
            Trap(
                _trained_afterwards,
                "the outputs are right, but the teacher is changed after the call: a pass in training mode moves the "
                "statistics of batch norm",
            ),
        ),
        observe=_with_gradient_or_not,
        kept=lambda model, images: model.state_dict(),
    ),
}
