"""The machine, and what a network takes of its memory: counted by layer, or measured."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import onnxruntime
import psutil
import torch
from joblib.externals.loky import ProcessPoolExecutor
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.edge.convert import fold
from kdnotes.machine import cpuinfo, processor
from kdnotes.models import input_shape

__all__ = ["growth", "machine", "resident_memory", "working_memory"]


def machine() -> dict[str, str]:
    """Processor, cores and versions, to name the machine beside its timings; no host name or path.

    "VNNI": whether an x86 processor multiplies and adds 8-bit numbers in 32 bits; Linux tells.
    """
    flags = set(cpuinfo("flags").split())
    vnni = "yes" if flags & {"avx512_vnni", "avx_vnni"} else "no"
    return {
        "processor": processor(),
        "VNNI": vnni if flags else "unknown",
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "ONNX Runtime": onnxruntime.__version__,
    }


def working_memory(network: nn.Module) -> dict[str, int]:
    """Numbers held at once while each layer computes: its input, its output, a waiting shortcut.

    For one image (``models.input_shape``), by layer name; times 1 byte in int8, times 4 in float32.
    Batch norms are folded; activations and pooling are taken to work in place, as runtimes for
    small devices do.
    """
    folded, seen, found, block = fold(network), {}, {}, None
    for module in folded.modules():
        module.register_forward_hook(lambda one, given, out: seen.update({one: (given[0], out)}))
    with torch.inference_mode():
        folded(torch.zeros(1, *input_shape(folded)))
    for name, module in folded.named_modules():  # a block comes before its layers
        x, output = seen.get(module, (None, None))
        if hasattr(module, "shortcut"):
            block, entered = name, x
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            found[name] = x.numel() + output.numel()
            if block is not None and name.startswith(f"{block}.shortcut."):
                found[name] += output.numel()  # the residual waits, which is as large
            elif block is not None and name.startswith(f"{block}.") and x is not entered:
                found[name] += entered.numel()
    return found


def resident_memory(
    loads: dict[str, Callable[[], Callable]], images: Tensor, repeats: int = 3
) -> dict[str, list[float]]:
    """The ``growth`` of fresh processes by loading and running networks, in MiB.

    Each measurement has a process of its own; each network has ``repeats`` of them.

    Args:
        loads: name → picklable function that loads a network, such as
            ``functools.partial(OnnxNetwork, path)``.
        images: one batch, ``[B, C, 32, 32]``.
    """
    checks.images("images", images)
    checks.count("repeats", repeats)

    def measure(load: Callable[[], Callable]) -> float:
        with ProcessPoolExecutor(max_workers=1) as fresh_process:
            return fresh_process.submit(growth, load, tuple(images.shape)).result()

    with ThreadPoolExecutor(2) as pool:  # two processes at a time
        values = list(pool.map(measure, [*loads.values()] * repeats))
    return {name: values[k :: len(loads)] for k, name in enumerate(loads)}


def growth(load: Callable[[], Callable], shape: tuple[int, ...]) -> float:
    """MiB by which this process's resident memory grows by loading a network and running it.

    To be called in a fresh process, whose libraries are imported before it starts to count.
    Allocators keep what they have used, so the growth after the runs is near the peak; it includes
    what the runtime sets up once, and is only as exact as pages and the allocator allow.

    Args:
        load: loads the network.
        shape: of the batch of images, ``[B, C, 32, 32]``.
    """
    torch.set_num_threads(1)
    images, process, resident = torch.zeros(shape), psutil.Process(), []
    before = process.memory_info().rss
    with torch.inference_mode():
        network = load()
        if isinstance(network, nn.Module):
            network.eval()
        for _ in range(5):
            network(images)
            resident.append(process.memory_info().rss)
    return (statistics.median(resident) - before) / 2**20
