"""Values as data: what arrives is what was sent, and nonsense is refused."""

from __future__ import annotations

import enum
import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save

from kdnotes.course.grading import wire


def there_and_back(value):
    return wire.unpack(wire.pack(value))


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -0.5, float("inf"), "é", ..., (1, [2.0, ("x",)]), {"a": 1, 2: [None]}, [], ()],
)
def test_plain_values(value):
    assert there_and_back(value) == value and type(there_and_back(value)) is type(value)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool]
)
def test_tensors(dtype):
    value = torch.arange(6).reshape(2, 3).T.to(dtype)
    found = there_and_back([value, value[0]])
    assert (
        torch.equal(found[0], value) and found[0].dtype == dtype and torch.equal(found[1], value[0])
    )


def test_arrays_and_their_numbers():
    array = np.arange(4.0)[::2]
    found = there_and_back((array, np.float32(0.5), np.int32(3), np.array(2.0)))
    assert isinstance(found[0], np.ndarray) and found[0].tolist() == [0.0, 2.0]
    assert [type(one) for one in found[1:3]] == [np.float32, np.int32] and found[3].shape == ()


def test_how_a_tensor_may_be_used():
    with torch.inference_mode():
        fixed = torch.ones(2)
    found = there_and_back([fixed, torch.ones(2, requires_grad=True), torch.ones(2)])
    assert [one.is_inference() for one in found] == [True, False, False]
    assert [one.requires_grad for one in found] == [False, True, False]


class Number(float):
    def __eq__(self, other):
        return True

    __hash__ = None


class Sort(enum.Enum):
    A = 1


def test_what_has_a_class_of_its_own_arrives_as_plain_data():
    assert type(there_and_back(Number(2.0))) is float and there_and_back(Number(2.0)) == 2.0
    assert repr(there_and_back(i for i in ())) == "<generator>"
    assert isinstance(there_and_back(Sort.A), wire.Opaque)
    assert isinstance(there_and_back(torch.ones(1, dtype=torch.complex64)), wire.Opaque)


def cyclic():
    value: list = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [torch.zeros(1).expand(10**12), cyclic(), [0] * 10**7, np.zeros(10**8, dtype=np.int8)],
    ids=["tensor", "cyclic", "list", "array"],
)
def test_too_much_is_not_sent(value):
    with pytest.raises(wire.WireError, match=r"too much|larger than 32 MB"):
        wire.pack(value)


def message(tree) -> bytes:
    head = json.dumps(tree).encode()
    return wire.HEADER.pack(len(head)) + head + save({})


@pytest.mark.parametrize(
    "data",
    [
        b"", b"x" * 100, pickle.dumps(1), message({"a": 1}), message(["tensor", "0", {}]),
        message(["scalar", "O", 1]), message(["enum", "QuantType", "__class__"]),
        message(["dict", [[["list", []], 1]]]), message([]), message(["list"]),
        message(["opaque", 1]), wire.HEADER.pack(10**15) + b"[",
        wire.HEADER.pack(2 * 10**5) + b"[" * 10**5 + b"]" * 10**5 + save({}),
    ],
)  # fmt: skip
def test_nonsense_is_refused(data):
    with pytest.raises(wire.WireError):
        wire.unpack(data)
