"""Tensors and a record in one file: safetensors with a checksum."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from kdnotes.files import replacing


def write(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write tensors and a JSON record, completely or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record)
    # One entry: safetensors writes several in an order that differs from call to call.
    metadata = {"kdnotes": json.dumps([checksum(tensors, text), text])}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=metadata))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and record of a file that ``write`` made.

    Raises:
        ValueError: the file is missing, cut short, altered, or not one of ours.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata, names = file.metadata(), file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is missing or damaged ({error})") from error
    return _checked(tensors, metadata, path)


def decode(raw: bytes, source: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """``read``, of a file's bytes.

    Args:
        source: what they are called in an error.
    """
    try:
        tensors = load(raw)
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{source} is missing or damaged ({error})") from error
    return _checked(tensors, header.get("__metadata__"), source)


def _checked(
    tensors: dict[str, Tensor], metadata: dict[str, str] | None, source: Path | str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        expected, text = json.loads((metadata or {})["kdnotes"])
        record = json.loads(text)
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{source} is missing or damaged ({error})") from error
    if expected != checksum(tensors, text):
        raise ValueError(f"{source} is damaged (its checksum differs)")
    return tensors, record


def checksum(tensors: dict[str, Tensor], record: str = "") -> str:
    """SHA-256 of names, dtypes, shapes and numbers, and of a record."""
    digest = hashlib.sha256(record.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
