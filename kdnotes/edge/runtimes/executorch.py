"""ExecuTorch, whose float and int8 operators are XNNPACK's."""

from __future__ import annotations

import functools
import json
import re
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.edge.runtimes.interface import Loaded, Runtime, counted, example
from kdnotes.files import replacing

__all__ = ["ExecuTorch"]

LAYERS = ("XNNConv2d", "XNNDepthwiseConv2d", "XNNFullyConnected", "XNNBatchMatrixMultiply")
TYPES = {"fp32": "float32", "fp16": "float16", "qint8": "int8", "quint8": "int8"}


@dataclass(frozen=True)
class ExecuTorch(Runtime):
    """A program (``.pte``) that hands what it can to XNNPACK; int8 by torchao's pt2e.

    Its threads belong to the process: ``load`` leaves one of them to all of its programs.

    Args:
        gradients: export as PyTorch does by default, with gradients: a strided 1×1 convolution then
            splits the part that XNNPACK runs. Without them it is the cure.
        batch: images in the example that the export traces.
        up_to: the largest batch that the export is asked for; 0: that of the example, and no other.
    """

    gradients: bool = False
    batch: int = 1
    up_to: int = 0

    name = "ExecuTorch"
    extra = "executorch"
    packages = ("executorch", "torchao")
    suffix = ".pte"

    def __post_init__(self) -> None:
        checks.true_or_false("gradients", self.gradients)
        checks.count("batch", self.batch)
        checks.count("up_to", self.up_to, 0)

    def _write(self, network: nn.Module, path: Path, calibration: Tensor | None) -> None:
        images = example(network, self.batch)
        if calibration is not None and len(calibration) < self.batch:
            raise ValueError(f"calibration must have at least batch = {self.batch} images")
        shapes = ({0: torch.export.Dim("batch", max=self.up_to)},) if self.up_to else None
        with torch.set_grad_enabled(self.gradients), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is deprecated inside the exporters
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower

            program = torch.export.export(network, (images,), dynamic_shapes=shapes)
            if calibration is not None:
                quantised = _in_int8(program.module(), calibration, self.batch)
                program = torch.export.export(quantised, (images,), dynamic_shapes=shapes)
            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            content = lowered.to_executorch().buffer
        with replacing(path) as temporary:
            temporary.write_bytes(content)

    def _read(self, path: Path) -> Loaded:
        return _Method(path, max(self.batch, self.up_to))


def _in_int8(network: nn.Module, calibration: Tensor, batch: int) -> nn.Module:
    """Weights with a scale for each channel, activations between the extremes of the images."""
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
    from torchao.quantization.pt2e import quantize_pt2e

    config = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
    quantizer = xnnpack.XNNPACKQuantizer().set_global(config)
    observed = quantize_pt2e.prepare_pt2e(network, quantizer)
    for images in calibration.split(batch):
        if len(images) == batch:  # a static program takes no smaller rest
            observed(images)
    return quantize_pt2e.convert_pt2e(observed)


class _Method(Loaded):
    def __init__(self, path: Path, batch: int):
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime as Library

        super().__init__((path,), batch)
        portable_lib._unsafe_reset_threadpool(1)
        self.program = Library.get().load_program(path)
        self.method = self.program.load_method("forward")

    def __call__(self, images: Tensor) -> Tensor:
        return self.method.execute((images.contiguous(),))[0]

    def bound(self, images: Tensor) -> Callable[[], object]:
        return functools.partial(self.method.execute, (images.contiguous(),))

    def operators(self) -> dict[str, int]:
        graphs, others = self._executed
        inside = [node["xnode_union_type"] for graph in graphs for node in graph["xnodes"]]
        return counted(inside + others + ["DelegateCall"] * len(graphs))

    def layers(self) -> dict[str, int]:
        graphs, others = self._executed
        found = [_precision(node, graph) for graph in graphs for node in graph["xnodes"]
                 if node["xnode_union_type"] in LAYERS]  # fmt: skip
        alone = ("aten::convolution", "aten::addmm", "aten::linear", "aten::mm")
        return counted(found + ["float32" for name in others if name in alone])

    @functools.cached_property
    def _executed(self) -> tuple[list[dict[str, Any]], list[str]]:
        """XNNPACK's graphs, and the operators that are executed outside of them, from the file."""
        from executorch.exir._serialize._program import deserialize_pte_binary

        program = deserialize_pte_binary(self.files[0].read_bytes()).program
        plan, graphs, others = program.execution_plan[0], [], []
        for call in (one.instr_args for chain in plan.chains for one in chain.instructions):
            if type(call).__name__ == "DelegateCall":
                where = plan.delegates[call.delegate_index].processed.index
                graphs.append(_graph(bytes(program.backend_delegate_data[where].data)))
            elif type(call).__name__ == "KernelCall":
                others.append(plan.operators[call.op_index].name)
        return graphs, others


def _graph(content: bytes) -> dict[str, Any]:
    """The graph that XNNPACK is handed, from its part of the file."""
    from executorch.backends.xnnpack.serialization import xnnpack_graph_serialize as xnnpack
    from executorch.exir._serialize import _flatbuffer

    size = xnnpack.XNNHeader.EXPECTED_LENGTH
    header = xnnpack.XNNHeader.from_bytes(content[:size])
    graph = content[header.flatbuffer_offset :][: header.flatbuffer_size]
    schema = Path(xnnpack.__file__).with_name("schema.fbs")
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder, "graph.bin")
        held.write_bytes(graph)
        _flatbuffer._flatc_decompile(folder, str(schema), str(held), ["--raw-binary"])
        written = held.with_suffix(".json").read_text(encoding="utf-8")
    return json.loads(
        re.sub(r"(?<=: )(-?)inf\b", r"\1Infinity", written)
    )  # as JSON's reader has it


def _precision(node: dict[str, Any], graph: dict[str, Any]) -> str:
    """Of what a layer writes."""
    written = node["xnode_union"]["output_id"]
    for value in (one["xvalue_union"] for one in graph["xvalues"]):
        tensor = value.get("tensor_value", value)
        if tensor["id_out"] == written:
            kind = tensor["datatype"].removeprefix("xnn_datatype_")
            return TYPES.get(kind, kind)
    raise ValueError(f"value {written} of XNNPACK's graph is missing")
