"""Networks from elsewhere: what gives no logits is refused before a training, and says why."""

from __future__ import annotations

import dataclasses
import math
import os
from collections import namedtuple

import pytest
import torch
from helpers import STUDENT, train
from torch import nn

from kdnotes.methods import KD
from kdnotes.teachers import Teacher
from kdnotes.training import loop

pytestmark = pytest.mark.usefixtures("own_cache")


class Gives(nn.Module):
    """Returns what is made of its logits, in both modes or in training alone."""

    def __init__(self, make, only_in_training=False):
        super().__init__()
        self.network, self.make, self.only_in_training = STUDENT(), make, only_in_training

    def forward(self, images):
        logits = self.network(images)
        return self.make(logits) if self.training or not self.only_in_training else logits


@dataclasses.dataclass
class Answer:
    logits: torch.Tensor
    loss: None = None


Auxiliary = namedtuple("Auxiliary", "logits aux")  # as of torchvision's GoogLeNet, in training


def for_224_pixels():
    last = nn.Linear(4 * 55 * 55, 4)
    return nn.Sequential(nn.Conv2d(1, 4, 7, stride=4), nn.Flatten(), last)


def with_nan():
    network = STUDENT()
    nn.init.constant_(network.head[-1].bias, math.nan)
    return network


# The network, and what the message says of it, as a student and as a teacher.
FOREIGN = {
    "tuple": (
        lambda: Gives(lambda z: (z, z)),
        "it returns tuple(0: [2, 4], 1: [2, 4]): wrap it in a torch.nn.Module",
    ),
    "list": (lambda: Gives(lambda z: [z]), "it returns list(0: [2, 4]): wrap it"),
    "dict": (
        lambda: Gives(lambda z: {"out": z, "aux": None}),
        "it returns dict(out: [2, 4], aux: NoneType): wrap it",
    ),
    "dataclass": (
        lambda: Gives(Answer),
        "it returns Answer(logits: [2, 4], loss: NoneType): wrap it",
    ),
    "nothing": (lambda: Gives(lambda z: None), "it returns NoneType(): wrap it"),
    "maps": (
        lambda: Gives(lambda z: z[:, :, None, None]),
        "a float32 tensor [2, 4, 1, 1]: put a torch.nn.Flatten",
    ),
    "large maps": (
        lambda: Gives(lambda z: z[:, :, None, None].expand(-1, -1, 3, 3)),
        "tensor [2, 4, 3, 3]: a row an image",
    ),
    "three dimensions": (
        lambda: Gives(lambda z: z[None]),
        "a float32 tensor [1, 2, 4]: a row an image",
    ),
    "one vector": (lambda: Gives(lambda z: z.flatten()), "a float32 tensor [8]: a row an image"),
    "classes": (
        lambda: Gives(lambda z: z.argmax(1)),
        "int64 tensor [2]: it must return the logits themselves",
    ),
    "probabilities": (
        lambda: Gives(lambda z: z.softmax(1)),
        "its rows are probabilities, they sum to 1: leave out",
    ),
    "one output": (
        lambda: Gives(lambda z: z[:, :1]),
        "a float32 tensor [2, 1]: give its last layer",
    ),
    "NaN": (with_nan, "some are NaN or infinite: 'head.3.bias' is not finite"),
    "infinite": (
        lambda: Gives(lambda z: z / 0),
        "some are NaN or infinite: its weights are finite",
    ),
    "large images": (
        for_224_pixels,
        "must take float32 images [batch, 1, 32, 32], but fails (RuntimeError: ",
    ),
    "colour": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten()),
        "to have 3 channels, but got",
    ),
    "double": (lambda: STUDENT().double(), "must take float32 images"),
}


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_network_that_gives_no_logits_is_refused_before_training(
    kind, role, monkeypatch, own_cache
):
    make, fragment = FOREIGN[kind]
    monkeypatch.setattr(loop._Training, "run", lambda *_: pytest.fail("the training began"))
    with pytest.raises(ValueError, match=rf"^{role} \(\w+\) must ") as caught:
        train(student=make) if role == "student" else train(KD(Teacher(make(), {})))
    assert fragment in str(caught.value) and "\n" not in str(caught.value)
    assert f"kdnotes{os.sep}" in str(caught.traceback[-1].path)
    assert not list(own_cache.rglob("*.safetensors"))


def test_a_network_that_gives_something_else_in_training_alone_is_no_student_but_a_teacher():
    network = Gives(lambda z: Auxiliary(z, z), only_in_training=True)
    message = r"but in training it returns Auxiliary\(logits: \[2, 4\], aux: \[2, 4\]\)"
    with pytest.raises(ValueError, match=message):
        train(student=lambda: network)
    assert train(KD(Teacher(network, {}))).test_logits.shape == (40, 4)


def test_a_student_without_a_number_of_classes_is_known_by_its_outputs():
    message = r"must give logits \[2, 4\], .* \[2, 1000\]: give its last layer 4 outputs"
    with pytest.raises(ValueError, match=message):
        train(student=lambda: nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 1000)))
    logs = Gives(lambda z: z.log_softmax(1))  # log-probabilities are logits
    assert train(student=lambda: logs).test_logits.shape == (40, 4)
