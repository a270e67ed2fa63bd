"""The run cache: hits and misses, what enters a key, damage, concurrency, and a full disk."""

from __future__ import annotations

import dataclasses
import errno
import functools
import importlib
import json
import linecache
import multiprocessing
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from helpers import (
    CONFIG,
    METHODS,
    STUDENT,
    Scaled,
    equal_states,
    own_cache,  # noqa: F401
    student_of,
    tiny_data,
    tiny_teacher,
)

from kdnotes import cache, training
from kdnotes.cache import cached_run, cached_tensor, fingerprint, run_key
from kdnotes.data import Views
from kdnotes.methods import KD, CrossEntropy, GatedKD, LabelSmoothing

pytestmark = pytest.mark.usefixtures("own_cache")
QUICK = dataclasses.replace(CONFIG, epochs=1)


def run(method=None, config=QUICK, **options):
    return cached_run(STUDENT, method or CrossEntropy(), tiny_data(), config, **options)


def entries(folder):
    return sorted(folder.rglob("*.safetensors"))


# Hit and miss


def test_a_second_call_is_read_not_computed_and_equal_in_every_bit(own_cache, monkeypatch):  # noqa: F811
    first = run(KD(tiny_teacher(), 2.0, 0.5), dataclasses.replace(QUICK, epochs=3, validate_every=2))
    monkeypatch.setattr(training, "fit", lambda *_: pytest.fail("computed again"))
    second = run(KD(tiny_teacher(), 2.0, 0.5), dataclasses.replace(QUICK, epochs=3, validate_every=2))
    assert (first.cached, second.cached) == (False, True)
    assert equal_states(first.state, second.state) and first.history.equals(second.history)
    for name in ("metrics", "seconds", "start", "order", "created"):
        assert getattr(first, name) == getattr(second, name)
    assert torch.equal(first.test_logits, second.test_logits)
    assert torch.equal(first.validation_logits, second.validation_logits)


@pytest.mark.parametrize("name", ["UncertaintyKD", "AnnealedKD", "CurriculumKD", "GatedKD", "BeYourOwnTeacher"])
def test_what_a_method_kept_and_observed_comes_back_in_every_bit(monkeypatch, name):
    method = METHODS[name]([tiny_teacher(seed) for seed in range(3)])
    config = dataclasses.replace(CONFIG, batch_size=59)  # one image is left out: its weight is NaN
    call = functools.partial(cached_run, student_of(method), method, tiny_data(), config)
    first = call()
    monkeypatch.setattr(training, "fit", lambda *_: pytest.fail("computed again"))
    second = call()
    assert second.cached and first.history.equals(second.history) and equal_states(first.state, second.state)
    assert list(first.history.columns) == list(second.history.columns)
    observed = {"AnnealedKD": {"temperature", "alpha"}, "CurriculumKD": {"temperature"}}.get(name, set())
    assert observed <= set(second.history.columns)
    assert first.kept.keys() == second.kept.keys() and bool(first.kept) == (name in ("UncertaintyKD", "GatedKD"))
    for key, tensor in first.kept.items():
        assert tensor.dtype == second.kept[key].dtype and tensor.shape == second.kept[key].shape
        assert tensor.numpy().tobytes() == second.kept[key].numpy().tobytes()
    if name == "UncertaintyKD":
        assert second.kept["weights"].isnan().any()


def test_fresh_computes_again_and_replaces(own_cache):  # noqa: F811
    run()
    path = entries(own_cache)[0]
    before = path.stat().st_mtime_ns
    assert not run(fresh=True).cached and path.stat().st_mtime_ns > before
    assert entries(own_cache) == [path] and run().cached


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
    calls |= {f"every {name}": (STUDENT, make(several), data, QUICK) for name, make in METHODS.items()}
    calls |= {
        f"gated {order}": (STUDENT, GatedKD(tuple(several[i] for i in order)), data, QUICK)
        for order in ((0, 1), (1, 0), (0,))
    }
    del calls["every CrossEntropy"], calls["every KD"]  # as above
    keys = {name: run_key(*call) for name, call in calls.items()}
    monkeypatch.setattr(cache, "_package_key", lambda: ["other code, or another torch"])
    keys["package"] = run_key(*calls["base"])
    assert len(set(keys.values())) == len(keys), keys
    monkeypatch.undo()
    assert run_key(STUDENT, kd(teacher=tiny_teacher()), tiny_data(), dataclasses.replace(QUICK)) == keys["base"]


def test_the_key_of_data_is_its_content_not_its_recipe():
    data = tiny_data()
    assert run_key(STUDENT, CrossEntropy(), dataclasses.replace(data, name="renamed"), QUICK) == run_key(
        STUDENT, CrossEntropy(), data, QUICK
    )


def test_package_key_covers_the_code_that_runs_go_through_and_torch():
    key = cache._package_key()
    assert key[-1] == torch.__version__ and len(key) == 6


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


CODE = '''
def weight(batch):
    """The weight of a batch."""
    return 2 * batch  # twice
'''


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (CODE.replace("  # twice", ""), True),
        (CODE.replace("The weight of a batch.", "What it weighs."), True),
        (CODE.replace("    return 2 * batch", "\n    # a comment\n    return (2 *\n        batch)"), True),
        (CODE.replace("2 *", "3 *"), False),
        (CODE.replace("(batch)", "(batch, more=1)"), False),
    ],
)
def test_comments_layout_and_docstrings_do_not_change_the_key_but_code_does(changed, same):
    assert (cache._code_key(changed) == cache._code_key(CODE)) is same


def test_the_source_of_a_file_is_read_once_for_each_version_of_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "edited.py"
    reads, original = [], cache.inspect.getsource
    monkeypatch.setattr(cache.inspect, "getsource", lambda part: reads.append(part) or original(part))
    file.write_text("class Edited:\n    number = 1\n")
    module = importlib.import_module("edited")
    first, again = (fingerprint(module.Edited) for _ in range(2))
    assert first == again and len(reads) == 1
    file.write_text("class Edited:\n    number = 1234\n")
    assert fingerprint(importlib.reload(module).Edited) != first and len(reads) == 2


# A notebook in a process of its own: cells are compiled as IPython does it, so that Python finds the source of
# functions but not of classes.
NOTEBOOK = '''
import functools, json, linecache, torch
from kdnotes.cache import fingerprint
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
        return {"hard": sum(helper(SCALE * OTHER[0] * x) for x in super().terms(batch).values()) * TENSOR}
"""
STUDENT = """
def student(width=WIDTH):
    return StudentNet(width=width)
"""
HELPER = "def helper(x):\\n    return x + 1\\n"
# Pickling in another thread adds __slotnames__ to a class while its key is computed; here each look adds a name.
PICKLED = """
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
    "comment": [a == b for a, b in zip(base, after(METHOD.replace("(self, batch):", "(self, batch):  # mine")))],
    "global": [a == b for a, b in zip(base, after("SCALE = 3.0"))],
    "content": [a == b for a, b in zip(base, after("OTHER.append(2)"))],
    "tensor": [a == b for a, b in zip(base, after("TENSOR = torch.zeros(2)"))],
    "helper": [a == b for a, b in zip(base, after(HELPER.replace("+ 1", "+ 2")))],
    "method": [a == b for a, b in zip(base, after(METHOD.replace("* TENSOR", "/ TENSOR")))],
    "unused": [a == b for a, b in zip(base, after("UNUSED = 5"))],
    "default": [a == b for a, b in zip(base, after("WIDTH = 8", STUDENT))],
    "pickled": [a == b for a, b in zip(base, after(PICKLED))],
}))
'''


def test_notebook_code_enters_the_key_with_the_globals_that_it_loads(tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text(NOTEBOOK)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
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


def test_a_class_without_source_cannot_be_keyed_but_runs_under_a_given_key(own_cache):  # noqa: F811
    """As in a worker process, which gets a notebook's class by value, without its source."""
    scope = {"CrossEntropy": CrossEntropy, "__name__": "notebook"}
    source = "class Mine(CrossEntropy):\n    def terms(self, batch):\n        return super().terms(batch)\n"
    exec(compile(source, "ipykernel_9/1.py", "exec"), scope)
    with pytest.raises(TypeError, match="the source of Mine is not available"):
        run(scope["Mine"]())
    linecache.cache["ipykernel_9/1.py"] = (len(source), None, source.splitlines(True), "ipykernel_9/1.py")
    key = run_key(STUDENT, scope["Mine"](), tiny_data(), QUICK)
    linecache.cache.pop("ipykernel_9/1.py")
    assert not run(scope["Mine"](), key=key).cached and run(scope["Mine"](), key=key).cached


@pytest.mark.parametrize("value", [open, object(), iter([]), {1, 2}])
def test_what_has_no_stable_meaning_is_refused(value):
    with pytest.raises(TypeError, match=r"cannot be (part of a cached run|cached)"):
        fingerprint(value)


def test_fingerprints_tell_kinds_of_numbers_and_containers_apart():
    values = [None, True, 1, 1.0, "1", [1], (1, 2), {"a": 1}, {"b": 1}, 0.1, 0.1 + 2e-17]
    values += [torch.ones(1), torch.ones(1, 1), torch.ones(1, dtype=torch.int32)]
    assert len({fingerprint(value) for value in values}) == len(values)
    assert fingerprint(float("nan")) == fingerprint(float("nan"))


# Damage


def damage(path: Path, harm: str) -> None:
    raw = path.read_bytes()
    if harm == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "flipped tensor byte":
        path.write_bytes(raw[:-10] + bytes([raw[-10] ^ 1]) + raw[-9:])
    elif harm == "flipped digit of the record":
        place = raw.index(b"test_accuracy") + len(b'test_accuracy\\": 0.')
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    else:
        path.write_text("not a safetensors file")


@pytest.mark.parametrize("harm", ["cut", "empty", "flipped tensor byte", "flipped digit of the record", "text"])
def test_a_damaged_entry_is_reported_and_computed_again(own_cache, harm):  # noqa: F811
    first = run()
    path = entries(own_cache)[0]
    sound = path.read_bytes()
    damage(path, harm)
    assert path.read_bytes() != sound
    with pytest.warns(UserWarning, match=r"damaged \(.*computed again"):
        again = run()
    assert not again.cached and equal_states(first.state, again.state) and first.metrics == again.metrics
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run().cached


def test_any_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "entry.safetensors"
    tensors, record = {"a": torch.arange(5.0), "b": torch.tensor([True, False])}, {"seconds": 1.25, "created": "2026"}
    cache.write(path, tensors, record)
    loaded, again = cache.read(path)
    assert equal_states(loaded, tensors) and again == record
    raw = path.read_bytes()
    for place in range(len(raw)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ (1 << place % 8)]) + raw[place + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            cache.read(path)


def test_a_damaged_bank_is_computed_again(own_cache):  # noqa: F811
    teacher, data = tiny_teacher(), tiny_data()
    first = teacher.bank(data.train, Views(2))
    damage(entries(own_cache / "banks")[0], "flipped tensor byte")
    with pytest.warns(UserWarning, match="damaged"):
        assert torch.equal(teacher.bank(data.train, Views(2)), first)


# Two processes


def compute_slowly(folder):
    def compute():
        with open(folder / "computed", "a") as file:
            file.write("x")
        time.sleep(0.5)
        return torch.ones(3)

    return cached_tensor(["shared"], compute)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_at_once_compute_once(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=compute_slowly, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "computed").read_text() == "x"
    assert torch.equal(compute_slowly(tmp_path), torch.ones(3)) and (tmp_path / "computed").read_text() == "x"


# A full disk


class FullFile:
    def __init__(self, handle, mode):
        self.file = os.fdopen.__wrapped__(handle, mode)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, raw):
        self.file.write(raw[:100])
        raise OSError(errno.ENOSPC, "No space left on device")


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["create", "write", "rename"])
def test_a_full_disk_is_named_and_leaves_earlier_results_and_no_partial_file(own_cache, monkeypatch, step):  # noqa: F811
    run()
    before = {path: path.read_bytes() for path in entries(own_cache)}
    if step == "write":
        wrapped = functools.wraps(os.fdopen)(lambda handle, mode: FullFile(handle, mode))
        monkeypatch.setattr(cache.os, "fdopen", wrapped)
    else:
        monkeypatch.setattr(*((cache.tempfile, "mkstemp") if step == "create" else (cache.os, "replace")), full)
    for options in ({"fresh": True}, {"config": dataclasses.replace(QUICK, seed=5)}):
        with pytest.raises(OSError, match=r"cannot write .*\.safetensors: No space left on device"):
            run(**options)
    monkeypatch.undo()
    monkeypatch.setenv("KDNOTES_CACHE", str(own_cache))
    assert {path: path.read_bytes() for path in entries(own_cache)} == before
    assert not [path for path in own_cache.rglob("*") if path.suffix == ".tmp"]
    assert run().cached


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "file" / "cache"))
    for call in (run, cache.check_store):
        with pytest.raises(
            OSError, match=r"cannot create the cache folder .*; set the variable KDNOTES_CACHE to a folder"
        ):
            call()


# A store that is not ours to write to


@pytest.fixture(params=["another user's", "read-only disk", "another user's locks alone"])
def not_ours(request, own_cache, monkeypatch):  # noqa: F811
    """A store with one run and one bank, in which nothing can be written from now on."""
    run(KD(tiny_teacher(), 2.0, 0.5))
    number = errno.EROFS if request.param == "read-only disk" else errno.EACCES
    failure = OSError(number, os.strerror(number))

    def refuse(*_, **__):
        raise failure

    monkeypatch.setattr(cache.FileLock, "acquire", refuse)
    if request.param != "another user's locks alone":
        monkeypatch.setattr(cache.tempfile, "mkstemp", refuse)
        monkeypatch.setattr(cache.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(cache, "_said", set())
    return failure.strerror


def test_what_another_user_stored_is_read_without_a_lock(not_ours):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(KD(tiny_teacher(), 2.0, 0.5)).cached
        tiny_teacher().bank(tiny_data().train, QUICK.views)


def test_what_cannot_be_stored_is_computed_and_said_once_with_the_remedy(not_ours, own_cache):  # noqa: F811
    before = entries(own_cache)
    with pytest.warns(cache.NotStoredWarning) as said:
        first, again = run(), run()
        tiny_teacher(1).bank(tiny_data().train, QUICK.views)
        run(fresh=True)
    assert len(said) == 1 and not_ours in str(said[0].message)
    assert str(own_cache) in str(said[0].message) and "set the variable KDNOTES_CACHE to a folder" in str(
        said[0].message
    )
    assert not first.cached and not again.cached and equal_states(first.state, again.state)
    assert entries(own_cache) == before


def test_a_store_that_cannot_be_written_to_is_said_at_the_start(not_ours, request):
    if "locks" in request.node.name:
        pytest.skip("the folder itself can be written to")
    with pytest.warns(cache.NotStoredWarning, match=f"computed but not stored: .*{not_ours}"):
        cache.check_store()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
@pytest.mark.parametrize("folder", ["filled", "cannot be made"])
def test_another_user_reads_computes_and_is_told(folder, own_cache, tmp_path, monkeypatch):  # noqa: F811
    run()
    for path in (*tmp_path.parents, tmp_path, own_cache):
        if path.stat().st_uid == 0 and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    monkeypatch.setattr(cache, "_said", set())
    made = own_cache if folder == "filled" else own_cache / "below"
    code = multiprocessing.get_context("fork").Process(target=_as_nobody, args=(str(made),))
    code.start()
    code.join(60)
    assert code.exitcode == 0


def _as_nobody(folder):
    os.setgid(65534)
    os.setuid(65534)
    os.environ["KDNOTES_CACHE"] = folder
    if folder.endswith("below"):
        with pytest.raises(
            OSError, match=r"cannot create the cache folder .*Permission denied; set the variable KDNOTES_"
        ):
            cache.check_store()
        with pytest.raises(OSError, match="cannot create the cache folder"):
            run()
        os._exit(0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cache.check_store()
        found = [run().cached, run(config=dataclasses.replace(QUICK, seed=1)).cached]
    os._exit(0 if found == [True, False] and len(said) == 1 else 1)


def test_entries_are_safetensors_and_hold_no_pickle(own_cache):  # noqa: F811
    run(Scaled())
    for path in own_cache.rglob("*"):
        assert path.is_dir() or path.suffix in (".safetensors", ".lock")
        assert not path.is_file() or path.read_bytes()[:2] != b"\x80\x04"
