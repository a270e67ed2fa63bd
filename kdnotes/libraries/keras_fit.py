"""Keras' own training: the course's student in ``keras.distillation.Distiller``, by its ``fit``.

The loop, the loss and AdamW are Keras', on its torch backend. What a comparison keeps equal is
ours: first weights, views, batches in their order, and the learning rate of each step.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdnotes import checks, models
from kdnotes.data import Splits
from kdnotes.libraries.vision import keras_on_torch
from kdnotes.machine import alone, isolated, single_thread
from kdnotes.training import Config
from kdnotes.training.optimizer import EPS, OneCycleAdamW


def fit(
    student: nn.Module,
    teacher: nn.Module,
    data: Splits,
    config: Config,
    temperature: float,
    alpha: float,
) -> nn.Module:
    """A copy of a student, trained by Keras as ``training.fit`` trains it with ``KD``.

    Args:
        student: network from images ``[B, C, 32, 32]`` to logits ``[B, classes]``; left as it was.
        teacher: another, asked anew for each batch.
        data: whose training images are used.
        config: epochs, batches, views, rate and decay; on the CPU, in float32.
        temperature: T > 0, of ``LogitsDistillation`` with ``loss=KLDivergence()``.
        alpha: α, in [0, 1]: ``student_loss_weight``.

    Returns:
        The trained copy, in eval mode.

    Raises:
        ValueError: a number is out of range, a network does not give logits for the data's images
            and classes, or the config asks for another device or number format.
        ModuleNotFoundError: Keras is not installed.
        RuntimeError: Keras runs on another backend, or another thread of this process is training.
    """
    checks.positive("temperature", temperature)
    checks.fraction("alpha", alpha)
    if config.device != "cpu" or config.bfloat16:
        raise ValueError(f"config must train on the CPU in float32, not as {config!r}")
    keras, networks = keras_on_torch(), {"student": student, "teacher": teacher}
    with alone(), isolated(), single_thread(), keras.device("cpu"):
        for name, network in networks.items():
            few = data.train.images[:2]
            models.check_network(name, copy.deepcopy(network), few, data.num_classes)
        networks = {name: copy.deepcopy(network) for name, network in networks.items()}
        distiller = keras.distillation.Distiller(
            **{name: _in_keras(keras, network, data) for name, network in networks.items()},
            distillation_losses=keras.distillation.LogitsDistillation(
                temperature, keras.losses.KLDivergence()
            ),
            student_loss_weight=alpha,
        )
        labels = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        distiller.compile(_optimizer(keras, distiller.student, config), loss=labels)
        steps = len(list(_batches(len(data.train), config, 0)))
        rates = _rates(keras, distiller.optimizer, config, config.epochs * steps)
        options = {"epochs": config.epochs, "steps_per_epoch": steps, "callbacks": [rates]}
        distiller.fit(_given(data, config), **options, shuffle=False, verbose=0)
    return networks["student"].eval()


def _in_keras(keras: ModuleType, network: nn.Module, data: Splits) -> Any:
    layer = keras.layers.TorchModuleWrapper(network, output_shape=(None, data.num_classes))
    return keras.Sequential([keras.Input(data.train.images.shape[1:]), layer])


def _optimizer(keras: ModuleType, student: Any, config: Config) -> Any:
    """AdamW; weight matrices and kernels decay, biases and norms do not."""
    optimizer = keras.optimizers.AdamW(weight_decay=config.weight_decay, epsilon=EPS)
    vectors = [one for one in student.trainable_variables if len(one.shape) < 2]
    optimizer.exclude_from_weight_decay(var_list=vectors)
    return optimizer


def _rates(keras: ModuleType, optimizer: Any, config: Config, steps: int) -> Any:
    """What sets the learning rate before each step."""
    schedule = OneCycleAdamW([], config.learning_rate, steps)

    def begin(batch: int, logs: Any = None) -> None:
        optimizer.learning_rate = schedule.rate
        schedule.step()

    return keras.callbacks.LambdaCallback(on_train_batch_begin=begin)


def _given(data: Splits, config: Config) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and targets of every batch of every epoch."""
    images_at = config.views.reader(data.train)
    for epoch in range(config.epochs):
        for positions in _batches(len(data.train), config, epoch):
            images = images_at(positions, epoch % config.views.count)
            yield images.contiguous(), data.train.targets[positions]


def _batches(count: int, config: Config, epoch: int) -> Iterator[Tensor]:
    """Positions of each batch, as ``training.fit`` draws them (a test compares the students)."""
    order = torch.from_numpy(np.random.default_rng([config.seed, epoch]).permutation(count))
    return (part for part in order.split(config.batch_size) if len(part) > 1)
