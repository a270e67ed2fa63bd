"""Files of tensors and a record: whole or refused."""

from __future__ import annotations

import pytest
import torch
from helpers import equal_states

from kdnotes.store import tensorfile


def test_any_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "entry.safetensors"
    tensors, record = {"a": torch.arange(5.0), "b": torch.tensor([True, False])}, {"seconds": 1.25, "created": "2026"}
    tensorfile.write(path, tensors, record)
    loaded, again = tensorfile.read(path)
    assert equal_states(loaded, tensors) and again == record
    raw = path.read_bytes()
    for place in range(len(raw)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ (1 << place % 8)]) + raw[place + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            tensorfile.read(path)
