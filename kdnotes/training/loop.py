"""The one training loop of the course, for one seed or for several at once.

``fit`` does not know which method it runs. What must be equal between the arms of a comparison is
drawn from streams that depend on the seed and the step alone: initial weights (``build``), batch
order, augmented views and dropout. A method that draws random numbers of its own shifts none of
them, and a run does not touch the caller's generators. Torch's generators belong to the process: a
second training in another thread is refused (``machine.alone``).
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import gc
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from kdnotes import checks, metrics
from kdnotes.data import Splits
from kdnotes.machine import alone, isolated, seed_generators, single_thread, stream, usable_device
from kdnotes.methods import Batch, Method
from kdnotes.models import Cohort, check_network
from kdnotes.models.stacked import is_stackable
from kdnotes.training.config import Config
from kdnotes.training.diagnosis import check_fit, is_finite, loss_of
from kdnotes.training.evaluation import state_key
from kdnotes.training.optimizer import Group, OneCycleAdamW
from kdnotes.training.run import Run, Seed, of_first_peer
from kdnotes.training.students import Students, layout_of


def build(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Call ``factory`` with torch's generator seeded: equal initial weights in every arm."""
    checks.builder("factory", factory)
    with alone(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream(seed, "weights"))
        return factory()


def trained(factory: Callable[[], nn.Module], run: Run) -> nn.Module:
    """The network as a run left it, in eval mode.

    Args:
        factory: builds the student of the run.
    """
    network = build(factory, 0)
    network.load_state_dict(run.state)
    return network.eval()


def fit(student: nn.Module, method: Method, data: Splits, config: Config) -> Run:
    """Train a copy of ``student`` with ``method`` and evaluate it, once, on validation and test.

    Args:
        student: network from images ``[B, C, 32, 32]`` to logits ``[B, classes]``; it is left as it
            was.
        method: what to minimise; also left as it was.
        data: train, validation and test splits.
        config: schedule, views, seed and device.

    Raises:
        ValueError: the student does not give logits for the data's images and classes, nothing of
            it can be trained, or something became NaN or infinite: the message says what did so
            first.
        TypeError: the method's terms are not a dict of scalar tensors.
        RuntimeError: another thread of this process is training.
    """
    return fit_together([student], [method], data, [config])[0]


def fit_together(
    students: Sequence[nn.Module],
    methods: Sequence[Method],
    data: Splits,
    configs: Sequence[Config],
) -> list[Run]:
    """``fit`` of several seeds as one network: what each gives alone, in less time.

    Students that cannot be one network (``models.stacked``) are trained one after the other.

    Args:
        students, methods, configs: one a seed; the configs are equal but for their seeds.

    Raises:
        ValueError, TypeError, RuntimeError: as ``fit``.
    """
    given = list(zip(students, methods, configs, strict=True))
    for student, method, own in given:
        check_fit(student, method, data, own)
    config, device = configs[0], usable_device(configs[0].device)
    if any(dataclasses.replace(one, seed=config.seed) != config for one in configs):
        raise ValueError("configs must be equal but for their seeds")
    with alone(), isolated(device), single_thread(), _spare_the_collector():
        seeds = [_prepare(student, method, data, own, device) for student, method, own in given]
        stacked = is_stackable([seed.model for seed in seeds], data.train.images[:2].to(device))
        if not stacked and len(given) > 1:
            return [fit(student, method, data, own) for student, method, own in given]
        training = _Training(seeds, data, config, device, stacked)
        began = time.perf_counter()
        training.run()
        seconds = (time.perf_counter() - began) / len(seeds)
        outputs = zip(training.evaluate("validation"), training.evaluate("test"), strict=True)
        return [
            seed.finish(*logits, data, seconds) for seed, logits in zip(seeds, outputs, strict=True)
        ]


@contextlib.contextmanager
def _told(config: Config) -> Iterator[None]:
    """Of several seeds tell which one failed."""
    try:
        yield
    except Exception as error:
        error.add_note(f"with seed {config.seed}")
        raise


def _prepare(
    student: nn.Module, method: Method, data: Splits, config: Config, device: torch.device
) -> Seed:
    layout = layout_of(student)
    with _told(config):
        model = copy.deepcopy(student).to(device, memory_format=layout)
        seed_generators(device, config.seed, "check")
        few = data.train.images[:2].to(device, memory_format=layout)
        for network in model.peers if isinstance(model, Cohort) else [model]:
            check_network("student", copy.deepcopy(network), few, data.num_classes)
        method = copy.deepcopy(method)
        seed_generators(device, config.seed, "method")
        method.prepare(model, data.train, config.views, device)
    return Seed(model, method, config, state_key(model))


class _Training:
    """Students that take their steps together."""

    def __init__(
        self, seeds: list[Seed], data: Splits, config: Config, device: torch.device, stacked: bool
    ):
        self.seeds, self.data, self.config, self.device = seeds, data, config, device
        drawn = [seed.config.seed for seed in seeds]
        self.students = Students([seed.model for seed in seeds], drawn, device, stacked)
        self.needs_features = any(seed.method.needs_features for seed in seeds)
        self.images_at = config.views.reader(data.train)
        self.targets = data.train.targets.to(device)
        self.step, steps = 0, len(list(_batches(len(data.train), config, 0)))
        self.steps = config.epochs * steps
        methods = [seed.method for seed in seeds]
        self.optimizer = _optimizer(self.students, methods, config, self.steps)

    def run(self) -> None:
        for epoch in range(self.config.epochs):
            began, rate = time.perf_counter(), self.optimizer.rate
            self.students.train()
            count, orders = len(self.data.train), [seed.config for seed in self.seeds]
            batches = list(zip(*(_batches(count, own, epoch) for own in orders), strict=True))
            for number, positions in enumerate(batches):
                self._take_step(epoch, positions, is_first=number == 0)
            seconds = (time.perf_counter() - began) / len(self.seeds)
            for seed, accuracy in zip(self.seeds, self._accuracies(epoch), strict=True):
                seed.end_epoch(epoch, rate, len(batches), seconds=seconds, **accuracy)

    def _take_step(self, epoch: int, positions: tuple[Tensor, ...], is_first: bool) -> None:
        view = epoch % self.config.views.count
        images = [
            self.images_at(one, view).to(self.device, memory_format=self.students.layout)
            for one in positions
        ]
        self.students.seed_dropout(self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            outputs = self.students.forward(images, self.needs_features)
        losses = []
        for number, seed in enumerate(self.seeds):
            batch = self._batch(seed, epoch, positions[number], images[number], *outputs[number])
            # What a method draws shifts neither its next step nor another seed.
            seed_generators(self.device, seed.config.seed, f"terms {self.step}")
            when = f"in epoch {epoch} (step {self.step + 1} of {self.steps})"
            before = self.students.gradients(number)
            with _told(seed.config):
                loss, terms = loss_of(
                    seed.method, batch, seed.config, when, first=is_first, gradients=before
                )
            seed.saw(view, positions[number], terms)
            losses.append(loss)
        self._forget_gradients()
        torch.autograd.backward(losses)
        self.students.collect_gradients()
        self.optimizer.step()
        self.step += 1

    def _forget_gradients(self) -> None:
        self.students.forget_gradients()
        for group in self.optimizer.groups:
            for parameter in group.parameters:
                parameter.grad = None

    def _batch(
        self,
        seed: Seed,
        epoch: int,
        positions: Tensor,
        images: Tensor,
        logits: Tensor,
        features: dict[str, Tensor],
    ) -> Batch:
        where = positions.to(self.device)
        return Batch(
            images=images,
            targets=self.targets[where],
            positions=where,
            view=epoch % self.config.views.count,
            progress=self.step / self.steps,
            student=seed.model,
            student_logits=logits.float(),
            features=features,
            epoch=epoch,
            epochs=self.config.epochs,
        )

    def _accuracies(self, epoch: int) -> list[dict[str, float]]:
        """Each seed's on validation, where it is measured after this epoch."""
        every = self.config.validate_every
        if not every or (epoch + 1) % every:
            return [{} for _ in self.seeds]
        targets = self.data.validation.targets
        return [
            {"validation_accuracy": metrics.accuracy(of_first_peer(logits), targets)}
            for logits in self.evaluate("validation")
        ]

    def evaluate(self, part: str) -> list[Tensor]:
        """Each seed's logits on a split, which must be finite."""
        images = getattr(self.data, part).images
        outputs = self.students.predict(images)
        for seed, logits in zip(self.seeds, outputs, strict=True):
            if not is_finite([logits]):
                lower = f"lower learning_rate ({self.config.learning_rate})"
                remedy = lower if is_finite([images]) else "as its images are"
                with _told(seed.config):
                    raise ValueError(
                        f"the student's logits on data.{part} became NaN or infinite: {remedy}"
                    )
        return outputs


def _batches(count: int, config: Config, epoch: int) -> Iterator[Tensor]:
    """Positions of each batch of an epoch, from (seed, epoch) alone."""
    order = torch.from_numpy(np.random.default_rng([config.seed, epoch]).permutation(count))
    return (part for part in order.split(config.batch_size) if len(part) > 1)


def _optimizer(
    students: Students, methods: Sequence[Method], config: Config, steps: int
) -> OneCycleAdamW:
    matrices = [one.numbers for one in students.trained if one.is_matrix]
    vectors = [one.numbers for one in students.trained if not one.is_matrix]
    own = [parameter for one in methods for parameter in one.parameters()]
    groups = [Group(matrices, config.weight_decay), Group(vectors + own, 0.0)]
    return OneCycleAdamW(groups, config.learning_rate, steps)


@contextlib.contextmanager
def _spare_the_collector() -> Iterator[None]:
    """A training makes objects so fast that the collector would search all that lives often."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
