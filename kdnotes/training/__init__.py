"""The one training loop of the course.

``fit`` does not know which method it runs. What must be equal between the arms of a comparison is drawn from streams
that depend on the seed and the step alone: initial weights (``build``), batch order, augmented views and dropout. A
method that draws random numbers of its own shifts none of them, and a run does not touch the caller's generators.
Torch's generators belong to the process: a second training in another thread is refused (``alone``).
"""

from __future__ import annotations

import contextlib
import copy
import gc
import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from kdnotes import metrics
from kdnotes.data import Splits, Views
from kdnotes.methods import Batch, Method
from kdnotes.models import Cohort, StagedNet, StridedPointwise, check_network, describe, forward_features

__all__ = ["Config", "Run", "alone", "build", "fit", "predict", "single_thread"]

_training = threading.RLock()  # held by the one thread of this process that trains


@dataclass(frozen=True)
class Config:
    """How to train: AdamW with a one-cycle learning rate.

    Args:
        epochs: passes over the training images.
        batch_size: samples a step; a last batch of one sample is dropped (batch norm needs two).
        learning_rate: peak of the one-cycle schedule.
        weight_decay: decoupled decay of weight matrices and kernels (not of biases and norms, nor of a method's own
            parameters).
        views: the augmented views; epoch e sees view e mod count.
        seed: of initial weights (through ``build``), batch order and dropout.
        validate_every: epochs between measurements of the validation accuracy in the history (0: only at the end).
        device: where to train, such as "cpu", "cuda" or "mps"; that it is there is checked where it is used.
        bfloat16: autocast to bfloat16. It changes the numbers, so it is off unless asked for.
    """

    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 5e-3
    weight_decay: float = 0.01
    views: Views = field(default_factory=Views)
    seed: int = 0
    validate_every: int = 0
    device: str = "cpu"
    bfloat16: bool = False

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("seed", 0), ("validate_every", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        for name, kind in (
            ("learning_rate", (int, float)),
            ("weight_decay", (int, float)),
            ("views", Views),
            ("device", str),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kind):
                wanted = "a number" if isinstance(kind, tuple) else f"a {kind.__name__}"
                raise TypeError(f"{name} must be {wanted}, not {type(value).__name__}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be a finite number above 0, not {self.learning_rate!r}")
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay must be a finite number, 0 or more, not {self.weight_decay!r}")
        _check_device(self.device)


@dataclass
class Run:
    """A finished training.

    Args:
        history: one row an epoch: epoch, learning_rate, loss, each term of the method (mean over steps), what the
            method observed, seconds, and validation_accuracy where it was measured.
        metrics: accuracy, nll and ece of the last epoch, prefixed "validation_" and "test_".
        validation_logits, test_logits: ``[N, classes]`` float32 on the CPU.
        state: the student's weights and buffers, on the CPU.
        seconds: of the training, without the final evaluation.
        start: SHA-256 of the student's state before the first step.
        order: SHA-256 of the sequence of batches and views.
        created: when it was computed (ISO 8601, UTC).
        kept: what the method kept, such as a gate's weights, on the CPU.
        cached: whether it was read from the cache.
    """

    history: pd.DataFrame
    metrics: dict[str, float]
    validation_logits: Tensor
    test_logits: Tensor
    state: dict[str, Tensor]
    seconds: float
    start: str
    order: str
    created: str
    kept: dict[str, Tensor] = field(default_factory=dict)
    cached: bool = False


def build(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Call ``factory`` with torch's generator seeded: the same seed gives the same initial weights, in every arm."""
    if not callable(factory) or isinstance(factory, nn.Module):
        raise TypeError(
            "factory must be a function that builds the network, such as functools.partial(StudentNet, width=16), "
            f"not {type(factory).__name__}"
        )
    with alone(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_stream(seed, "weights"))
        return factory()


def fit(student: nn.Module, method: Method, data: Splits, config: Config) -> Run:
    """Train a copy of ``student`` with ``method`` and evaluate it, once, on validation and test.

    Args:
        student: network from images ``[B, C, 32, 32]`` to logits ``[B, classes]``; it is left as it was.
        method: what to minimise; also left as it was.
        data: train, validation and test splits.
        config: schedule, views, seed and device.

    Raises:
        ValueError: the student does not give logits for the data's images and classes, nothing of it can be trained, or
            something became NaN or infinite: the message says what did so first.
        TypeError: the method's terms are not a dict of scalar tensors.
        RuntimeError: another thread of this process is training.
    """
    _check_fit(student, method, data, config)
    device = usable_device(config.device)
    with alone(), isolated(device), single_thread(), _little_garbage():
        model = copy.deepcopy(student).to(device, memory_format=_layout(student))
        _seed(device, config.seed, "check")
        few = data.train.images[:2].to(device, memory_format=_layout(model))
        for network in model.peers if isinstance(model, Cohort) else [model]:
            check_network("student", copy.deepcopy(network), few, data.num_classes)
        method = copy.deepcopy(method)
        _seed(device, config.seed, "method")
        method.prepare(model, data.train, config.views, device)
        start, began = state_key(model), time.perf_counter()
        history, order = _train(model, method, data, config, device)
        seconds = time.perf_counter() - began
        logits, peers = _outputs(model, data, config)
    measured = {
        f"{part}_{name}": value
        for part, values in logits.items()
        for name, value in metrics.evaluate(values, getattr(data, part).targets).items()
    }
    state, kept = (
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        for tensors in (model.state_dict(), method.keep() | peers)
    )
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Run(history, measured, logits["validation"], logits["test"], state, seconds, start, order, created, kept)


def _outputs(model: nn.Module, data: Splits, config: Config) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Logits on validation and test; of a cohort also those of all peers, ``[N, peers, classes]``."""
    parts = ("validation", "test")
    if not isinstance(model, Cohort):
        return {part: _evaluated(model, data, part, config) for part in parts}, {}
    peers = {f"peers.{part}": _evaluated(model.stages, data, part, config) for part in parts}
    return {part: peers[f"peers.{part}"][:, 0].clone() for part in parts}, peers


def _evaluated(model: nn.Module, data: Splits, part: str, config: Config) -> Tensor:
    """Logits on a split, which must be finite."""
    images = getattr(data, part).images
    logits = predict(model, images, config.device)
    if not _finite([logits]):
        remedy = f"lower learning_rate ({config.learning_rate})" if _finite([images]) else "as its images are"
        raise ValueError(f"the student's logits on data.{part} became NaN or infinite: {remedy}")
    return logits


def predict(model: nn.Module, images: Tensor, device: torch.device | str = "cpu", batch_size: int = 500) -> Tensor:
    """Logits ``[N, classes]`` (float32, on the CPU), in eval mode, without gradients and on one thread.

    The network's mode is restored.
    """
    device, was_training, parts = usable_device(device), model.training, []
    model.eval()
    try:
        with torch.inference_mode(), single_thread():
            for part in images.split(batch_size):
                output = model(part.to(device, memory_format=torch.channels_last))
                if not isinstance(output, Tensor):
                    raise TypeError(f"model must return one tensor, not {describe(output)}: wrap it in one that does")
                parts.append(output.float().cpu())
    finally:
        model.train(was_training)
    return torch.cat(parts).clone()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Refuse to train, or to build a network, while another thread of this process does; one thread may do so nested.

    Threads share torch's generators: what one draws shifts what the other gets, and neither's result could be repeated.
    To wait would be no better: the other may wait for a file that this one has locked.

    Raises:
        RuntimeError: another thread is at it.
    """
    if not _training.acquire(blocking=False):
        raise RuntimeError(
            "one training at a time in a process: another thread of this one is training, and threads share torch's "
            "random numbers. Train in processes (joblib's default backend, loky), or one after the other (workers=1)"
        )
    try:
        yield
    finally:
        _training.release()


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """One thread inside, the caller's number after: results do not depend on the number of cores or workers.

    Torch keeps this number for each thread of Python, so that two of them do not disturb each other here.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _little_garbage() -> Iterator[None]:
    """Spare the collector what is alive already: a training makes objects so fast that it would search it all often."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def isolated(device: torch.device | None = None) -> Iterator[None]:
    """Leave the caller's torch generators (CPU, CUDA where it is in use, and the device's) as they were."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    other = device is not None and device.type not in ("cpu", "cuda")
    module = getattr(torch, device.type) if other else None  # such as torch.mps
    state = module and module.get_rng_state()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            if module:
                module.set_rng_state(state)


def state_key(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _train(
    model: nn.Module, method: Method, data: Splits, config: Config, device: torch.device
) -> tuple[pd.DataFrame, str]:
    images_at, targets = config.views.reader(data.train), data.train.targets.to(device)
    schedule = [list(_batches(len(data.train), config, epoch)) for epoch in range(config.epochs)]
    steps, layout = sum(map(len, schedule)), _layout(model)
    optimizer, scheduler = _optimizer(model, method, config, steps)
    rows, order, step = [], hashlib.sha256(), 0
    for epoch, batches in enumerate(schedule):
        began, sums = time.perf_counter(), {}
        rate = scheduler.get_last_lr()[0]
        view = epoch % config.views.count
        model.train()
        for positions in batches:
            order.update(f"{view}".encode() + positions.numpy().tobytes())
            images = images_at(positions, view).to(device, memory_format=layout)
            where = positions.to(device)
            _seed(device, config.seed, f"dropout {step}")  # what a method draws in one step cannot shift the next
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
                logits, features = forward_features(model, images) if method.needs_features else (model(images), {})
            done = (step / steps, model, logits.float(), features, epoch, config.epochs)
            batch = Batch(images, targets[where], where, view, *done)
            loss, terms = _loss(method, batch, config, f"in epoch {epoch} (step {step + 1} of {steps})")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach()
            step += 1
        row = {name: float(total) / len(batches) for name, total in sums.items()}
        row = {
            "epoch": epoch,
            "learning_rate": rate,
            "loss": sum(row.values()),
            **row,
            **method.observe(),
            "seconds": time.perf_counter() - began,
        }
        if config.validate_every and (epoch + 1) % config.validate_every == 0:
            logits = _evaluated(model, data, "validation", config)
            row["validation_accuracy"] = metrics.accuracy(logits, data.validation.targets)
        rows.append(row)
    return pd.DataFrame(rows), order.hexdigest()


def _layout(model: nn.Module) -> torch.memory_format:
    """Channels last, but for a network in which that would corrupt memory (see ``models.StridedPointwise``)."""
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    unsafe = any(
        max(one.kernel_size) == 1 < max(one.stride) and not isinstance(one, StridedPointwise) for one in convolutions
    )
    return torch.contiguous_format if unsafe else torch.channels_last


def _batches(count: int, config: Config, epoch: int) -> Iterator[Tensor]:
    """Positions of each batch of an epoch, from (seed, epoch) alone."""
    order = torch.from_numpy(np.random.default_rng([config.seed, epoch]).permutation(count))
    return (part for part in order.split(config.batch_size) if len(part) > 1)


def _optimizer(
    model: nn.Module, method: Method, config: Config, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1] + list(method.parameters()), "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    total = max(steps + 1, 6)  # of 5 steps, OneCycleLR gives the first phase none and divides by zero
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=total, pct_start=0.2, cycle_momentum=False
    )
    return optimizer, scheduler


def _loss(method: Method, batch: Batch, config: Config, when: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of the method's terms and the terms, all finite; what became NaN or infinite first is named.

    (To look at the loss waits for a GPU, once a step; to copy a batch there does so already.)
    """
    try:
        terms = _check_terms(method, method.terms(batch))
    except ValueError as error:  # a loss that refuses NaN tells which argument has it; the cause may lie before
        if cause := _cause(method, batch, config, when):
            raise ValueError(cause) from error
        error.add_note(when)
        raise
    loss = sum(terms.values())
    if not math.isfinite(loss.item()):
        raise ValueError(_cause(method, batch, config, when) or _not_finite(method, batch, terms, config, when))
    if not loss.requires_grad:
        raise ValueError(
            f"terms of {type(method).__name__} must depend on the student's weights, but none has a gradient: "
            "are they computed under no_grad, or from detached logits?"
        )
    return loss, terms


def _cause(method: Method, batch: Batch, config: Config, when: str) -> str:
    """What was NaN or infinite before the terms were computed; "" if nothing was."""
    lower = f"lower learning_rate ({config.learning_rate})"
    if not _finite([batch.images]):
        return f"images of data.train are NaN or infinite, seen {when}"
    if not _finite([batch.student_logits, *batch.features.values()]):
        if not _finite([p.grad for p in batch.student.parameters() if p.grad is not None]):
            return (
                f"the student became NaN or infinite {when} through the gradient of the step before, whose loss was "
                f"finite: a term of {type(method).__name__} has no finite derivative there, or {lower}"
            )
        return f"the student's logits became NaN or infinite {when}: {lower}"
    if not _finite(method.parameters()):
        return f"parameters of {type(method).__name__} itself became NaN or infinite {when}: {lower}"
    return ""


def _not_finite(method: Method, batch: Batch, terms: dict[str, Tensor], config: Config, when: str) -> str:
    """Which term is NaN or infinite, of a student whose logits are not."""
    name, term = next(((n, t) for n, t in terms.items() if not _finite([t])), ("the sum", sum(terms.values())))
    largest = float(batch.student_logits.detach().abs().max())
    advice = "look at what it is computed from: the student's logits are finite"
    if largest > 1e4:
        advice = f"the student's logits have grown to {largest:.1e}: lower learning_rate ({config.learning_rate})"
    return f"the term {name!r} of {type(method).__name__} became {term.item()} {when}: {advice}"


def _finite(tensors: Iterable[Tensor]) -> bool:
    return all(bool(tensor.detach().isfinite().all()) for tensor in tensors)


def _check_terms(method: Method, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    if not isinstance(terms, dict) or not terms:
        raise TypeError(
            f"terms of {type(method).__name__} must be a non-empty dict, not {type(terms).__name__} {terms!r}"
        )
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            found = f"shape {list(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            raise TypeError(f"terms of {type(method).__name__} must be scalar tensors, but {name!r} has {found}")
    return terms


def _stream(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{purpose} {seed}".encode()).digest()[:7], "big")


def _seed(device: torch.device, seed: int, purpose: str) -> None:
    """Seed the generators of the CPU and of the device for one purpose.

    The CPU's is seeded directly: ``torch.manual_seed`` also queues a call for a GPU that is not there. Of several
    devices of a kind all are seeded: ``manual_seed`` alone would seed the current one, not "cuda:1".
    """
    value = _stream(seed, purpose)
    torch.default_generator.manual_seed(value)
    if device.type != "cpu":
        module = getattr(torch, device.type)  # torch.cuda, torch.mps, torch.xpu …
        getattr(module, "manual_seed_all", module.manual_seed)(value)


def _check_device(device: str) -> None:
    """Only its form: a ``Config`` for a GPU may be made where there is none."""
    try:
        torch.device(device)
    except RuntimeError:
        raise ValueError(f"device must be 'cpu', 'cuda', 'mps' or 'xpu' (or 'cuda:0' …), not {device!r}") from None


def usable_device(device: torch.device | str) -> torch.device:
    """The device, if this machine has it and it can hold numbers, else ``ValueError``."""
    if not _holds_numbers(device):
        kinds = ("cuda", "mps", "xpu")
        have = ["cpu"] + [kind for kind in kinds if kind != str(device) and _holds_numbers(kind)]
        known = " or ".join(map(repr, have))
        raise ValueError(f"device must be one that this machine can use, {known}, not {str(device)!r}")
    return torch.device(device)


def _holds_numbers(device: torch.device | str) -> bool:
    try:
        return torch.device(device).type == "cpu" or float(torch.zeros(1, device=device)) == 0
    except Exception:  # each kind of device, and each build of torch without it, has an error of its own
        return False


def _check_fit(student: nn.Module, method: Method, data: Splits, config: Config) -> None:
    for name, value, kind in (
        ("student", student, nn.Module), ("method", method, Method), ("data", data, Splits), ("config", config, Config),
    ):  # fmt: skip
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be a {kind.__module__}.{kind.__name__}, not {type(value).__name__}")
    for name, has, needs in (
        ("num_classes", getattr(student, "num_classes", data.num_classes), data.num_classes),
        ("in_channels", getattr(student, "in_channels", data.in_channels), data.in_channels),
    ):
        if has != needs:
            raise ValueError(f"student must have {name}={needs} for the data set {data.name!r}, not {has}")
    if method.needs_features and not isinstance(student, StagedNet):
        raise TypeError(f"student must be a network with named stages for {type(method).__name__}, such as StudentNet")
    if any(parameter.is_meta for parameter in student.parameters()):
        raise ValueError(
            "student must hold numbers, but it is on the device 'meta': build it without torch.device('meta')"
        )
    if not any(parameter.requires_grad for parameter in student.parameters()):
        count = len(list(student.parameters()))
        found = f"all of its {count} are frozen: student.requires_grad_(True) thaws them" if count else "it has none"
        raise ValueError(f"student must have parameters to train, but {found}")
    if len(data.train) < 2:
        raise ValueError(f"data.train must hold at least 2 images, not {len(data.train)}")
