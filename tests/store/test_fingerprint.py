"""What enters the key of a run, and what does not."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import os
import subprocess
import sys

import pytest
import torch
from helpers import CONFIG, METHODS, STUDENT, TRANSFORMER, tiny_data, tiny_teacher

from kdnotes import losses, training
from kdnotes.data import Views
from kdnotes.methods import KD, CrossEntropy, GatedKD, LabelSmoothing
from kdnotes.models import stacked, stacked_attention, stacked_layers
from kdnotes.store import fingerprint, run_key
from kdnotes.training import loop

pytestmark = pytest.mark.usefixtures("own_cache")
QUICK = dataclasses.replace(CONFIG, epochs=1)


def test_the_key_depends_on_each_ingredient(monkeypatch):
    data, teacher = tiny_data(), tiny_teacher()
    shifted = dataclasses.replace(data.test, images=data.test.images + 1e-3)

    def kd(**changes):
        return KD(**({"teacher": teacher, "temperature": 2.0, "alpha": 0.5} | changes))

    calls = {
        "base": (STUDENT, kd(), data, QUICK),
        "student": (functools.partial(STUDENT, width=3), kd(), data, QUICK),
        "temperature": (STUDENT, kd(temperature=2.5), data, QUICK),
        "alpha": (STUDENT, kd(alpha=0.25), data, QUICK),
        "teacher weights": (STUDENT, kd(teacher=tiny_teacher(1)), data, QUICK),
        "method": (STUDENT, CrossEntropy(), data, QUICK),
        "other method": (STUDENT, LabelSmoothing(0.1), data, QUICK),
        "data": (STUDENT, kd(), dataclasses.replace(data, test=shifted), QUICK),
        "seed": (STUDENT, kd(), data, dataclasses.replace(QUICK, seed=1)),
        "rate": (STUDENT, kd(), data, dataclasses.replace(QUICK, learning_rate=0.02)),
        "views": (STUDENT, kd(), data, dataclasses.replace(QUICK, views=Views(3))),
    }
    several = [tiny_teacher(seed) for seed in range(3)]
    calls |= {
        f"every {name}": (STUDENT, make(several), data, QUICK) for name, make in METHODS.items()
    }
    calls |= {
        f"gated {order}": (STUDENT, GatedKD(tuple(several[i] for i in order)), data, QUICK)
        for order in ((0, 1), (1, 0), (0,))
    }
    del calls["every CrossEntropy"], calls["every KD"]  # as above
    keys = {name: run_key(*call) for name, call in calls.items()}
    monkeypatch.setattr(torch, "__version__", "another")
    keys["torch"] = run_key(*calls["base"])
    assert len(set(keys.values())) == len(keys), keys
    monkeypatch.undo()
    same = kd(teacher=tiny_teacher())
    assert run_key(STUDENT, same, tiny_data(), dataclasses.replace(QUICK)) == keys["base"]


def test_the_key_of_data_is_its_content_not_its_recipe():
    data = tiny_data()
    renamed = dataclasses.replace(data, name="renamed")
    keys = (run_key(STUDENT, CrossEntropy(), one, QUICK) for one in (data, renamed))
    assert len(set(keys)) == 1


def test_an_attribute_that_is_no_field_enters_the_key():
    class Weighted(KD):
        def __init__(self, teacher, weight):
            super().__init__(teacher)
            self.weight = weight

    assert fingerprint(Weighted(tiny_teacher(), 1.0)) != fingerprint(Weighted(tiny_teacher(), 2.0))


def test_closures_and_bound_methods_enter_the_key():
    def make(number):
        def factory():
            return number

        return factory

    class Builder:
        key = "a"

        def build(self):
            return self

    first, second = Builder(), Builder()
    second.key = "b"
    assert fingerprint(make(1)) == fingerprint(make(1)) != fingerprint(make(2))
    assert fingerprint(first.build) != fingerprint(second.build)


# Code

# Of each loss the methods whose runs it renames, by the names of ``helpers.METHODS`` before a
# comma.
USERS = {
    "kd_loss": {
        "AnnealedKD", "AT", "BYOT", "CAMKD", "CTKD", "ESKD", "GatedKD", "RKD", "SP", "CRD",
        "FitNets", "KD", "MultiTeacherKD", "DML", "OwnLoss", "StandardizedKD", "UncertaintyKD",
        "DeiT",
    },
    "decoupled_terms": {"DKD"},
    "self_targets": {"PSKD"},
    "confidence_weights": {"CAMKD"},
    "hard_label_loss": {"DeiT", "HardKD"},
    "hint_loss": {"BYOT", "FitNets", "OwnLoss"},
    "attention_map": {"AT"},
    "relational_distance_loss": {"RKD"},
    "relational_angle_loss": {"RKD"},
    "similarity_loss": {"SP"},
    "correlation_terms": {"DIST"},
    "contrastive_loss": {"CRD"},
    "contrast_level": {"CRD"},
    "reverse_gradient": {"CTKD"},
    "standardize_logits": {"StandardizedKD"},
}  # fmt: skip


def keys_of_all_methods() -> dict[str, str]:
    teachers = [tiny_teacher(seed) for seed in range(3)]
    return {
        name: run_key(STUDENT, make(teachers), tiny_data(), QUICK) for name, make in METHODS.items()
    }


@pytest.mark.parametrize("name", USERS)
def test_a_changed_loss_renames_exactly_the_runs_that_use_it(name, monkeypatch):
    before, honest = keys_of_all_methods(), getattr(losses, name)
    module = sys.modules[honest.__module__]
    changed = lambda *given, **named: 2 * honest(*given, **named)  # noqa: E731
    for place in {losses, module}:
        monkeypatch.setattr(place, name, changed)
    after = keys_of_all_methods()
    renamed = {method.partition(",")[0] for method in before if before[method] != after[method]}
    # Not every function that stands for ``OwnLoss`` uses the loss.
    assert renamed == USERS[name]


def test_a_change_of_the_loop_renames_every_run_and_one_elsewhere_none(monkeypatch):
    before = keys_of_all_methods()
    monkeypatch.setattr(training, "predict", None)  # the name of another module: nothing reaches it
    assert keys_of_all_methods() == before
    monkeypatch.setattr(loop, "_optimizer", lambda *given: None)
    after = keys_of_all_methods()
    assert all(before[name] != after[name] for name in before)


def test_a_change_of_a_stacked_layer_renames_every_run_but_the_processor_none(monkeypatch):
    before = keys_of_all_methods()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "ANOTHER")
    assert keys_of_all_methods() == before
    monkeypatch.setattr(stacked_layers.StackedLinear, "forward", lambda self, x: x)
    after = keys_of_all_methods()
    assert all(before[name] != after[name] for name in before)


def test_how_a_kind_of_layer_is_stacked_by_itself_names_the_runs_of_its_networks_alone(monkeypatch):
    def keys():
        students = (STUDENT, TRANSFORMER)
        return [run_key(one, CrossEntropy(), tiny_data(), QUICK) for one in students]

    cnn, transformer = keys()
    monkeypatch.setattr(stacked_attention.StackedNorm, "forward", lambda self, x: x)
    changed = keys()
    assert changed[0] == cnn and changed[1] != transformer
    monkeypatch.setattr(stacked, "LAYERS", dict(list(stacked.LAYERS.items())[1:]))
    assert keys()[0] != cnn


CODE = '''
def weight(batch):
    """The weight of a batch."""
    return 2 * batch  # twice
'''


def key_of(source: str) -> str:
    scope = {"__name__": "__main__"}
    exec(compile(source, "cell", "exec"), scope)
    return fingerprint(scope["weight"])


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (CODE.replace("  # twice", ""), True),
        (CODE.replace("The weight of a batch.", "What it weighs."), True),
        (CODE.replace('    """The weight of a batch."""\n', ""), True),
        (
            CODE.replace(
                "    return 2 * batch", "\n    # a comment\n    return (2 *\n        batch)"
            ),
            True,
        ),
        (CODE.replace("2 *", "3 *"), False),
        (CODE.replace("2 *", "2.0 *"), False),
        (CODE.replace("(batch)", "(batch, more=1)"), False),
        (CODE.replace("return", "scale = 1\n    return"), False),
    ],
)
def test_comments_layout_and_docstrings_do_not_change_the_key_but_code_does(changed, same):
    assert (key_of(changed) == key_of(CODE)) is same


def test_a_module_of_ones_own_is_followed_and_what_it_holds_may_have_no_meaning(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "mine.py"
    text = "import threading\nLOCK, SCALE = threading.Lock(), 2.0\n"
    text += "def half(x):\n    with LOCK:\n        return SCALE * x\n"
    keys = []
    for number, source in enumerate([text, text + "# more\n", text.replace("2.0", "3.0")]):
        file.write_text(source)
        # Else Python may take the compiled file of the version before.
        os.utime(file, (number, number))
        importlib.invalidate_caches()
        module = importlib.import_module("mine")
        if number:
            module = importlib.reload(module)
        keys.append(fingerprint(functools.partial(module.half, 1)))
    assert keys[0] == keys[1] != keys[2]


# A notebook in a process of its own: cells are compiled as IPython does it, so that Python finds
# the source of functions but not of classes.
NOTEBOOK = '''
import functools, json, linecache, torch
from kdnotes.store import fingerprint
from kdnotes.methods import CrossEntropy, Method
from kdnotes.models import StudentNet

cells = 0
def cell(source):
    global cells
    cells += 1
    name = f"ipykernel_1/{cells}.py"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    exec(compile(source, name, "exec"), globals())

METHOD = """
class Mine(CrossEntropy):
    def terms(self, batch):
        (hard,) = super().terms(batch).values()
        return {"hard": helper(SCALE * OTHER[0] * hard) * TENSOR}
"""
STUDENT = """
def student(width=WIDTH):
    return StudentNet(width=width)
"""
HELPER = "def helper(x):\\n    return x + 1\\n"
# Pickling in another thread adds __slotnames__ to a class while its key is computed; here each look
# adds a name.
PICKLED = """
import dataclasses
@dataclasses.dataclass
class Pickling:
    @property
    def __class__(self):
        setattr(Mine, f"__slotnames{len(vars(Mine))}__", [])
        return Pickling
Mine.other_thread = Pickling()
"""
SETTINGS = "SCALE, OTHER, TENSOR, WIDTH, UNUSED = 2.0, [1], torch.ones(2), 4, object()\\n"

def keys():
    return [fingerprint(Mine()), fingerprint(student)]

def after(*sources):
    for source in (SETTINGS, HELPER, METHOD, STUDENT, *sources):
        cell(source)
    return keys()

base = after()
print(json.dumps({
    "again": [a == b for a, b in zip(base, after())],
    "comment": [a == b for a, b in zip(base, after(METHOD.replace("batch):", "batch):  # mine")))],
    "global": [a == b for a, b in zip(base, after("SCALE = 3.0"))],
    "content": [a == b for a, b in zip(base, after("OTHER.append(2)"))],
    "tensor": [a == b for a, b in zip(base, after("TENSOR = torch.zeros(2)"))],
    "helper": [a == b for a, b in zip(base, after(HELPER.replace("+ 1", "+ 2")))],
    "method": [a == b for a, b in zip(base, after(METHOD.replace("* TENSOR", "/ TENSOR")))],
    "unused": [a == b for a, b in zip(base, after("UNUSED = 5"))],
    "default": [a == b for a, b in zip(base, after("WIDTH = 8", STUDENT))],
    "pickled": [a == b for a, b in zip(after(PICKLED), after(PICKLED))],
}))
'''


def test_notebook_code_enters_the_key_with_the_globals_that_it_loads(tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text(NOTEBOOK)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "again": [True, True],
        "comment": [True, True],
        "global": [False, True],
        "content": [False, True],
        "tensor": [False, True],
        "helper": [False, True],
        "method": [False, True],
        "unused": [True, True],
        "default": [True, False],
        "pickled": [True, True],
    }


def test_a_class_without_source_has_the_key_that_it_has_with_it():
    """A worker process gets a notebook's class by value, without its source."""
    source = "class Mine(CrossEntropy):\n    def terms(self, batch):\n"
    source += "        return super().terms(batch)\n"
    keys = []
    for name in ("<cell 1>", "<cell 2>"):
        scope = {"CrossEntropy": CrossEntropy, "__name__": "__main__"}
        exec(compile(source, name, "exec"), scope)
        keys.append(run_key(STUDENT, scope["Mine"](), tiny_data(), QUICK))
    assert keys[0] == keys[1] != run_key(STUDENT, CrossEntropy(), tiny_data(), QUICK)


KEYED = "@dataclass\nclass C(CrossEntropy):\n    key: str = 'k'\n    s: float = 1.0\n"
BUFFER = "mine = nn.Module()\nmine.register_buffer('b', "
FACTORY = "@dataclass\nclass mine:\n    a: list = field(default_factory=lambda: "
# Two cells each, in which something that a training may depend on differs.
DIFFERENT = {
    "order of arguments": ("def mine(soft, hard): return soft - 2 * hard",
                           "def mine(hard, soft): return soft - 2 * hard"),
    "default of another": ("def mine(a, b=2): return a - b", "def mine(b, a=2): return a - b"),
    "keyword alone": ("def mine(a, b): return a", "def mine(a, *, b): return a"),
    "stars": ("def mine(a): return a", "def mine(*a): return a"),
    "inner function": ("def mine(x):\n    def f(a, b): return a - b\n    return f(x, 1)",
                       "def mine(x):\n    def f(b, a): return a - b\n    return f(x, 1)"),
    "array of a class": ("class mine: w = np.array([1.0])", "class mine: w = np.array([2.0])"),
    "set of a class": ("class mine: w = {1}", "class mine: w = {2}"),
    "dtype in a dict": ("class mine: w = {'a': 1, 'd': torch.float32}",
                        "class mine: w = {'a': 2, 'd': torch.float32}"),
    "network of a class": ("class mine: act = nn.ReLU()", "class mine: act = nn.GELU()"),
    "static partial": ("class mine: f = staticmethod(partial(max, 1))",
                       "class mine: f = staticmethod(partial(max, 2))"),
    "partial method": ("class mine: f = partialmethod(max, 1)",
                       "class mine: f = partialmethod(max, 2)"),
    "setter": ("class mine:\n    @property\n    def x(self): ...\n    @x.setter\n"
               "    def x(self, v): self.y = v",
               "class mine:\n    @property\n    def x(self): ...\n    @x.setter\n"
               "    def x(self, v): self.y = 2 * v"),
    "property or method": ("class mine:\n    @property\n    def x(self): return 1",
                           "class mine:\n    def x(self): return 1"),
    "base of a library": ("class mine(nn.ReLU): ...", "class mine(nn.GELU): ..."),
    "call of a library": ("class mine: __call__ = torch.exp", "class mine: __call__ = torch.log"),
    "default factory": (FACTORY + "[1])", FACTORY + "[2])"),
    "order of fields": ("@dataclass\nclass mine:\n    a: int\n    b: int",
                        "@dataclass\nclass mine:\n    b: int\n    a: int"),
    "enum": ("class mine(Enum): A = 1", "class mine(Enum): A = 2"),
    "own key": (KEYED + "mine = C(s=1.0)", KEYED + "mine = C(s=3.0)"),
    "method of an object in C": ("mine = torch.ones(1).mul", "mine = torch.zeros(1).mul"),
    "attribute of a function": ("def mine(): ...\nmine.w = 1", "def mine(): ...\nmine.w = 2"),
    "list or tuple": ("mine = partial(max, [0, 1])", "mine = partial(max, (0, 1))"),
    "zero": ("def mine(): return 0.0", "def mine(): return -0.0"),
    "no_grad": ("@torch.no_grad()\ndef mine(x): return x",
                "@torch.no_grad()\ndef mine(x): return 2 * x"),
    "hidden buffer": (BUFFER + "torch.ones(1), persistent=False)",
                      BUFFER + "torch.zeros(1), persistent=False)"),
    "attribute of a network": ("mine = nn.Module()\nmine.gain = 1.0",
                               "mine = nn.Module()\nmine.gain = 2.0"),
    "library function": ("f = torch.sin\ndef mine(x): return f(x)",
                         "f = torch.cos\ndef mine(x): return f(x)"),
}  # fmt: skip
CELL = """
import torch
from dataclasses import dataclass, field
from enum import Enum
from functools import partial, partialmethod
import numpy as np
from torch import nn
from kdnotes.methods import CrossEntropy
"""


def key_of_cell(source: str) -> str:
    scope = {"__name__": "__main__"}
    exec(compile(CELL + source, "cell", "exec"), scope)
    return fingerprint(scope["mine"])


@pytest.mark.parametrize("name", DIFFERENT)
def test_whatever_may_change_a_training_changes_the_key(name):
    one, other = DIFFERENT[name]
    assert key_of_cell(one) == key_of_cell(one) != key_of_cell(other)


@pytest.mark.parametrize(
    "source",
    [
        "mine = []\nmine.append(mine)",
        "def f(x): return g(x)\ndef g(x): return f(x)\nmine = f",
        "class mine: ...\nmine.itself = mine",
        "@dataclass\nclass C:\n    other: object = None\nmine = C()\nmine.other = C(mine)",
        "@dataclass(slots=True)\nclass C:\n    a: int = 1\nmine = C()",
    ],
)
def test_what_refers_to_itself_has_a_key(source):
    assert key_of_cell(source) == key_of_cell(source)


def test_a_folder_of_ones_own_without_init_is_followed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mypackage").mkdir()
    file, keys = tmp_path / "mypackage" / "losses.py", []
    for number, source in enumerate(["def g(x): return x", "def g(x): return 2 * x"]):
        file.write_text(source)
        os.utime(file, (number, number))
        importlib.invalidate_caches()
        name = "mypackage.losses"
        module = importlib.reload(sys.modules[name]) if number else importlib.import_module(name)
        keys.append(fingerprint(module.g))
    assert keys[0] != keys[1]


@pytest.mark.parametrize("value", [object(), iter([]), (x for x in ())])
def test_what_has_no_stable_meaning_is_refused(value):
    with pytest.raises(TypeError, match=r"cannot be part of a cached run"):
        fingerprint(value)


def test_fingerprints_tell_kinds_of_numbers_and_containers_apart():
    values = [None, True, 1, 1.0, "1", [1], (1, 2), {"a": 1}, {"b": 1}, 0.1, 0.1 + 2e-17]
    values += [torch.ones(1), torch.ones(1, 1), torch.ones(1, dtype=torch.int32)]
    assert len({fingerprint(value) for value in values}) == len(values)
    assert fingerprint(float("nan")) == fingerprint(float("nan"))
