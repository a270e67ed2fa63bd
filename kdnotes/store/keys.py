"""What names a run: its settings and data, with the code, torch and Python that it depends on."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import kdnotes
from kdnotes.data import Splits
from kdnotes.methods import Method
from kdnotes.store.fingerprint import fingerprint
from kdnotes.training import Config, loop


def product_precision() -> str:
    """Torch's precision of float32 products."""
    with warnings.catch_warnings():  # torch 2.9 advises against the function, and has no other
        warnings.simplefilter("ignore")
        return torch.get_float32_matmul_precision()


def run_key(factory: Callable[[], nn.Module], method: Method, data: Splits, config: Config) -> str:
    """The key under which ``cached_run`` stores this run."""
    return fingerprint([_code(), factory, method, data, config])


def code_key() -> str:
    """What all keys of runs have in common: with another one, no run of a store can be found."""
    return fingerprint(_code())


def versions() -> dict[str, str]:
    """What the keys of runs depend on, as far as it has a name."""
    return {
        "kdnotes": kdnotes.__version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "torch": torch.__version__,
        "torch's default dtype": str(torch.get_default_dtype()),
        "torch's precision of float32 products": product_precision(),
    }


def _code() -> list[Any]:
    code = [loop.fit, loop.build, torch.__version__]
    return [*code, torch.get_default_dtype(), product_precision()]
