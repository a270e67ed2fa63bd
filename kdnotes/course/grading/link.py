"""Our end of a submission's process, and a learner's function there as a function here."""

from __future__ import annotations

import inspect
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from joblib.externals import cloudpickle
from torch import Tensor, nn

import kdnotes
from kdnotes.course.grading import fence, student, wire

__all__ = ["Ended", "Limits", "Process", "RemoteError", "RemoteFunction", "plain"]

START = 300  # seconds until it has imported torch, on a machine that is busy with others
LONGEST_MESSAGE = 300  # characters
KINDS = {
    name: getattr(inspect.Parameter, name)
    for name in (
        "POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD", "VAR_POSITIONAL", "KEYWORD_ONLY", "VAR_KEYWORD"
    )
}  # fmt: skip


class Limits(NamedTuple):
    """What a submission may take.

    Attributes:
        seconds: for each of its exercises, on the clock.
        memory: MB beyond what torch itself takes.
    """

    seconds: float
    memory: float


class Ended(BaseException):
    """The process is gone. No ``Exception``: what judges a function takes these for its own.

    Attributes:
        word: "timeout" or "killed".
    """

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word


class RemoteError(Exception):
    """What a learner's code raised, as a class of the same name."""


class Process:
    """A submission's process, in a folder of its own that is removed with it.

    Args:
        cells: see ``student.Session``.
        private: folders that it is not to read.
    """

    def __init__(
        self, cells: list[tuple[bool, str]], limits: Limits, private: list[Path], count: int
    ) -> None:
        self.limits, self.deadline = limits, time.monotonic() + START
        self.folder = tempfile.TemporaryDirectory(prefix="kdnotes-", ignore_cleanup_errors=True)
        home = Path(self.folder.name).resolve()
        self.cache = home / "cache"
        self.process = subprocess.Popen(
            [*fence.command(), sys.executable, "-m", student.__name__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=home, env=_environment(home), start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )  # fmt: skip
        self.replies: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self._write(
            {
                "folder": str(home),
                "memory": int(limits.memory * 2**20),
                "seconds": int(START + limits.seconds * count + 1),
                "private": [str(one) for one in private],
                "cells": cells,
            }
        )
        self._reply()

    def begin(self, seconds: float | None = None) -> None:
        """The time for an exercise begins."""
        self.deadline = time.monotonic() + (seconds or self.limits.seconds)

    def ask(self, name: str, *arguments: Any, attach: Any = None) -> Any:
        """The answer to a request.

        Raises:
            RemoteError: the submission's code raised an exception.
            Ended: there is no answer.
        """
        self._write((name, *arguments))
        return self._reply(attach)

    def _write(self, request: Any) -> None:
        message = cloudpickle.dumps(request)
        try:
            self.process.stdin.write(student.SIZE.pack(len(message)) + message)
            self.process.stdin.flush()
        except OSError:
            raise self._gone() from None

    def _read(self) -> None:
        while (message := student.received(self.process.stdout, wire.LARGEST)) is not None:
            self.replies.put(message)
        self.replies.put(None)

    def _reply(self, attach: Any = None) -> Any:
        try:
            message = self.replies.get(timeout=max(self.deadline - time.monotonic(), 0.0))
        except queue.Empty:
            self.stop()
            raise Ended("timeout", f"stopped after {self.limits.seconds:g} s") from None
        if message is None:
            raise self._gone()
        try:
            word, *rest = wire.unpack(message, attach)
            if word == "error":
                name, text = rest
                raise _error(name, text)
            (value,) = rest
        except (ValueError, TypeError) as error:
            self.stop()
            raise Ended("killed", str(error)) from error
        return value

    def _gone(self) -> Ended:
        self.stop()
        code = self.process.returncode
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        return Ended("killed", f"its process ended {how} (out of memory, or by its own doing)")

    def stop(self) -> None:
        """End the process and all that it started, and remove its folder."""
        try:
            if os.name == "posix":
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        except (ProcessLookupError, PermissionError):
            pass  # it has ended
        self.process.wait()
        self.folder.cleanup()


def _environment(home: Path) -> dict[str, str]:
    """The variables of a submission's process: none of the caller's that is not needed."""
    kept = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL")
    package = Path(kdnotes.__file__).resolve().parents[1]
    paths = [str(package), *(str(Path(one).resolve()) for one in sys.path if one)]
    of_home = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "IPYTHONDIR", "MPLCONFIGDIR")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **dict.fromkeys(of_home, str(home)),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "KDNOTES_CACHE": str(home / "cache"),
        "KDNOTES_PROFILE": "smoke",
        "KDNOTES_WORKERS": "1",
    }


def plain(text: Any) -> str:
    """A text from a submission as one line without control characters, not too long."""
    line = next(iter(str(text).splitlines()), "")
    return "".join(one if one.isprintable() else "�" for one in line)[:LONGEST_MESSAGE]


def _error(name: Any, text: Any) -> RemoteError | NotImplementedError:
    if name == "NotImplementedError":
        return NotImplementedError(plain(text))
    known = isinstance(name, str) and name.isidentifier() and len(name) <= 60
    return type(name if known else "Exception", (RemoteError,), {})(plain(text))


class RemoteFunction:
    """A learner's function: called here, it runs there, gradients included."""

    def __init__(self, process: Process, parameters: Any) -> None:
        self.process = process
        if signature := _signature(parameters):
            self.__signature__ = signature

    def __call__(self, *case: Any) -> Any:
        leaves = list(_leaves(case))

        def attach(tensor: Tensor, number: int) -> Tensor:
            return _Output.apply(self, number, tensor, *leaves) if leaves else tensor

        reply = self.process.ask("call", case, attach=attach)
        networks = [one for one in case if isinstance(one, nn.Module)]
        try:
            value, states = reply
            for network, (state, with_gradient) in zip(networks, states, strict=True):
                _restore(network, state, set(with_gradient))
        except (ValueError, TypeError, RuntimeError) as error:
            self.process.stop()
            raise Ended("killed", "its process answers nonsense") from error
        return value

    def gradient(self, number: int, weights: Tensor, leaves: list[Tensor]) -> list[Tensor | None]:
        found = self.process.ask("gradient", number, weights)
        if not isinstance(found, list) or not _fit(found, leaves):
            self.process.stop()
            raise Ended("killed", "its process answers nonsense")
        return found


def _fit(gradients: list[Any], leaves: list[Tensor]) -> bool:
    return len(gradients) == len(leaves) and all(
        one is None or (isinstance(one, Tensor) and one.shape == leaf.shape)
        for one, leaf in zip(gradients, leaves, strict=True)
    )


class _Output(torch.autograd.Function):
    """A tensor that the function gave, whose gradients are asked for where it came from."""

    @staticmethod
    def forward(ctx: Any, function: RemoteFunction, number: int, tensor: Tensor, *leaves: Tensor):
        ctx.function, ctx.number, ctx.leaves = function, number, leaves
        return tensor.clone()

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> tuple[Any, ...]:
        return (None, None, None, *ctx.function.gradient(ctx.number, weights, list(ctx.leaves)))


def _leaves(case: Any) -> Iterator[Tensor]:
    for one in case:
        if isinstance(one, (tuple, list)):
            yield from _leaves(one)
        elif isinstance(one, Tensor) and one.requires_grad:
            yield one


def _restore(network: nn.Module, state: dict[str, Tensor], with_gradient: set[str]) -> None:
    """Bring a network here into the state that the function left it in there."""
    network.load_state_dict(state)
    for name, one in network.named_parameters():
        one.grad = torch.zeros_like(one) if name in with_gradient else None


def _signature(parameters: Any) -> inspect.Signature | None:
    try:
        made = [inspect.Parameter(name, KINDS[kind]) for name, kind in parameters]
        long = any(len(one.name) > 60 for one in made)
        return inspect.Signature(made) if made and not long else None
    except (ValueError, TypeError, KeyError):
        return None
