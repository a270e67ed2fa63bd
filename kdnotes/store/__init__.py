"""Finished runs and teacher outputs on disk, keyed by everything that they depend on.

A key is a hash of the arguments (settings, seed, data, teacher weights), of the source of the code that matters
(without comments and docstrings) and of the torch version. Entries are safetensors files written under a temporary name
and renamed, one writer a key (file locks); an entry that cannot be read is reported and computed again. No lock is
needed to read. Where nothing can be written (the folder of another user, a read-only disk) results are computed and not
stored, which is said once.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import dis
import errno
import functools
import hashlib
import inspect
import json
import os
import tempfile
import textwrap
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from kdnotes import data as data_module
from kdnotes import losses, metrics, models, training
from kdnotes.data import Splits, cache_folder
from kdnotes.methods import Method
from kdnotes.training import Config, Run

__all__ = [
    "NotStoredWarning", "cached_run", "cached_tensor", "check_store", "fingerprint", "is_stored", "read", "run_key",
    "write",
]  # fmt: skip

_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)  # what writing to a store of another user, or read-only, gives
_REMEDY = "set the variable KDNOTES_CACHE to a folder that you can write to"


class NotStoredWarning(UserWarning):
    """Results are computed but not stored."""


def check_store() -> None:
    """Say at the start, not after the first training, where results cannot be stored.

    Raises:
        OSError: there is no cache folder, and it cannot be made. (One that is there but cannot be written to is a
            warning: what is stored in it can be read.)
    """
    for kind in ("runs", "banks"):
        try:
            _make(cache_folder() / kind)
            with tempfile.TemporaryFile(dir=cache_folder() / kind):
                pass
        except OSError as error:
            if _errno(error) not in _NOT_OURS or not os.path.isdir(cache_folder()):
                raise
            _say_not_stored(error)


def run_key(factory: Callable[[], nn.Module], method: Method, data: Splits, config: Config) -> str:
    """The key under which ``cached_run`` stores this run."""
    return fingerprint([_package_key(), factory, method, data, config])


def cached_run(
    factory: Callable[[], nn.Module],
    method: Method,
    data: Splits,
    config: Config,
    *,
    fresh: bool = False,
    key: str | None = None,
) -> Run:
    """``training.fit`` of a newly built student, or its stored result (then ``run.cached`` is true).

    Args:
        factory: builds the student, such as ``functools.partial(StudentNet, in_channels=1)``; called with the generator
            seeded by ``config.seed``.
        fresh: compute even if a result is stored, and replace it.
        key: ``run_key`` of these arguments, where it is known: a worker process cannot compute it for code that was
            written in a notebook, whose source it does not have.
    """
    path = _path("runs", key or run_key(factory, method, data, config))
    if not fresh and (stored := _whole(_read_run, path)):
        return stored
    with _locked(path) as keep:
        if os.path.exists(path) and not fresh and (stored := _guarded(_read_run, path)):
            return stored
        run = training.fit(training.build(factory, config.seed), method, data, config)
        keep(lambda: _write_run(path, run))
        # A file does not keep the order of its tensors, and what is keyed by a state must not depend on it.
        return dataclasses.replace(run, state=_sorted(run.state), kept=_sorted(run.kept))


def is_stored(key: str) -> bool:
    """Whether there is a run under this key, whole or damaged."""
    return os.path.exists(_path("runs", key))


def cached_tensor(parts: list[Any], compute: Callable[[], Tensor]) -> Tensor:
    """The tensor that ``compute`` returns, or the stored one, keyed by the fingerprints of ``parts``."""
    path = _path("banks", fingerprint([_package_key(), *parts]))
    if stored := _whole(read, path):
        return stored[0]["tensor"]
    with _locked(path) as keep:
        if os.path.exists(path) and (stored := _guarded(read, path)):
            return stored[0]["tensor"]
        tensor = compute().contiguous()
        keep(lambda: write(path, {"tensor": tensor}, {}))
        return tensor


def write(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write tensors and a JSON record as one safetensors file, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record)
    # One entry: safetensors writes several in an order that differs from call to call.
    metadata = {"kdnotes": json.dumps([_checksum(tensors, text), text])}
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(save(tensors, metadata=metadata))
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        Path(name).unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and record of a file that ``write`` made.

    Raises:
        ValueError: the file is missing, cut short, altered, or not one of ours.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        checksum, text = json.loads(metadata["kdnotes"])
        record = json.loads(text)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is missing or damaged ({error})") from error
    if checksum != _checksum(tensors, text):
        raise ValueError(f"{path} is damaged (its checksum differs)")
    return tensors, record


def fingerprint(value: Any) -> str:
    """A hash of what ``value`` means: settings by value, data and teachers by their content, code by its source.

    Raises:
        TypeError: the value has no stable meaning (an open file, say).
    """
    return hashlib.sha256(json.dumps(_describe(value), sort_keys=True).encode()).hexdigest()


def _describe(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return [_describe(item) for item in value]
    if isinstance(value, dict):
        return {"dict": [[_describe(key), _describe(item)] for key, item in value.items()]}
    if isinstance(value, Tensor):
        return {"tensor": _checksum({"": value})}
    if isinstance(value, functools.partial):
        return {"partial": [_describe(value.func), _describe(value.args), _describe(value.keywords)]}
    if isinstance(value, types.MethodType):
        return {"method": [_describe_code(value.__func__), _describe(value.__self__)]}
    if isinstance(value, (type, types.FunctionType)):
        return _describe_code(value)
    if isinstance(key := getattr(value, "key", None), str):
        return {"key": key}
    if isinstance(value, Method):  # a subclass of a dataclass may have attributes that are not fields
        return {"class": _describe_code(type(value)), "settings": _describe(vars(value))}
    if dataclasses.is_dataclass(value):
        settings = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"class": _describe_code(type(value)), "settings": _describe(settings)}
    raise TypeError(
        f"a {type(value).__name__} cannot be part of a cached run: use numbers, strings, tensors, dataclasses, "
        "functions or functools.partial"
    )


def _describe_code(value: Any) -> Any:
    """Name and source of a class (with its bases) or function, and what notebook code takes from outside itself."""
    if isinstance(value, type):
        parts = [base for base in value.__mro__ if base.__module__ not in ("builtins", "typing", "abc")]
        parts = [base for base in parts if not base.__module__.startswith("torch")]
    else:
        parts = [value]
    described = [[f"{part.__module__}.{part.__qualname__}", _source_key(part)] for part in parts]
    outside = {}
    for part in parts:
        outside |= _taken_from_outside(part, parts)
    return {"code": described, "outside": _describe(outside)}


def _taken_from_outside(part: Any, own: list[Any]) -> dict[str, Any]:
    """Closure variables; of code in ``__main__`` (a notebook) also default arguments and the globals that it loads."""
    taken: dict[str, Any] = {}
    for function in _functions(part):
        if function.__module__.startswith("kdnotes."):
            continue
        taken |= {f"closure {name}": item for name, item in inspect.getclosurevars(function).nonlocals.items()}
        if function.__module__ == "__main__":
            taken[f"defaults of {function.__qualname__}"] = [function.__defaults__, function.__kwdefaults__]
            names = _globals_loaded(function.__code__) & function.__globals__.keys()
            taken |= {name: function.__globals__[name] for name in sorted(names)}
    return {
        f"{part.__qualname__}: {name}": item
        for name, item in taken.items()
        if not _has_own_source(item) and not any(item is one for one in own)
    }


def _functions(part: Any) -> list[types.FunctionType]:
    """The function itself, or the functions that were written in the class (not those that ``dataclass`` adds)."""
    if isinstance(part, types.FunctionType):
        return [part]
    inside = (getattr(item, "fget", getattr(item, "__func__", item)) for item in _attributes(part).values())
    return [
        item
        for item in inside
        if isinstance(item, types.FunctionType)
        and item.__globals__.get("__name__") == part.__module__
        and item.__code__.co_filename != "<string>"
    ]


def _attributes(part: type) -> dict[str, Any]:
    """A copy: while one thread of joblib computes a key, another pickles, which adds ``__slotnames__`` to a class."""
    return vars(part).copy()


def _globals_loaded(code: types.CodeType) -> set[str]:
    """Names that a function, or a function inside it, looks up as globals."""
    names = {item.argval for item in dis.get_instructions(code) if item.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(_globals_loaded(item) for item in code.co_consts if isinstance(item, types.CodeType)))


def _has_own_source(item: Any) -> bool:
    """Modules, and functions and classes of modules: not the notebook's own, whose content may change."""
    if isinstance(item, types.ModuleType):
        return True
    return isinstance(item, (type, types.FunctionType, types.BuiltinFunctionType)) and item.__module__ != "__main__"


def _source_key(part: Any) -> str:
    try:
        try:
            version = _version(part)
            source = _source_of_file(part, version) if version else inspect.getsource(part)
        except (OSError, TypeError):  # a class of a notebook: Python finds the source of its functions alone
            if not isinstance(part, type):
                raise
            sources = [textwrap.dedent(inspect.getsource(function)) for function in _functions(part)]
            simple = {
                name: item
                for name, item in _attributes(part).items()
                if isinstance(item, (bool, int, float, str)) and not name.startswith("__")
            }
            return fingerprint([[_code_key(source) for source in sources], simple])
    except (OSError, TypeError) as error:
        raise TypeError(f"the source of {part.__qualname__} is not available, so its runs cannot be cached") from error
    return _code_key(textwrap.dedent(source))


@functools.lru_cache(maxsize=256)
def _source_of_file(part: Any, version: tuple[int, int]) -> str:
    """Kept for each version of the file: ``inspect`` parses all of it for every class."""
    return inspect.getsource(part)


def _version(part: Any) -> tuple[int, int] | None:
    """Time of change and size of the file with this code; ``None`` for code of a notebook, which has no file."""
    try:
        found = os.stat(inspect.getfile(part))
    except (OSError, TypeError):
        return None
    return found.st_mtime_ns, found.st_size


@functools.lru_cache(maxsize=256)
def _code_key(source: str) -> str:
    """Hash of the code without comments, layout and docstrings."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a lambda cut out of the middle of a call
        return hashlib.sha256(source.encode()).hexdigest()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            body[0] = ast.Pass() if isinstance(getattr(body[0].value, "value", None), str) else body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@functools.lru_cache(maxsize=1)
def _package_key() -> list[str]:
    """The code that every run goes through, and the torch version."""
    modules = (losses, models, data_module, training, metrics)
    return [_code_key(Path(module.__file__).read_text(encoding="utf-8")) for module in modules] + [torch.__version__]


def _path(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}.safetensors"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Be the one writer of an entry. Gives what calls a function that writes it, unless nothing can be written."""
    lock = FileLock(path.with_suffix(".lock"), mode=0o666)  # less the umask: who shares the folder shares the locks
    try:
        _make(path.parent)
        lock.acquire()
    except OSError as error:
        if _errno(error) not in _NOT_OURS or not os.path.isdir(cache_folder()):
            raise
        _say_not_stored(error)
    try:
        yield _written if lock.is_locked else lambda writing: None
    finally:
        lock.release()


def _written(writing: Callable[[], None]) -> None:
    try:
        writing()
    except OSError as error:
        if _errno(error) not in _NOT_OURS:
            raise
        _say_not_stored(error)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot create the cache folder {folder}: {error.strerror or error}; {_REMEDY}") from error


def _errno(error: OSError) -> int | None:
    """Of the error itself, or of the one that it tells of."""
    return getattr(error.__cause__, "errno", None) if error.errno is None else error.errno


def _say_not_stored(error: OSError) -> None:
    folder = str(cache_folder())
    if folder not in _said:
        _said.add(folder)
        why = getattr(error.__cause__ or error, "strerror", None) or error
        warnings.warn(
            f"results are computed but not stored: the cache folder {folder} cannot be written to ({why}); {_REMEDY}",
            NotStoredWarning,
            stacklevel=2,
        )


_said: set[str] = set()  # folders of which it was said, in this process


def _whole(reader: Callable[[Path], Any], path: Path) -> Any:
    """What is stored, if it is whole: files are renamed into place, so that there is no half of one to read."""
    try:
        return reader(path) if os.path.exists(path) else None
    except ValueError:
        return None  # whoever holds the lock looks again, and says so


def _guarded(reader: Callable[[Path], Any], path: Path) -> Any:
    try:
        return reader(path)
    except ValueError as error:
        warnings.warn(f"{error}: computed again", stacklevel=3)
        return None


def _write_run(path: Path, run: Run) -> None:
    tensors = {"logits.validation": run.validation_logits, "logits.test": run.test_logits}
    tensors |= {f"state.{name}": tensor for name, tensor in run.state.items()}
    tensors |= {f"kept.{name}": tensor for name, tensor in run.kept.items()}
    record = {name: getattr(run, name) for name in ("metrics", "seconds", "start", "order", "created")}
    record["history"] = run.history.to_dict(orient="list")  # JSON of Python's floats is exact; pandas' is not
    write(path, {name: tensor.contiguous() for name, tensor in tensors.items()}, record)


def _read_run(path: Path) -> Run:
    tensors, record = read(path)
    history = pd.DataFrame(record.pop("history"))
    state, kept = (
        _sorted({name.removeprefix(prefix): item for name, item in tensors.items() if name.startswith(prefix)})
        for prefix in ("state.", "kept.")
    )
    return Run(
        history=history,
        validation_logits=tensors["logits.validation"],
        test_logits=tensors["logits.test"],
        state=state,
        kept=kept,
        cached=True,
        **record,
    )


def _sorted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(sorted(tensors.items()))


def _checksum(tensors: dict[str, Tensor], record: str = "") -> str:
    digest = hashlib.sha256(record.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
