"""What a submission's process says: values as JSON and safetensors, never as pickles."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

__all__ = ["LARGEST", "Opaque", "WireError", "pack", "unpack"]

LARGEST = 32 * 2**20  # bytes of a message
LONGEST = 10_000  # characters of a string, digits apart
OF_ITEM = 64  # bytes that an item of a list counts
DEEPEST = 60  # lists in lists
NUMBERS = "biuf"  # kinds of dtypes
HEADER = struct.Struct(">Q")
ENUMS = ("QuantType", "QuantFormat", "CalibrationMethod")  # of onnxruntime.quantization


class WireError(ValueError):
    """A value that is too large to be sent, or a message that is none."""


class Opaque:
    """Something of a class that is not sent; no right answer holds one."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def pack(value: Any, keep: Callable[[Tensor], int] | None = None) -> bytes:
    """A value as a message. What is of an unknown class is sent as the name of its class.

    Args:
        keep: remembers a tensor that has a gradient, and returns the number that stands for it.

    Raises:
        WireError: the value is too large.
    """
    tensors: dict[str, Tensor] = {}
    room = [LARGEST]

    def put(tensor: Tensor) -> str:
        room[0] -= tensor.numel() * tensor.element_size()
        if room[0] < 0:
            raise WireError(f"the result is larger than {LARGEST // 2**20} MB")
        name = str(len(tensors))
        tensors[name] = tensor.contiguous().clone()
        return name

    def tree(one: Any, depth: int) -> Any:
        room[0] -= OF_ITEM
        if depth > DEEPEST or room[0] < 0:
            raise WireError("the result holds too much, or lists too deep in lists")
        if one is None or one is True or one is False:
            return one
        if one is ...:
            return ["ellipsis"]
        if isinstance(one, Tensor):
            return _of_tensor(one, put, keep)
        if isinstance(one, (np.ndarray, np.generic)):
            return _of_array(one, put)
        if isinstance(one, Enum):
            return ["enum", type(one).__name__, one.name]
        if isinstance(one, str):
            return str.__str__(one)[:LONGEST]
        if isinstance(one, int):
            return int.__add__(one, 0)
        if isinstance(one, float):
            return float.__add__(one, 0.0)
        if isinstance(one, (tuple, list)):
            kind = list if isinstance(one, list) else tuple
            return [kind.__name__, [tree(item, depth + 1) for item in kind.__iter__(one)]]
        if isinstance(one, Mapping):
            return ["dict", [[tree(k, depth + 1), tree(v, depth + 1)] for k, v in one.items()]]
        return ["opaque", type(one).__name__]

    head = json.dumps(tree(value, 0)).encode()
    message = HEADER.pack(len(head)) + head + save(tensors)
    if len(message) > LARGEST:
        raise WireError(f"the result is larger than {LARGEST // 2**20} MB")
    return message


def _of_tensor(one: Tensor, put: Callable, keep: Callable | None) -> list[Any]:
    plain = one.as_subclass(Tensor)
    is_dense = plain.layout is torch.strided and plain.device.type == "cpu"
    if not is_dense or plain.is_complex() or plain.is_quantized:
        return ["opaque", "Tensor"]
    number = keep(plain) if keep and plain.requires_grad else None
    about = {"gradient": plain.requires_grad, "inference": plain.is_inference(), "number": number}
    return ["tensor", put(plain.detach()), about]


def _of_array(one: Any, put: Callable) -> Any:
    if one.dtype.kind not in NUMBERS or one.dtype.itemsize > 8:
        return str(one)[:LONGEST] if isinstance(one, str) else ["opaque", type(one).__name__]
    if isinstance(one, np.generic):
        return ["scalar", one.dtype.name, one.item()]
    native = np.array(one, dtype=one.dtype.newbyteorder("="), subok=False)
    return ["array", put(torch.from_numpy(native)), native.shape == ()]


def unpack(message: bytes, attach: Callable[[Tensor, int], Tensor] | None = None) -> Any:
    """The value of a message, of plain classes only.

    Args:
        attach: gives a tensor the gradient that ``keep`` remembered under this number.

    Raises:
        WireError: it is no message.
    """
    try:
        (size,) = HEADER.unpack(message[: HEADER.size])
        head = message[HEADER.size : HEADER.size + size]
        return _value(json.loads(head), load(message[HEADER.size + size :]), attach)
    except (
        struct.error, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError,
        SafetensorError,
    ) as error:  # fmt: skip
        raise WireError(f"its process answers nonsense ({type(error).__name__})") from error


def _value(tree: Any, tensors: dict[str, Tensor], attach: Callable | None) -> Any:
    if not isinstance(tree, list):
        if isinstance(tree, dict):
            raise ValueError("a JSON object")
        return tree
    kind, *rest = tree
    if kind in ("list", "tuple"):
        items = [_value(one, tensors, attach) for one in rest[0]]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return dict([_value(one, tensors, attach) for one in pair] for pair in rest[0])
    if kind == "tensor":
        return _tensor(tensors[rest[0]], rest[1], attach)
    if kind == "array":
        return tensors[rest[0]].numpy()
    if kind == "scalar":
        return _scalar(*rest)
    if kind == "enum":
        return _enum(*rest)
    return ... if kind == "ellipsis" else _opaque(rest[0])


def _tensor(tensor: Tensor, about: dict[str, Any], attach: Callable | None) -> Tensor:
    if about["inference"]:
        with torch.inference_mode():
            return tensor.clone()
    if about["gradient"] and attach and about["number"] is not None:
        return attach(tensor, about["number"])
    return tensor.requires_grad_() if about["gradient"] else tensor


def _scalar(name: str, value: Any) -> Any:
    dtype = np.dtype(name)
    if dtype.kind not in NUMBERS:
        raise ValueError(f"a scalar of {name}")
    return dtype.type(value)


def _enum(kind: str, name: str) -> Any:
    if kind not in ENUMS:
        return _opaque(kind)
    from onnxruntime import quantization

    return getattr(quantization, kind)[name]


def _opaque(name: str) -> Opaque:
    return type(name if name.isidentifier() else "object", (Opaque,), {})()
