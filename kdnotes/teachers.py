"""Teachers: trained once with the course's own loop, stored, and asked for their outputs only
once.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdnotes import checks, progress, store, training
from kdnotes.data import Split, Splits, Views, load, split_key
from kdnotes.methods import CrossEntropy, Method
from kdnotes.models import StagedNet, TeacherNet, check_network, count_parameters, feature_shapes
from kdnotes.training import Config

__all__ = [
    "LESSON_CONFIG",
    "Teacher",
    "from_run",
    "lesson_teacher",
    "outputs",
    "train_lesson_teacher",
    "train_or_load",
]

SHIPPED = Path(__file__).parent / "assets" / "teacher.safetensors"
LESSON_FACTORY = functools.partial(TeacherNet, num_classes=10, in_channels=1, width=16)
LESSON_CONFIG = Config(
    epochs=32, batch_size=64, learning_rate=2e-3, views=Views(count=32), validate_every=4
)


@dataclasses.dataclass(eq=False)
class Teacher:
    """A trained network in eval mode, without gradients, and the record of its training.

    Args:
        model: the network.
        record: how it was trained and what it reached: settings, metrics, history, seconds, date.
    """

    model: nn.Module
    record: dict[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, not {type(self.model).__name__}")
        self.model.eval().requires_grad_(False)

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of architecture, attributes, weights and buffers: its identity in every store."""
        return store.fingerprint([str(self.model), self.model])

    def logits(self, split: Split) -> Tensor:
        """Logits ``[N, classes]`` of the plain images of a split (stored)."""
        return self.bank(split, Views(count=1, padding=0, flip=False))[0]

    def bank(self, split: Split, views: Views) -> Tensor:
        """Logits ``[views, N, classes]`` for every view of every image: computed once, then read
        from the disk.

        Raises:
            ValueError: the network gives something else for these images, or something that is NaN
                or infinite.
        """
        self._check_split(split)

        def compute() -> Tensor:
            check_network("teacher", self.model, split.images[:2], modes=(False,))
            return self._finite(_watched_outputs(self.model, split, views), "logits")

        return store.cached_tensor([outputs, self.key, split_key(split), views], compute)

    def features(self, split: Split, views: Views, stage: str) -> Tensor:
        """Output ``[views, N, channels, height, width]`` of a stage for every view of every image
        (stored).

        Raises:
            ValueError: the teacher has no such stage.
        """
        self._check_split(split)
        self.feature_shape(stage)
        names = [name for name, _ in self.model.stages.named_children()]
        until = self.model.stages[
            : names.index(stage) + 1
        ].eval()  # slicing makes a container in training mode
        parts = [outputs, self.key, split_key(split), views, stage]
        return store.cached_tensor(
            parts,
            lambda: self._finite(_watched_outputs(until, split, views), f"outputs of {stage!r}"),
        )

    def feature_shape(self, stage: str) -> torch.Size:
        """Shape ``[channels, height, width]`` of a stage's output."""
        if not isinstance(self.model, StagedNet):
            raise TypeError(
                "model must be a network with named stages, such as TeacherNet, not "
                f"{type(self.model).__name__}"
            )
        shapes = feature_shapes(self.model)
        if stage not in shapes:
            raise ValueError(f"stage must be one of the teacher's, {list(shapes)}, not {stage!r}")
        return shapes[stage]

    def _finite(self, values: Tensor, what: str) -> Tensor:
        checks.finite(**{f"the {what} of the teacher ({type(self.model).__name__})": values})
        return values

    def _check_split(self, split: Split) -> None:
        if not isinstance(split, Split):
            raise TypeError(
                "split must be a kdnotes.data.Split (such as data.train), not "
                f"{type(split).__name__}"
            )
        channels = split.images.shape[1]
        needs = getattr(self.model, "in_channels", channels)
        if channels != needs:
            raise ValueError(
                f"split must have images of {needs} channels, which this teacher sees, not "
                f"{channels}"
            )


def outputs(network: nn.Module, split: Split, views: Views) -> Tensor:
    """What a network gives for every view of every image, ``[views, N, ...]``, computed anew."""
    everything = torch.arange(len(split))
    return torch.stack(
        [
            training.predict(network, views.take(split, everything, view))
            for view in range(views.count)
        ]
    )


def _watched_outputs(network: nn.Module, split: Split, views: Views) -> Tensor:
    """``outputs``, and how far they are."""
    with progress.task("the teacher's outputs", views.count * len(split), "images") as task:

        def count(_: nn.Module, given: tuple[Tensor], __: Tensor) -> None:
            task.advance(len(given[0]))

        hook = network.register_forward_hook(count)
        try:
            return outputs(network, split, views)
        finally:
            hook.remove()


def train_or_load(
    factory: Callable[[], nn.Module],
    data: Splits,
    config: Config,
    method: Method | None = None,
    *,
    fresh: bool = False,
) -> Teacher:
    """Train a teacher with ``method`` (cross-entropy unless given), or load it if this very
    training is stored.
    """
    method = method or CrossEntropy()
    return from_run(
        store.cached_run(factory, method, data, config, fresh=fresh), factory, data, config, method
    )


def is_stored(
    factory: Callable[[], nn.Module], data: Splits, config: Config, method: Method | None = None
) -> bool:
    """Whether ``train_or_load`` has this training already."""
    return store.is_stored(store.run_key(factory, method or CrossEntropy(), data, config))


def from_run(
    run: training.Run,
    factory: Callable[[], nn.Module],
    data: Splits,
    config: Config,
    method: Method,
) -> Teacher:
    """The network of a finished run as a teacher: yesterday's student (``study.runs[arm, seed]``)
    teaches today's.

    Args:
        factory, data, config, method: what the run was computed with, for the network and the
            record.

    Raises:
        ValueError: the factory builds another architecture than the run's.
    """
    checks.instance(training.Run, said="a kdnotes.training.Run")("run", run)
    checks.instance(Splits, said="a kdnotes.data.Splits")("data", data)
    checks.instance(Config, said="a kdnotes.training.Config")("config", config)
    checks.instance(Method, said="a kdnotes.methods.Method")("method", method)
    model = load_state(training.build(factory, config.seed), run.state, "run")
    record = {
        "architecture": f"{type(model).__name__}, {count_parameters(model):,} parameters",
        "method": type(method).__name__,
        "data": f"{data.name}, {len(data.train)} training images",
        "config": dataclasses.asdict(config),
        "torch": torch.__version__,
        "metrics": run.metrics,
        "seconds": round(run.seconds, 1),
        "created": run.created,
        "history": run.history.drop(columns="seconds").to_dict(orient="list"),
    }
    return Teacher(model, record)


def train_lesson_teacher(path: Path = SHIPPED, *, fresh: bool = False) -> Teacher:
    """Train the lesson teacher on the embedded 10,000 images and write it to ``path`` with its
    record.
    """
    teacher = train_or_load(LESSON_FACTORY, load("fashion-mnist"), LESSON_CONFIG, fresh=fresh)
    store.write(
        path,
        {name: tensor.contiguous() for name, tensor in teacher.model.state_dict().items()},
        teacher.record,
    )
    return teacher


def lesson_teacher(path: Path = SHIPPED) -> Teacher:
    """The teacher that ships with the package: TeacherNet of width 16, trained on the embedded
    images.

    Raises:
        ValueError: the file is missing, damaged, or of another architecture.
    """
    tensors, record = store.read(path)
    return Teacher(load_state(LESSON_FACTORY(), tensors, path), record)


def load_state(model: nn.Module, tensors: dict[str, Tensor], source: Path | str) -> nn.Module:
    """Load weights into ``model``; ``ValueError`` in one line if they belong to another
    architecture.
    """
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        differing = sorted(
            set(expected) ^ set(found)
            or {name for name in expected if expected[name] != found[name]}
        )
        raise ValueError(
            f"{source} is a checkpoint of another architecture than {type(model).__name__}: "
            f"{len(differing)} tensors differ, the first is {differing[0]}"
        )
    model.load_state_dict(tensors)
    return model
