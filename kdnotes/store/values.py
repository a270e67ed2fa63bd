"""The meaning of values that are made of no others: numbers, words, arrays, library code."""

from __future__ import annotations

import enum
import hashlib
import pathlib
import types
from typing import Any

import numpy as np
import torch

_SHOWN = (bytes, complex, range, slice, torch.dtype, torch.device, torch.layout, np.dtype)
_C_METHODS = (
    types.MethodDescriptorType, types.WrapperDescriptorType, types.MemberDescriptorType,
    types.GetSetDescriptorType, np.ufunc,
)  # fmt: skip


def describe_value(value: Any) -> Any:
    """What stands for a value in a fingerprint, or ``None`` for one that is made of others."""
    if value is None:
        return {"none": 0}
    if type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value.hex()
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, enum.Enum):
        return {kind: [value.name, repr(value.value)]}
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.ascontiguousarray(value)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        return None if array.dtype.hasobject else {kind: [str(array.dtype), array.shape, digest]}
    if isinstance(value, (int, str)):
        return {kind: str(value)}
    if isinstance(value, float):
        return {kind: value.hex()}
    if isinstance(value, (*_SHOWN, pathlib.PurePath)) or type(value).__module__ == "typing":
        return {kind: repr(value)}
    if isinstance(value, _C_METHODS):
        return {kind: getattr(value, "__qualname__", value.__name__)}
    if isinstance(value, types.BuiltinFunctionType):
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            return {kind: f"{value.__module__}.{value.__qualname__}"}
    return None
