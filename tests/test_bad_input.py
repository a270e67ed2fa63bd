"""Wrong calls: each is refused by the package itself, naming the argument, the value and what is allowed."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
from collections import namedtuple

import pandas as pd
import pytest
import torch
from helpers import CONFIG, MULTI_EXIT, PAIRS, STUDENT, Outputs, own_cache, tiny_data, tiny_teacher  # noqa: F401
from kdnotes.profiles import settings

from kdnotes import check, checks, losses, metrics, teachers, training
from kdnotes.data import Views, load
from kdnotes.methods import (
    AT,
    BYOT,
    CAMKD,
    CTKD,
    DKD,
    DML,
    ESKD,
    KD,
    PSKD,
    AnnealedKD,
    CrossEntropy,
    FitNets,
    GatedKD,
    LabelSmoothing,
    MultiTeacherKD,
    OwnLoss,
    StandardizedKD,
    UncertaintyKD,
)
from kdnotes.models import Cohort, MultiExitStudent, ResidualStudent, StudentNet, TeacherNet
from kdnotes.study import Arm, PerSeed, Study, compare
from kdnotes.teachers import Teacher
from kdnotes.training import Config, fit, loop

pytestmark = pytest.mark.usefixtures("own_cache")
Z, Y = torch.zeros(3, 4), torch.zeros(3, dtype=torch.long)
ZK, W = torch.zeros(2, 3, 4), torch.full((3, 2), 0.5)  # two teachers
ONE_NAN, ONE_INF = (
    Z.index_put((torch.tensor(0), torch.tensor(0)), torch.tensor(value)) for value in (math.nan, math.inf)
)
A, B = torch.zeros(3, 2, 4, 4), torch.zeros(3, 5, 2, 2)  # features
NAN, INF = float("nan"), float("inf")


def shared_fit(student=STUDENT, method=None, **changes):
    student = student() if not isinstance(student, torch.nn.Module) and callable(student) else student
    return fit(student, method or CrossEntropy(), **({"data": tiny_data(), "config": CONFIG} | changes))


def shared_compare(arms=None, seeds=1, **changes):
    arms = {"ce": CrossEntropy()} if arms is None else arms
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG, "workers": 1, "report": None}
    return compare(arms, seeds, **(shared | changes))


def five_classes():
    return Teacher(StudentNet(num_classes=5, in_channels=1, width=2), {})


def without_stages():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, 4))


def two_stages():
    network = STUDENT()
    del network.stages.block2, network.stages.block3
    network.head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 4))
    return network


def given_run(**changes):
    arguments = {"run": shared_fit(), "factory": STUDENT, "data": tiny_data(), "config": CONFIG}
    return teachers.from_run(**(arguments | {"method": CrossEntropy()} | changes))


def hints(pairs=PAIRS, **changes):
    return FitNets(tiny_teacher(), pairs=pairs, **changes)


def three_channels():
    return Teacher(StudentNet(num_classes=4, width=2), {})


def few_images(count):
    data = tiny_data()
    return dataclasses.replace(data, train=data.train.take(torch.arange(count)))


def given_study():
    return Study(pd.DataFrame({"arm": ["a"], "seed": [0], "test_accuracy": [0.5], "validation_accuracy": [0.5]}), {})


class Gives(torch.nn.Module):
    """A network from elsewhere: what it returns is made from logits, in both modes or in training alone."""

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
    layers = [torch.nn.Conv2d(1, 4, 7, stride=4), torch.nn.Flatten(), torch.nn.Linear(4 * 55 * 55, 4)]
    return torch.nn.Sequential(*layers)


def with_nan():
    network = STUDENT()
    torch.nn.init.constant_(network.head[-1].bias, NAN)
    return network


# network, and what the message says of it, as a student and as a teacher
FOREIGN = {
    "tuple": (lambda: Gives(lambda z: (z, z)), "it returns tuple(0: [2, 4], 1: [2, 4]): wrap it in a torch.nn.Module"),
    "list": (lambda: Gives(lambda z: [z]), "it returns list(0: [2, 4]): wrap it"),
    "dict": (lambda: Gives(lambda z: {"out": z, "aux": None}), "it returns dict(out: [2, 4], aux: NoneType): wrap it"),
    "dataclass": (lambda: Gives(Answer), "it returns Answer(logits: [2, 4], loss: NoneType): wrap it"),
    "nothing": (lambda: Gives(lambda z: None), "it returns NoneType(): wrap it"),
    "maps": (
        lambda: Gives(lambda z: z[:, :, None, None]),
        "a float32 tensor [2, 4, 1, 1]: put a torch.nn.Flatten behi",
    ),
    "large maps": (
        lambda: Gives(lambda z: z[:, :, None, None].expand(-1, -1, 3, 3)),
        "tensor [2, 4, 3, 3]: a row an im",
    ),
    "three dimensions": (lambda: Gives(lambda z: z[None]), "a float32 tensor [1, 2, 4]: a row an image"),
    "one vector": (lambda: Gives(lambda z: z.flatten()), "a float32 tensor [8]: a row an image"),
    "classes": (
        lambda: Gives(lambda z: z.argmax(1)),
        "int64 tensor [2]: it must return the logits themselves, not clas",
    ),
    "probabilities": (
        lambda: Gives(lambda z: z.softmax(1)),
        "its rows are probabilities, they sum to 1: leave out its s",
    ),
    "one output": (lambda: Gives(lambda z: z[:, :1]), "a float32 tensor [2, 1]: give its last layer"),
    "NaN": (with_nan, "some are NaN or infinite: 'head.3.bias' is not finite"),
    "infinite": (lambda: Gives(lambda z: z / 0), "some are NaN or infinite: its weights are finite"),
    "large images": (
        for_224_pixels,
        "must take float32 images [batch, 1, 32, 32], but fails (RuntimeError: mat1 and mat",
    ),
    "colour": (
        lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 4, 32), torch.nn.Flatten()),
        "to have 3 channels, but got",
    ),
    "double": (lambda: STUDENT().double(), "must take float32 images"),
}


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_network_that_gives_no_logits_is_refused_before_training(kind, role, monkeypatch, own_cache):  # noqa: F811
    make, fragment = FOREIGN[kind]
    monkeypatch.setattr(loop, "_train", lambda *_: pytest.fail("the training began"))
    with pytest.raises(ValueError, match=rf"^{role} \(\w+\) must ") as caught:
        shared_fit(make()) if role == "student" else shared_fit(method=KD(Teacher(make(), {})))
    assert fragment in str(caught.value) and "\n" not in str(caught.value)
    assert f"kdnotes{os.sep}" in str(caught.traceback[-1].path)
    assert not list(own_cache.rglob("*.safetensors"))


def test_a_network_that_gives_something_else_in_training_alone_is_no_student_but_a_teacher():
    network = Gives(lambda z: Auxiliary(z, z), only_in_training=True)
    with pytest.raises(ValueError, match=r"but in training it returns Auxiliary\(logits: \[2, 4\], aux: \[2, 4\]\)"):
        shared_fit(network)
    assert shared_fit(method=KD(Teacher(network, {}))).test_logits.shape == (40, 4)


def test_a_student_without_a_number_of_classes_is_known_by_its_outputs():
    with pytest.raises(ValueError, match=r"must give logits \[2, 4\], .* \[2, 1000\]: give its last layer 4 outputs"):
        shared_fit(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, 1000)))
    logs = Gives(lambda z: z.log_softmax(1))  # log-probabilities are logits
    assert shared_fit(logs).test_logits.shape == (40, 4)


WRONG = [
    # losses
    (lambda: losses.kd_loss(Z, Z, 0), "temperature must be a finite number above 0, not 0"),
    (lambda: losses.kd_loss(Z, Z, -1.5), "temperature must be a finite number above 0, not -1.5"),
    (lambda: losses.kd_loss(Z, Z, NAN), "temperature must be a finite number above 0, not nan"),
    (lambda: losses.soften(Z, INF), "temperature must be a finite number above 0, not inf"),
    (lambda: losses.soften(Z, "4"), "temperature must be a number, not str"),
    (lambda: losses.soften(Z, True), "temperature must be a number, not bool"),
    (lambda: losses.soften(Z, torch.tensor(4.0)), "temperature must be a number, not a float32 tensor"),
    (lambda: losses.kd_loss(Z, Z[:2]), "teacher_logits must have the shape of student_logits, [3, 4], not [2, 4]"),
    (lambda: losses.kd_loss(Z, Z[:, :3]), "teacher_logits must have the shape of student_logits, [3, 4], not [3, 3]"),
    (lambda: losses.kd_loss(Z[0], Z[0]), "student_logits must have the shape [batch, classes], not [4]"),
    (lambda: losses.kd_loss(Z, Z[None]), "teacher_logits must have the shape [batch, classes], not [1, 3, 4]"),
    (lambda: losses.kd_loss(Z.long(), Z), "student_logits must be a floating-point tensor, not an int64 tensor"),
    (lambda: losses.kd_loss(Z, Z.numpy()), "teacher_logits must be a floating-point tensor, not ndarray"),
    (lambda: losses.kd_loss(None, Z), "student_logits must be a floating-point tensor, not NoneType"),
    (lambda: losses.kd_loss(Z[:, :1], Z[:, :1]), "student_logits must have at least 2 classes, not 1"),
    (lambda: losses.kd_loss(Z, Z, reduction="sum"), "reduction must be 'mean' or 'none', not 'sum'"),
    (lambda: losses.kd_loss(Z, Z, reduction=None), "reduction must be 'mean' or 'none', not None"),
    (lambda: losses.soft_cross_entropy(Z, Z), "target_probabilities must sum to 1 in each row"),
    (lambda: losses.soft_cross_entropy(Z, Z - 1), "target_probabilities must not be negative or NaN"),
    (lambda: losses.soft_cross_entropy(Z, Z * NAN), "target_probabilities must be finite, but 12 of 12"),
    (lambda: losses.kd_loss(ONE_NAN, Z), "student_logits must be finite, but 1 of 12 numbers are NaN or infinite"),
    (lambda: losses.kd_loss(Z, ONE_INF), "teacher_logits must be finite, but 1 of 12 numbers are NaN or infinite"),
    (lambda: losses.kd_loss(Z, -ONE_INF), "teacher_logits must be finite, but 1 of 12 numbers are NaN or infinite"),
    (lambda: losses.kd_loss(ONE_INF - ONE_INF.flip(0), Z), "student_logits must be finite, but 2 of 12 numbers"),
    (lambda: losses.kd_loss(Z.half() * NAN, Z.half()), "student_logits must be finite, but 12 of 12 numbers"),
    (lambda: losses.kd_loss(Z[:0], Z[:0]), "student_logits must hold at least one sample, not 0: an empty"),
    (lambda: losses.soften(ONE_NAN, 2.0), "logits must be finite, but 1 of 12 numbers are NaN or infinite"),
    (lambda: losses.standardize_logits(ONE_INF), "logits must be finite, but 1 of 12 numbers are NaN or infinite"),
    (lambda: losses.soft_cross_entropy(ONE_NAN, Z + 0.25), "student_logits must be finite, but 1 of 12 numbers"),
    (lambda: losses.soft_cross_entropy(Z[:0], Z[:0]), "student_logits must hold at least one sample, not 0"),
    (lambda: losses.dkd_loss(Z, ONE_NAN, Y), "teacher_logits must be finite, but 1 of 12 numbers are NaN or infinite"),
    (lambda: losses.decoupled_terms(Z[:0], Z[:0], Y[:0]), "student_logits must hold at least one sample, not 0"),
    (lambda: losses.self_targets(Y, ONE_NAN, 0.5), "previous_probabilities must be finite, but 1 of 12 numbers"),
    (
        lambda: losses.multi_teacher_kd_loss(Z, torch.stack([Z, ONE_NAN]), W),
        "teacher_logits must be finite, but 1 of 24 numbers are NaN or infinite",
    ),
    (lambda: losses.multi_teacher_kd_loss(Z[:0], ZK[:, :0], W[:0]), "student_logits must hold at least one sample, no"),
    (lambda: losses.confidence_weights(torch.stack([Z, ONE_INF]), Y), "teacher_logits must be finite, but 1 of 24 num"),
    (lambda: losses.hint_loss(ONE_NAN, Z), "student_feature must be finite, but 1 of 12 numbers are NaN or infinite"),
    (lambda: losses.hint_loss(Z, ONE_INF), "teacher_feature must be finite, but 1 of 12 numbers are NaN or infinite"),
    (lambda: losses.hint_loss(Z[:0], Z[:0]), "student_feature must hold at least one sample, not 0: an empty batch"),
    (lambda: losses.hint_loss(Z[:, :0], Z[:, :0]), "student_feature must hold numbers, but its shape is [3, 0]"),
    (lambda: losses.attention_map(A * INF), "feature must be finite, but 96 of 96 numbers are NaN or infinite"),
    (lambda: losses.attention_transfer_loss([A], [B * NAN]), "teacher_features[0] must be finite, but 60 of 60 numbe"),
    (lambda: losses.attention_transfer_loss([A[:0]], [B[:0]]), "student_features must hold at least one sample, not 0"),
    (lambda: losses.mutual_losses([Z, ONE_NAN], Y), "logits[1] must be finite, but 1 of 12 numbers"),
    (lambda: losses.peer_divergences([Z[:0], Z[:0]]), "logits[0] must hold at least one sample, not 0: an empty batch"),
    (lambda: losses.soft_cross_entropy(Z, Y), "target_probabilities must be a floating-point tensor, not an int64"),
    (lambda: checks.targets(Y + 4, 4), "targets must lie in 0 … 3, but they span 4 … 4"),
    (lambda: checks.targets(Y - 1, 4), "targets must lie in 0 … 3, but they span -1 … -1"),
    (lambda: checks.targets(Y.float(), 4), "targets must be an int64 tensor of class indices, not a float32"),
    (lambda: checks.targets(Y[None], 4), "targets must have the shape [batch], not [1, 3]"),
    (lambda: losses.decoupled_terms(Z, Z[:2], Y), "teacher_logits must have the shape of student_logits, [3, 4], not"),
    (lambda: losses.decoupled_terms(Z, Z, Y[:2]), "targets must be one class for each of the 3 samples, not 2"),
    (lambda: losses.decoupled_terms(Z, Z, Y + 4), "targets must lie in 0 … 3, but they span 4 … 4"),
    (lambda: losses.decoupled_terms(Z, Z, [0, 0, 0]), "targets must be an int64 tensor of class indices, not list"),
    (lambda: losses.decoupled_terms(Z, Z, Y, 0), "temperature must be a finite number above 0, not 0"),
    (lambda: losses.decoupled_terms(Z, Z, Y, reduction="sum"), "reduction must be 'mean' or 'none', not 'sum'"),
    (lambda: losses.dkd_loss(Z, Z, Y, alpha=-1), "alpha must be a finite number, 0 or more, not -1"),
    (lambda: losses.dkd_loss(Z, Z, Y, beta=INF), "beta must be a finite number, 0 or more, not inf"),
    (lambda: losses.dkd_loss(Z, Z, Y, beta="8"), "beta must be a number, not str"),
    (lambda: losses.self_targets(Y, Z, 0.5), "previous_probabilities must sum to 1 in each row; the largest"),
    (lambda: losses.self_targets(Y, Z.long(), 0.5), "previous_probabilities must be a floating-point tensor, not an"),
    (lambda: losses.self_targets(Y, Z + 0.25, 1.5), "alpha must lie in [0, 1], not 1.5"),
    (lambda: losses.self_targets(Y[:2], Z + 0.25, 1), "targets must be one class for each of the 3 samples, not 2"),
    (lambda: losses.self_targets(Y + 4, Z + 0.25, 1), "targets must lie in 0 … 3, but they span 4 … 4"),
    (
        lambda: losses.multi_teacher_kd_loss(Z, [Z, Z], W),
        "teacher_logits must be a floating-point tensor [teachers, batch, classes], not list: torch.stack(list)",
    ),
    (
        lambda: losses.multi_teacher_kd_loss(Z, Z, W),
        "teacher_logits must have the shape [teachers, 3, 4], 1 teacher or more, not [3, 4]",
    ),
    (
        lambda: losses.multi_teacher_kd_loss(Z, ZK[:0], W[:, :0]),
        "teacher_logits must have the shape [teachers, 3, 4], 1 teacher or more, not [0, 3, 4]",
    ),
    (
        lambda: losses.multi_teacher_kd_loss(Z, ZK, W[0]),
        "weights must have the shape [batch, teachers], [3, 2], not [2]: one row a sample",
    ),
    (
        lambda: losses.multi_teacher_kd_loss(Z, ZK, W.T),
        "weights must have the shape [batch, teachers], [3, 2], not [2, 3]: one row a sample",
    ),
    (lambda: losses.multi_teacher_kd_loss(Z, ZK, 2 * W), "weights must sum to 1 in each row; the largest deviation is"),
    (lambda: losses.multi_teacher_kd_loss(Z, ZK, 1.5 * W - 0.25 * W), "weights must sum to 1 in each row; the largest"),
    (lambda: losses.multi_teacher_kd_loss(Z, ZK, -W), "weights must not be negative or NaN; the smallest is -0.5"),
    (lambda: losses.multi_teacher_kd_loss(Z, ZK, NAN * W), "weights must not be negative or NaN; the smallest is nan"),
    (lambda: losses.multi_teacher_kd_loss(Z, ZK, [0.5, 0.5]), "weights must be a floating-point tensor [batch, teach"),
    (lambda: losses.multi_teacher_kd_loss(Z, ZK, W, -1.0), "temperature must be a finite number above 0, not -1.0"),
    (lambda: losses.multi_teacher_kd_loss(Z, ZK, W, reduction=""), "reduction must be 'mean' or 'none', not ''"),
    (lambda: losses.confidence_weights(ZK, Y[:2]), "targets must be one class for each of the 3 samples, not 2"),
    (lambda: losses.confidence_weights(ZK, Y - 1), "targets must lie in 0 … 3, but they span -1 … -1"),
    (
        lambda: losses.confidence_weights(Z, Y),
        "teacher_logits must have the shape [teachers, batch, classes], 1 teacher or more, not [3, 4]",
    ),
    (lambda: losses.confidence_weights([Z], Y), "teacher_logits must be a floating-point tensor [teachers, batch, cla"),
    (lambda: losses.confidence_weights(ZK[:, :, :1], Y), "teacher_logits must have at least 2 classes, not 1"),
    (lambda: losses.standardize_logits(Z, 0), "eps must be a finite number above 0, not 0"),
    (lambda: losses.standardize_logits(Z, "1e-7"), "eps must be a number, not str"),
    (lambda: losses.standardize_logits(Z[0]), "logits must have the shape [batch, classes], not [4]"),
    (
        lambda: losses.hint_loss(Z, Z[:, :2]),
        "student_feature must have the shape of teacher_feature, [batch, ...]: [3, 2], not [3, 4]",
    ),
    (lambda: losses.hint_loss(Z[0], Z[0]), "student_feature must have the shape of teacher_feature, [batch, ...]"),
    (lambda: losses.hint_loss(Z, Y), "teacher_feature must be a floating-point tensor, not an int64 tensor"),
    (lambda: losses.hint_loss(None, Z), "student_feature must be a floating-point tensor, not NoneType"),
    (lambda: losses.hint_loss(Z, Z, reduction="sum"), "reduction must be 'mean' or 'none', not 'sum'"),
    (lambda: losses.reverse_gradient(3.0), "x must be a floating-point tensor, not float"),
    (lambda: losses.reverse_gradient(Y), "x must be a floating-point tensor, not an int64 tensor"),
    (lambda: losses.reverse_gradient(Z, -1), "strength must be a finite number, 0 or more, not -1"),
    (lambda: losses.reverse_gradient(Z, NAN), "strength must be a finite number, 0 or more, not nan"),
    (lambda: losses.reverse_gradient(Z, None), "strength must be a number, not NoneType"),
    (lambda: losses.attention_map(Y), "feature must be a floating-point tensor, not an int64 tensor"),
    (lambda: losses.attention_map([A]), "feature must be a floating-point tensor, not list"),
    (lambda: losses.attention_map(A[0]), "feature must have the shape [batch, channels, height, width], not [2, 4, 4]"),
    (lambda: losses.attention_map(A[:, :0]), "feature must have the shape [batch, channels, height, width], not [3, 0"),
    (lambda: losses.attention_transfer_loss(A, [A]), "student_features must be a non-empty list of features, not a fl"),
    (lambda: losses.attention_transfer_loss([A], A), "teacher_features must be a non-empty list of features, not a fl"),
    (lambda: losses.attention_transfer_loss([], []), "features must be a non-empty list of features, not an empty one"),
    (
        lambda: losses.attention_transfer_loss([A, A], [A]),
        "teacher_features must be as many as student_features, 2, not 1",
    ),
    (
        lambda: losses.attention_transfer_loss([A, A], [A, A[:2]]),
        "teacher_features[1] must have the batch of student_features[1], 3, not 2",
    ),
    (
        lambda: losses.attention_transfer_loss([A, Z], [A, A]),
        "student_features[1] must have the shape [batch, channels, height, width], not [3, 4]",
    ),
    (lambda: losses.attention_transfer_loss([A], [None]), "teacher_features[0] must be a floating-point tensor, not N"),
    (lambda: losses.attention_transfer_loss([A], [B], form="Paper"), "form must be 'code' or 'paper', not 'Paper'"),
    (lambda: losses.attention_transfer_loss([A], [B], reduction="sum"), "reduction must be 'mean' or 'none', not 'sum"),
    (lambda: losses.match_size(Z, A), "feature must have the shape [batch, channels, height, width], not [3, 4]"),
    (lambda: losses.match_size(A, Y), "other must be a floating-point tensor, not an int64 tensor"),
    (lambda: losses.hint_loss(A, B), "student_feature must have the shape of teacher_feature, [batch, ...]: [3, 5, 2"),
    (lambda: losses.peer_divergences(ZK), "logits must be a list of tensors [batch, classes], one a peer, not a float"),
    (lambda: losses.peer_divergences([Z]), "logits must be those of 2 peers or more, not 1"),
    (lambda: losses.peer_divergences([Z, Y]), "logits[1] must be a floating-point tensor, not an int64 tensor"),
    (lambda: losses.peer_divergences([Z, Z[:2]]), "logits[1] must have the shape of logits[0], [3, 4], not [2, 4]"),
    (lambda: losses.peer_divergences([Z, Z], 0), "temperature must be a finite number above 0, not 0"),
    (lambda: losses.mutual_losses([Z], Y), "logits must be those of 2 peers or more, not 1"),
    (lambda: losses.mutual_losses({"a": Z, "b": Z}, Y), "logits must be a list of tensors [batch, classes], one a pee"),
    (lambda: losses.mutual_losses([Z, Z], Y[:2]), "targets must be one class for each of the 3 samples, not 2"),
    (lambda: losses.mutual_losses([Z, Z], Y + 4), "targets must lie in 0 … 3, but they span 4 … 4"),
    (lambda: losses.mutual_losses([Z, Z], Y, NAN), "temperature must be a finite number above 0, not nan"),
    # models
    (lambda: Cohort([STUDENT, STUDENT]), "peers must be a tuple of 2 functions or more that build the networks, not ["),
    (lambda: Cohort((STUDENT,)), "peers must be a tuple of 2 functions or more that build the networks, not ("),
    (lambda: Cohort((STUDENT, "StudentNet")), "peers[1] must be a function that builds the network, such as"),
    (lambda: Cohort((STUDENT, STUDENT())), "peers[1] must be a function that builds the network, such as"),
    (
        lambda: Cohort((STUDENT, functools.partial(STUDENT, num_classes=5))),
        "peers must have equal classes and channels, not [(4, 1), (5, 1)]",
    ),
    (lambda: TeacherNet(num_classes=1), "num_classes must be at least 2, not 1"),
    (lambda: StudentNet(in_channels=0), "in_channels must be at least 1, not 0"),
    (lambda: StudentNet(width=0), "width must be at least 1, not 0"),
    (lambda: ResidualStudent(width=1.5), "width must be an integer, not float"),
    (lambda: MultiExitStudent(two_stages), "backbone must have at least 3 stages, the exits lie between the first and"),
    (lambda: MULTI_EXIT().forward_until(Z, "stem"), "exit must be one of ['block1', 'block2', 'block3'], not 'stem'"),
    (lambda: MultiExitStudent(STUDENT()), "backbone must be a function that builds the network, such as"),
    (lambda: MultiExitStudent("StudentNet"), "backbone must be a function that builds the network, such as"),
    (lambda: MultiExitStudent(without_stages), "backbone must build a network with named stages, not Sequential"),
    (lambda: MULTI_EXIT().forward_until(Z, ["block1"]), "exit must be one of ['block1', 'block2', 'block3'], not ['b"),
    (lambda: MULTI_EXIT().forward_until(Z, 3), "exit must be one of ['block1', 'block2', 'block3'], not 3"),
    # data
    (lambda: load("mnist"), "name must be 'fashion-mnist', 'cifar10' or 'folder:PATH', not 'mnist'"),
    (lambda: load("folder:"), "name must be 'fashion-mnist', 'cifar10' or 'folder:PATH', not 'folder:'"),
    (lambda: load(3), "name must be a string, not int"),
    (lambda: load(train_images=9), "train_images must lie in 10 … 10000 (at least one a class), not 9"),
    (lambda: load(test_images=10_001), "test_images must lie in 10 … 10000 (at least one a class), not 10001"),
    (lambda: load(validation_images=-5), "validation_images must lie in 10 … 2000"),
    (lambda: (load(train_images=500), load(train_images=500.0)), "train_images must be an integer or None, not float"),
    (lambda: load(train_images=[500]), "train_images must be an integer or None, not list"),
    (lambda: load(without_classes=(10,)), "without_classes must hold class indices in 0 … 9, not (10,)"),
    (lambda: load(without_classes=tuple(range(10))), "without_classes must leave a class to learn, not drop all 10"),
    (lambda: load(without_classes=7), "without_classes must be a tuple of class indices, not 7"),
    (lambda: load(without_classes=("bag",)), "without_classes must be a tuple of class indices, not ('bag',)"),
    (lambda: load(subset_seed=-1), "subset_seed must be at least 0, not -1"),
    (lambda: load(subset_seed=None), "subset_seed must be an integer, not NoneType"),
    (lambda: Views(count=0), "count must be at least 1, not 0"),
    (lambda: Views(padding=-1), "padding must be at least 0, not -1"),
    (lambda: Views(seed="0"), "seed must be an integer, not str"),
    # methods
    (lambda: KD(tiny_teacher(), 0), "temperature must be a finite number above 0, not 0"),
    (lambda: KD(tiny_teacher(), alpha=1.1), "alpha must lie in [0, 1], not 1.1"),
    (lambda: KD(tiny_teacher(), alpha=-0.1), "alpha must lie in [0, 1], not -0.1"),
    (lambda: KD(tiny_teacher(), alpha=NAN), "alpha must lie in [0, 1], not nan"),
    (lambda: KD(tiny_teacher(), alpha=None), "alpha must be a number, not NoneType"),
    (lambda: KD(tiny_teacher().model), "teacher must be a kdnotes.teachers.Teacher, not TeacherNet"),
    (lambda: LabelSmoothing(2.0), "epsilon must lie in [0, 1], not 2.0"),
    (lambda: DKD(tiny_teacher().model), "teacher must be a kdnotes.teachers.Teacher, not TeacherNet"),
    (lambda: DKD(tiny_teacher(), 0), "temperature must be a finite number above 0, not 0"),
    (lambda: DKD(tiny_teacher(), alpha=-1.0), "alpha must be a finite number, 0 or more, not -1.0"),
    (lambda: DKD(tiny_teacher(), beta="8"), "beta must be a number, not str"),
    (lambda: DKD(tiny_teacher(), warmup=20), "warmup must lie in [0, 1], not 20"),
    (lambda: UncertaintyKD(None), "teacher must be a kdnotes.teachers.Teacher, not NoneType"),
    (lambda: UncertaintyKD(tiny_teacher(), keep_share=0), "keep_share must lie above 0, up to 1, not 0"),
    (lambda: UncertaintyKD(tiny_teacher(), keep_share=1.5), "keep_share must lie in [0, 1], not 1.5"),
    (lambda: UncertaintyKD(tiny_teacher(), keep_share=None), "keep_share must be a number, not NoneType"),
    (lambda: UncertaintyKD(tiny_teacher(), temperature=-1), "temperature must be a finite number above 0, not -1"),
    (lambda: AnnealedKD(None), "teacher must be a kdnotes.teachers.Teacher, not NoneType"),
    (lambda: AnnealedKD(tiny_teacher(), 4.0), "temperature must be a tuple (first, last), not 4.0"),
    (lambda: AnnealedKD(tiny_teacher(), [4.0, 1.0]), "temperature must be a tuple (first, last), not [4.0, 1.0]"),
    (lambda: AnnealedKD(tiny_teacher(), (4.0, 0)), "temperature must be a finite number above 0, not 0"),
    (lambda: AnnealedKD(tiny_teacher(), alpha=0.1), "alpha must be a tuple (first, last), not 0.1"),
    (lambda: AnnealedKD(tiny_teacher(), alpha=(0.1, 1.5)), "alpha must lie in [0, 1], not 1.5"),
    (lambda: StandardizedKD(tiny_teacher(), NAN), "temperature must be a finite number above 0, not nan"),
    (lambda: StandardizedKD(tiny_teacher(), alpha=2), "alpha must lie in [0, 1], not 2"),
    (
        lambda: CTKD(tiny_teacher(), 1.0),
        "temperature must lie between lowest and highest, 1.0 and 21.0, not at 1.0",
    ),
    (lambda: CTKD(tiny_teacher(), 4.0, lowest=5.0), "temperature must lie between lowest and highest, 5.0 and"),
    (lambda: CTKD(tiny_teacher(), lowest=0), "lowest must be a finite number above 0, not 0"),
    (lambda: CTKD(tiny_teacher(), highest="9"), "highest must be a number, not str"),
    (lambda: CTKD(tiny_teacher(), highest=INF), "highest must be a finite number above 0, not inf"),
    (lambda: CTKD(tiny_teacher(), adversarial="no"), "adversarial must be True or False, not str"),
    (lambda: CTKD(tiny_teacher(), ramp=10), "ramp must lie in [0, 1], not 10"),
    (lambda: PSKD(1.1), "alpha must lie in [0, 1], not 1.1"),
    (lambda: PSKD("0.8"), "alpha must be a number, not str"),
    (lambda: BYOT(0), "temperature must be a finite number above 0, not 0"),
    (lambda: BYOT(alpha=2), "alpha must lie in [0, 1], not 2"),
    (lambda: BYOT(hint=-0.1), "hint must be a finite number, 0 or more, not -0.1"),
    (lambda: MultiTeacherKD(()), "teachers must be a tuple of one teacher or more, not an empty one"),
    (lambda: MultiTeacherKD(tiny_teacher()), "teachers must be a tuple of one teacher or more, not Teacher"),
    (lambda: MultiTeacherKD([tiny_teacher()]), "teachers must be a tuple of one teacher or more, not list"),
    (lambda: MultiTeacherKD((tiny_teacher(),), 0), "temperature must be a finite number above 0, not 0"),
    (lambda: MultiTeacherKD((tiny_teacher(),), alpha=NAN), "alpha must lie in [0, 1], not nan"),
    (lambda: CAMKD((tiny_teacher(), None)), "teachers[1] must be a kdnotes.teachers.Teacher, not NoneType"),
    (
        lambda: GatedKD((tiny_teacher(),), train_gate_by="me"),
        "train_gate_by must be 'labels' or 'imitation', not 'me'",
    ),
    (lambda: ESKD(tiny_teacher(), until=1.1), "until must lie in [0, 1], not 1.1"),
    (lambda: ESKD(tiny_teacher(), until="half"), "until must be a number, not str"),
    (lambda: ESKD(None), "teacher must be a kdnotes.teachers.Teacher, not NoneType"),
    (lambda: ESKD(tiny_teacher(), alpha=2), "alpha must lie in [0, 1], not 2"),
    (lambda: hints(()), "pairs must hold at least one (student's stage, teacher's stage), not ()"),
    (lambda: hints([("stem", "block1")]), "pairs must be a tuple of (student's stage, teacher's stage), not [('stem',"),
    (lambda: hints(("stem", "block1")), "pairs must be a tuple of (student's stage, teacher's stage), not ('stem', 'b"),
    (lambda: hints((("stem",),)), "pairs must be a tuple of (student's stage, teacher's stage), not (('stem',),)"),
    (lambda: hints(weight=-1.0), "weight must be a finite number, 0 or more, not -1.0"),
    (lambda: hints(alone=1), "alone must lie in [0, 1), not 1: the student's head would never be trained"),
    (lambda: hints(alone=-0.1), "alone must lie in [0, 1], not -0.1"),
    (lambda: hints(alone=None), "alone must be a number, not NoneType"),
    (lambda: hints(temperature=0), "temperature must be a finite number above 0, not 0"),
    (lambda: FitNets(Outputs(ZK), pairs=PAIRS), "teacher must be a kdnotes.teachers.Teacher, not Outputs"),
    (lambda: FitNets(tiny_teacher().model, pairs=PAIRS), "teacher must be a kdnotes.teachers.Teacher, not TeacherNet"),
    (lambda: AT(tiny_teacher()), "pairs must hold at least one (student's stage, teacher's stage), not ()"),
    (lambda: AT(tiny_teacher(), pairs=PAIRS, form=2), "form must be 'code' or 'paper', not 2"),
    (lambda: AT(tiny_teacher(), pairs=PAIRS, weight=INF), "weight must be a finite number, 0 or more, not in"),
    (lambda: DML(-1.0), "weight must be a finite number, 0 or more, not -1.0"),
    (lambda: DML(temperature=0), "temperature must be a finite number above 0, not 0"),
    (lambda: DML(teacher="resnet"), "teacher must be a kdnotes.teachers.Teacher, not str"),
    (lambda: DML(teacher_temperature=-1), "temperature must be a finite number above 0, not -1"),
    (lambda: DML(alpha=1.5), "alpha must lie in [0, 1], not 1.5"),
    (lambda: OwnLoss(None), "loss must be a function, not NoneType"),
    (lambda: OwnLoss(abs, module=3), "module must be a function, not int"),
    (lambda: OwnLoss(abs, module=STUDENT()), "module must be a function, not"),
    (lambda: OwnLoss(abs, "resnet"), "teacher must be a kdnotes.teachers.Teacher, not str"),
    (lambda: OwnLoss(abs, stages=("block1",)), "stages must be a tuple of names of the teacher's stages, not ('block1"),
    (lambda: OwnLoss(abs, tiny_teacher(), "block1"), "stages must be a tuple of names of the teacher's stages, not 'b"),
    # training
    (lambda: Config(epochs=0), "epochs must be at least 1, not 0"),
    (lambda: Config(epochs=1.0), "epochs must be an integer, not float"),
    (lambda: Config(batch_size=1), "batch_size must be at least 2, not 1"),
    (lambda: Config(learning_rate=0.0), "learning_rate must be a finite number above 0, not 0.0"),
    (lambda: Config(learning_rate=NAN), "learning_rate must be a finite number above 0, not nan"),
    (lambda: Config(learning_rate="fast"), "learning_rate must be a number, not str"),
    (lambda: Config(weight_decay=-1.0), "weight_decay must be a finite number, 0 or more, not -1.0"),
    (lambda: Config(seed=-1), "seed must be at least 0, not -1"),
    (lambda: Config(views=8), "views must be a Views, not int"),
    (lambda: Config(device="gpu"), "device must be 'cpu', 'cuda', 'mps' or 'xpu' (or 'cuda:0' …), not 'gpu'"),
    (lambda: shared_fit(config=dataclasses.replace(CONFIG, device="meta")), "device must be one that this machine can"),
    (lambda: training.predict(STUDENT(), tiny_data().test.images, "meta"), "device must be one that this machine can"),
    (lambda: training.predict(Gives(lambda z: (z, z)), tiny_data().test.images), "model must return one tensor, not"),
    (lambda: shared_fit(STUDENT().requires_grad_(False)), "student must have parameters to train, but all of its 30"),
    (lambda: shared_fit(tiny_teacher().model), "are frozen: student.requires_grad_(True) thaws them"),
    (lambda: shared_fit(torch.nn.Flatten()), "student must have parameters to train, but it has none"),
    (lambda: shared_fit(STUDENT().to("meta")), "student must hold numbers, but it is on the device 'meta'"),
    (
        lambda: Cohort((STUDENT, without_stages)),
        "peers[1] must build a network with the attributes num_classes and in_channels, such as StudentNet, but a Seq",
    ),
    (
        lambda: shared_fit(method=KD(Outputs(torch.zeros(1, 60, 4)))),
        "teacher must give logits [views, images, classes], [2, 60, …], but its bank is a float32 tensor [1, 60, 4]",
    ),
    (
        lambda: shared_fit(method=MultiTeacherKD((tiny_teacher(), Outputs(torch.full((2, 60, 4), NAN))))),
        "the logits of teachers[1] must be finite, but 480 of 480 numbers are NaN or infinite",
    ),
    (lambda: shared_fit(student="StudentNet"), "student must be a torch.nn.modules.module.Module, not str"),
    (lambda: shared_fit(method=CrossEntropy), "method must be a kdnotes.methods.Method, not type"),
    (lambda: shared_fit(data="fashion-mnist"), "data must be a kdnotes.data.Splits, not str"),
    (lambda: shared_fit(config={}), "config must be a kdnotes.training.Config, not dict"),
    (
        lambda: shared_fit(functools.partial(STUDENT, num_classes=10)),
        "student must have num_classes=4 for the data set 'tiny', not 10",
    ),
    (
        lambda: shared_fit(functools.partial(STUDENT, in_channels=3)),
        "student must have in_channels=1 for the data set 'tiny', not 3",
    ),
    (lambda: shared_fit(data=few_images(1)), "data.train must hold at least 2 images, not 1"),
    (lambda: training.build(STUDENT(), 0), "factory must be a function that builds the network"),
    (
        lambda: shared_fit(method=KD(Teacher(StudentNet(num_classes=5, in_channels=1, width=2), {}))),
        "teacher_logits must have the shape of student_logits, [16, 4], not [16, 5]",
    ),
    (
        lambda: shared_fit(method=KD(Teacher(StudentNet(num_classes=4, width=2), {}))),
        "split must have images of 3 channels, which this teacher sees, not 1",
    ),
    (
        lambda: shared_fit(method=GatedKD((five_classes(),))),
        "teacher_logits must have the shape [teachers, 16, 4], 1 teacher or more, not [1, 16, 5]",
    ),
    (
        lambda: shared_fit(method=MultiTeacherKD((tiny_teacher(), five_classes()))),
        "teachers must have equal numbers of classes, not [4, 5]",
    ),
    (
        lambda: shared_fit(method=DKD(five_classes())),
        "teacher_logits must have the shape of student_logits, [16, 4], not [16, 5]",
    ),
    (
        lambda: shared_fit(without_stages(), BYOT()),
        "student must be a network with named stages for BYOT, such as StudentNet",
    ),
    (
        lambda: shared_fit(method=BYOT()),
        "student must be a models.MultiExitStudent, which has exits, not StudentNet",
    ),
    (
        lambda: shared_fit(method=hints((("stage1", "block2"),))),
        "pairs must name stages of the student, ['stem', 'block1', 'block2', 'block3'], not 'stage1'",
    ),
    (
        lambda: shared_fit(method=hints((("block1", "stage2"),))),
        "stage must be one of the teacher's, ['block1', 'block2', 'block3', 'block4'], not 'stage2'",
    ),
    (
        lambda: shared_fit(without_stages(), hints()),
        "student must be a network with named stages for FitNets, such as StudentNet",
    ),
    (
        lambda: shared_fit(method=FitNets(Teacher(without_stages(), {}), pairs=PAIRS)),
        "model must be a network with named stages, such as TeacherNet, not Sequential",
    ),
    (lambda: shared_fit(method=DML()), "student must be a models.Cohort, which has peers, not StudentNet"),
    (
        lambda: shared_fit(method=OwnLoss(lambda batch, given: None)),
        "terms of OwnLoss must be scalar tensors, but 'loss' has NoneType",
    ),
    (
        lambda: shared_fit(method=OwnLoss(lambda batch, given: batch.student_logits)),
        "terms of OwnLoss must be scalar tensors, but 'loss' has shape [16, 4]",
    ),
    (lambda: shared_fit(method=OwnLoss(lambda batch, given: {})), "terms of OwnLoss must be a non-empty dict, not dic"),
    (
        lambda: shared_fit(method=OwnLoss(lambda batch, given: 0, tiny_teacher(), ("stem",))),
        "stage must be one of the teacher's, ['block1', 'block2', 'block3', 'block4'], not 'stem'",
    ),
    (lambda: given_run(run=None), "run must be a kdnotes.training.Run, not NoneType"),
    (lambda: given_run(data=tiny_data().train), "data must be a kdnotes.data.Splits, not Split"),
    (lambda: given_run(config=None), "config must be a kdnotes.training.Config, not NoneType"),
    (lambda: given_run(method=None), "method must be a kdnotes.methods.Method, not NoneType"),
    (lambda: given_run(factory=STUDENT()), "factory must be a function that builds the network"),
    (
        lambda: given_run(factory=functools.partial(STUDENT, width=3)),
        "run is a checkpoint of another architecture than StudentNet: ",
    ),
    (lambda: Teacher("resnet", {}), "model must be a torch.nn.Module, not str"),
    (lambda: tiny_teacher().logits(tiny_data().test.images), "split must be a kdnotes.data.Split (such as data.train)"),
    (lambda: tiny_teacher().feature_shape("stem"), "stage must be one of the teacher's, ['block1', 'block2', 'block3'"),
    (
        lambda: tiny_teacher().features(tiny_data().test, Views(1), None),
        "stage must be one of the teacher's, ['block1', 'block2', 'block3', 'block4'], not None",
    ),
    (
        lambda: tiny_teacher().features(tiny_data().test.images, Views(1), "block1"),
        "split must be a kdnotes.data.Split (such as data.train)",
    ),
    (
        lambda: three_channels().features(tiny_data().test, Views(1), "stem"),
        "split must have images of 3 channels, which this teacher sees, not 1",
    ),
    # study
    (lambda: PerSeed(lambda seed: STUDENT)(), "PerSeed needs a seed: it is for the student of study.Arm"),
    (lambda: training.build(PerSeed(lambda seed: STUDENT), 0), "PerSeed needs a seed: it is for the student of study."),
    (
        lambda: shared_compare(student=PerSeed(lambda seed: STUDENT())),
        "student of arm 'ce' must be a function that builds the network, such as",
    ),
    (lambda: shared_compare({}), "arms must be a non-empty mapping of names to methods, not {}"),
    (lambda: shared_compare([CrossEntropy()]), "arms must be a non-empty mapping of names to methods"),
    (lambda: shared_compare({"ce": CrossEntropy}), "method of arm 'ce' must be a Method, not the class CrossEntropy"),
    (lambda: shared_compare({"ce": Arm(KD)}), "method of arm 'ce' must be a Method, not the class KD"),
    (lambda: shared_compare({"ce": Arm("kd")}), "method of arm 'ce' must be a Method, not str"),
    (lambda: shared_compare({"ce": Arm(STUDENT())}), "method of arm 'ce' must be a Method, not StudentNet"),
    (lambda: shared_compare({"ce": Arm(lambda seed: KD)}), "method of arm 'ce' must give a Method for each seed, not"),
    (lambda: shared_compare({"ce": lambda seed: None}), "method of arm 'ce' must give a Method for each seed"),
    (lambda: shared_compare(seeds=0), "seeds must be a whole number of at least 1, not 0"),
    (lambda: shared_compare(seeds=2.0), "seeds must be a whole number of at least 1, not 2.0"),
    (lambda: shared_compare(workers=0), "workers (KDNOTES_WORKERS) must be a whole number of at least 1, not 0"),
    (lambda: shared_compare(workers=1.5), "workers (KDNOTES_WORKERS) must be a whole number of at least 1, not 1.5"),
    (lambda: shared_compare(data=None), "data of arm 'ce' must be a Splits, not NoneType"),
    (lambda: shared_compare(student=STUDENT()), "student of arm 'ce' must be a function that builds the network"),
    (lambda: given_study().values("b"), "arm must be one of ['a'], not 'b'"),
    (lambda: given_study().difference("a", "b"), "arm must be one of ['a'], not 'b'"),
    (lambda: given_study().values("a", "f1"), "metric must be one of ['test_accuracy', 'validation_accuracy'], not"),
    (lambda: given_study().best("test_accuracy"), "metric must not be a test metric, but 'test_accuracy' is"),
    (lambda: given_study().best(among=[]), "among must name at least one of ['a'], or be None, not []"),
    # metrics
    (lambda: metrics.accuracy(Z, Y + 4), "targets must lie in 0 … 3"),
    (lambda: metrics.accuracy(Z, Y[:2]), "targets must be one class for each of the 3 logits (1 or more), not 2"),
    (lambda: metrics.accuracy(Z[:0], Y[:0]), "targets must be one class for each of the 0 logits (1 or more), not 0"),
    (lambda: metrics.negative_log_likelihood(Z[0], Y), "logits must have the shape [batch, classes], not [4]"),
    (lambda: metrics.expected_calibration_error(Z, Y, bins=0), "bins must be a whole number of at least 1, not 0"),
    (lambda: metrics.agreement(Z, Z[:2]), "other must have the shape of logits, [3, 4], not [2, 4]"),
    (lambda: metrics.mcnemar(Z, Z[:2], Y), "other must have the shape of logits, [3, 4], not [2, 4]"),
    (lambda: metrics.mean_interval([]), "samples must be a non-empty list of finite numbers, not []"),
    (lambda: metrics.mean_interval([0.1, NAN]), "samples must be a non-empty list of finite numbers"),
    (lambda: metrics.mean_interval([0.1, 0.2], level=95), "level must lie between 0 and 1, not 95"),
    (lambda: metrics.cka(Z, Z), "features must have the shape [N, ...], N ≥ 4 and equal to the other's, not [3, 4]"),
    (lambda: metrics.cka(Z.T, Z), "other must have the shape [N, ...], N ≥ 4 and equal to the other's, not [3, 4]"),
    (lambda: metrics.cka_table([Z.T, Z], [Z.T]), "features[1] must have the shape [N, ...], N ≥ 4 and equal"),
    (lambda: metrics.cka_table([Z.T], []), "others must hold at least one tensor"),
    (lambda: metrics.cka_table([Z.T], [Z.T, Y]), "others[1] must be a floating-point tensor, not an int64 tensor"),
    (lambda: metrics.cka(Z.T[0], Z.T), "features must have the shape [N, ...], N ≥ 4 and equal to the other's, not [3"),
    (lambda: metrics.cka(Y, Z), "features must be a floating-point tensor, not an int64 tensor"),
    (lambda: metrics.cka(Z.T, None), "other must be a floating-point tensor, not NoneType"),
    # profiles and exercises
    (lambda: settings("quick"), "profile must be one of smoke, lesson, full, not 'quick'"),
    (lambda: settings("smoke", seeds=0), "seeds must be a whole number of at least 1, not 0"),
    (lambda: check.exercise("99.1", abs), "number must be that of an exercise, such as '01.1', not '99.1'"),
    (lambda: check.exercise("first", abs), "number must be that of an exercise, such as '01.1', not 'first'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_wrong_calls_name_argument_value_and_what_is_allowed(call, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)) as caught:
        call()
    assert type(caught.value) in (TypeError, ValueError)
    assert "\n" not in str(caught.value)
    raised_in = str(caught.traceback[-1].path)
    assert f"kdnotes{os.sep}" in raised_in and "site-packages" not in raised_in


def test_workers_from_the_environment_are_checked(monkeypatch):
    monkeypatch.setenv("KDNOTES_WORKERS", "many")
    with pytest.raises(ValueError, match=r"workers \(KDNOTES_WORKERS\) must be .*, not 'many'"):
        shared_compare(workers=None)


def test_unknown_profile_from_the_environment_is_named(monkeypatch):
    monkeypatch.setenv("KDNOTES_PROFILE", "huge")
    with pytest.raises(ValueError, match="profile must be one of smoke, lesson, full, not 'huge'"):
        settings()


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named():
    for device in ("cuda", "cuda:9", "mps", "xpu"):
        with pytest.raises(ValueError, match=f"device must be one that this machine can use, 'cpu', not '{device}'"):
            shared_fit(config=dataclasses.replace(CONFIG, device=device))
