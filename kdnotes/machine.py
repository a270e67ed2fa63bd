"""What of the machine a training depends on: threads, random generators, devices."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import threading
from collections.abc import Iterator
from pathlib import Path

import torch

_training = threading.RLock()  # held by the one thread of this process that trains


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Refuse to train, or to build a network, while another thread of this process does.

    One thread may do so nested. Threads share torch's generators: what one draws shifts what the
    other gets, and neither's result could be repeated. To wait would be no better: the other may
    wait for a file that this one has locked.

    Raises:
        RuntimeError: another thread is at it.
    """
    if not _training.acquire(blocking=False):
        raise RuntimeError(
            "one training at a time in a process: another thread of this one is training, and "
            "threads share torch's random numbers. Train in processes (joblib's default backend, "
            "loky), or one after the other (workers=1)"
        )
    try:
        yield
    finally:
        _training.release()


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """One thread inside, the caller's number after: no result depends on the number of cores.

    Torch keeps this number for each thread of Python, so that two of them do not disturb each other
    here.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def isolated(device: torch.device | None = None) -> Iterator[None]:
    """Leave the caller's generators as they were: the CPU's, CUDA's if in use, the device's."""
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


def stream(seed: int, purpose: str) -> int:
    """The seed of the random numbers for one purpose: no purpose shifts another's draws."""
    return int.from_bytes(hashlib.sha256(f"{purpose} {seed}".encode()).digest()[:7], "big")


def seed_generators(device: torch.device, seed: int, purpose: str) -> None:
    """Seed the generators of the CPU and of the device for one purpose.

    The CPU's is seeded directly: ``torch.manual_seed`` also queues a call for a GPU that is not
    there. Of several devices of a kind all are seeded: ``manual_seed`` alone would seed the current
    one, not "cuda:1".
    """
    value = stream(seed, purpose)
    torch.default_generator.manual_seed(value)
    if device.type != "cpu":
        module = getattr(torch, device.type)  # torch.cuda, torch.mps, torch.xpu …
        getattr(module, "manual_seed_all", module.manual_seed)(value)


def is_device(name: str, value: str) -> None:
    """The form of a device's name: a ``Config`` for a GPU may be made where there is none."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    try:
        torch.device(value)
    except RuntimeError:
        known = "'cpu', 'cuda', 'mps' or 'xpu' (or 'cuda:0' …)"
        raise ValueError(f"{name} must be {known}, not {value!r}") from None


def usable_device(device: torch.device | str) -> torch.device:
    """The device, if this machine has it and it can hold numbers, else ``ValueError``."""
    if not _holds_numbers(device):
        kinds = ("cuda", "mps", "xpu")
        have = ["cpu"] + [kind for kind in kinds if kind != str(device) and _holds_numbers(kind)]
        known = " or ".join(map(repr, have))
        raise ValueError(
            f"device must be one that this machine can use, {known}, not {str(device)!r}"
        )
    return torch.device(device)


def _holds_numbers(device: torch.device | str) -> bool:
    try:
        return torch.device(device).type == "cpu" or float(torch.zeros(1, device=device)) == 0
    except Exception:  # each kind of device, and each build of torch without it, has its own error
        return False


def cpuinfo(field: str) -> str:
    """What Linux tells of the first processor, such as "model name" or "flags"; "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def processor() -> str:
    """The processor's kind, such as its model name, or at least its architecture; no host name."""
    return cpuinfo("model name") or platform.processor() or platform.machine()
