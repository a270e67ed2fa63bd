"""What a network gives for many images, and the key of its state."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from kdnotes.machine import single_thread, usable_device
from kdnotes.models import describe


def predict(
    model: nn.Module, images: Tensor, device: torch.device | str = "cpu", batch_size: int = 500
) -> Tensor:
    """Logits ``[N, classes]`` (float32, on the CPU), in eval mode and on one thread.

    Without gradients; the network's mode is restored.
    """
    device, was_training, parts = usable_device(device), model.training, []
    model.eval()
    try:
        with torch.inference_mode(), single_thread():
            for part in images.split(batch_size):
                output = model(part.to(device, memory_format=torch.channels_last))
                if not isinstance(output, Tensor):
                    found = describe(output)
                    raise TypeError(
                        f"model must return one tensor, not {found}: wrap it in one that does"
                    )
                parts.append(output.float().cpu())
    finally:
        model.train(was_training)
    return torch.cat(parts).clone()


def state_key(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{list(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
