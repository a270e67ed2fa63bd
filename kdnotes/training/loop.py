"""The one training loop of the course.

``fit`` does not know which method it runs. What must be equal between the arms of a comparison is
drawn from streams that depend on the seed and the step alone: initial weights (``build``), batch
order, augmented views and dropout. A method that draws random numbers of its own shifts none of
them, and a run does not touch the caller's generators. Torch's generators belong to the process: a
second training in another thread is refused (``machine.alone``).
"""

from __future__ import annotations

import contextlib
import copy
import gc
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from kdnotes import checks, metrics
from kdnotes.data import Splits
from kdnotes.machine import alone, isolated, seed_generators, single_thread, stream, usable_device
from kdnotes.methods import Batch, Method
from kdnotes.models import Cohort, StridedPointwise, check_network, describe, forward_features
from kdnotes.training.config import Config
from kdnotes.training.diagnosis import check_fit, is_finite, loss_of


@dataclass
class Run:
    """A finished training.

    Args:
        history: one row an epoch: epoch, learning_rate, loss, each term of the method (mean over
            steps), what the method observed, seconds, and validation_accuracy where measured.
        metrics: accuracy, nll and ece of the last epoch, prefixed "validation_" and "test_".
        validation_logits, test_logits: ``[N, classes]`` float32 on the CPU.
        state: the student's weights and buffers, on the CPU.
        seconds: of the training, without the final evaluation.
        start: SHA-256 of the student's state before the first step.
        order: SHA-256 of the sequence of batches and views.
        created: when it was computed (ISO 8601, UTC).
        kept: what the method kept, such as a gate's weights, on the CPU.
        cached: whether it was read from the store.
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
    """Call ``factory`` with torch's generator seeded: equal initial weights in every arm."""
    checks.builder("factory", factory)
    with alone(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream(seed, "weights"))
        return factory()


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
    check_fit(student, method, data, config)
    device = usable_device(config.device)
    with alone(), isolated(device), single_thread(), _spare_the_collector():
        model = copy.deepcopy(student).to(device, memory_format=_layout(student))
        seed_generators(device, config.seed, "check")
        few = data.train.images[:2].to(device, memory_format=_layout(model))
        for network in model.peers if isinstance(model, Cohort) else [model]:
            check_network("student", copy.deepcopy(network), few, data.num_classes)
        method = copy.deepcopy(method)
        seed_generators(device, config.seed, "method")
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
    return Run(
        history=history,
        metrics=measured,
        validation_logits=logits["validation"],
        test_logits=logits["test"],
        state=_on_cpu(model.state_dict()),
        seconds=seconds,
        start=start,
        order=order,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        kept=_on_cpu(method.keep() | peers),
    )


def _train(
    model: nn.Module, method: Method, data: Splits, config: Config, device: torch.device
) -> tuple[pd.DataFrame, str]:
    """One row of the history an epoch, and the SHA-256 of the batches seen."""
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
            # What a method draws in one step cannot shift the dropout of the next.
            seed_generators(device, config.seed, f"dropout {step}")
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
                if method.needs_features:
                    logits, features = forward_features(model, images)
                else:
                    logits, features = model(images), {}
            batch = Batch(
                images=images,
                targets=targets[where],
                positions=where,
                view=view,
                progress=step / steps,
                student=model,
                student_logits=logits.float(),
                features=features,
                epoch=epoch,
                epochs=config.epochs,
            )
            when = f"in epoch {epoch} (step {step + 1} of {steps})"
            loss, terms = loss_of(method, batch, config, when, first=positions is batches[0])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach()
            step += 1
        means = {name: float(total) / len(batches) for name, total in sums.items()}
        row = {"epoch": epoch, "learning_rate": rate, "loss": sum(means.values()), **means}
        row |= {**method.observe(), "seconds": time.perf_counter() - began}
        if config.validate_every and (epoch + 1) % config.validate_every == 0:
            logits = _evaluate(model, data, "validation", config)
            row["validation_accuracy"] = metrics.accuracy(logits, data.validation.targets)
        rows.append(row)
    return pd.DataFrame(rows), order.hexdigest()


def _batches(count: int, config: Config, epoch: int) -> Iterator[Tensor]:
    """Positions of each batch of an epoch, from (seed, epoch) alone."""
    order = torch.from_numpy(np.random.default_rng([config.seed, epoch]).permutation(count))
    return (part for part in order.split(config.batch_size) if len(part) > 1)


def _optimizer(
    model: nn.Module, method: Method, config: Config, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    vectors = [p for p in trained if p.ndim <= 1] + list(method.parameters())
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    total = max(steps + 1, 6)  # of 5 steps, OneCycleLR gives the first phase none: 0/0
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=total, pct_start=0.2, cycle_momentum=False
    )
    return optimizer, scheduler


def _outputs(
    model: nn.Module, data: Splits, config: Config
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Logits on validation and test; of a cohort also all peers', ``[N, peers, classes]``."""
    parts = ("validation", "test")
    if not isinstance(model, Cohort):
        return {part: _evaluate(model, data, part, config) for part in parts}, {}
    peers = {f"peers.{part}": _evaluate(model.stages, data, part, config) for part in parts}
    return {part: peers[f"peers.{part}"][:, 0].clone() for part in parts}, peers


def _evaluate(model: nn.Module, data: Splits, part: str, config: Config) -> Tensor:
    """Logits on a split, which must be finite."""
    images = getattr(data, part).images
    logits = predict(model, images, config.device)
    if not is_finite([logits]):
        lower = f"lower learning_rate ({config.learning_rate})"
        remedy = lower if is_finite([images]) else "as its images are"
        raise ValueError(f"the student's logits on data.{part} became NaN or infinite: {remedy}")
    return logits


def predict(
    model: nn.Module, images: Tensor, device: torch.device | str = "cpu", batch_size: int = 500
) -> Tensor:
    """Logits ``[N, classes]`` (float32, on the CPU), in eval mode and on one thread.

    Without gradients; the network's mode is restored.
    """
    device, was_training, parts = usable_device(device), model.training, []
    model.eval()
    try:
        with torch.inference_mode(), single_thread():
            for part in images.split(batch_size):
                output = model(part.to(device, memory_format=torch.channels_last))
                if not isinstance(output, Tensor):
                    found = describe(output)
                    raise TypeError(
                        f"model must return one tensor, not {found}: wrap it in one that does"
                    )
                parts.append(output.float().cpu())
    finally:
        model.train(was_training)
    return torch.cat(parts).clone()


def state_key(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{list(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _layout(model: nn.Module) -> torch.memory_format:
    """Channels last, unless that would corrupt memory (see ``models.StridedPointwise``)."""
    unsafe = any(
        max(one.kernel_size) == 1 < max(one.stride) and not isinstance(one, StridedPointwise)
        for one in model.modules()
        if isinstance(one, nn.Conv2d)
    )
    return torch.contiguous_format if unsafe else torch.channels_last


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: one.detach().cpu().contiguous().clone() for name, one in tensors.items()}


@contextlib.contextmanager
def _spare_the_collector() -> Iterator[None]:
    """A training makes objects so fast that the collector would search all that lives often."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
