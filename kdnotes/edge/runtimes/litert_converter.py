"""Writes LiteRT files. Runs in an environment of its own, which has litert-torch and no kdnotes.

litert-torch needs a typing-extensions that Jupyter cannot use. So ``litert.LiteRT`` hands the
network over as a program of ``torch.export``, and calls this file with that environment's Python.
"""

import argparse
import warnings
from pathlib import Path


def main() -> None:
    """Convert a program of ``torch.export``, or quantise a file that is converted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path)
    parser.add_argument("--program", type=Path, help="of torch.export, to be converted")
    parser.add_argument("--shape", type=int, nargs="+", help="of its images")
    parser.add_argument("--float", type=Path, help="a converted file, to be quantised")
    parser.add_argument("--calibration", type=Path, help="images [N, C, 32, 32], as numpy's file")
    parser.add_argument("--ranges", choices=("extremes", "moving average"), default="extremes")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.program:
        convert(given.program, given.shape, given.output)
    else:
        quantise(given.float, given.calibration, given.ranges, given.output)


def convert(program: Path, shape: list[int], output: Path) -> None:
    """A program of ``torch.export`` as a file of LiteRT, in float."""
    import litert_torch
    import torch

    network = torch.export.load(program).module()
    litert_torch.convert(network, (torch.zeros(*shape),)).export(str(output))
    output.write_bytes(inline(output.read_bytes()))


def quantise(path: Path, calibration: Path, ranges: str, output: Path) -> None:
    """The file in int8, weights and activations; ``ranges`` is how those of activations are found.

    "moving average" is the quantizer's default: each image moves a range by 5 % towards its own, so
    the last images count most. "extremes" are the lowest and highest values of all images.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    chosen = recipe.static_wi8_ai8()
    ((signature, sides),) = Interpreter(model_path=str(path)).get_signature_list().items()
    images = {signature: [{sides["inputs"][0]: one[None]} for one in np.load(calibration)]}
    tool = quantizer.Quantizer(str(path), chosen)
    if ranges == "moving average":
        found = tool.calibrate(images, num_threads=1)
    else:
        manager = recipe_manager.RecipeManager()
        manager.load_quantization_recipe(chosen)
        observed = calibrator.Calibrator(
            path.read_bytes(), num_threads=1, qsv_update_func=qsv_utils.min_max_update
        )
        observed.calibrate(images, manager)
        found = observed.get_model_qsvs()
    output.write_bytes(inline(bytes(tool.quantize(found).quantized_model)))


def inline(file: bytes) -> bytes:
    """The file with all weights inside its flatbuffer.

    The quantizer puts those of a larger network behind it, where TensorFlow Lite Micro does not
    look: it takes them for activations, and computes other logits without an error.
    """
    import flatbuffers
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(file), 0)
    behind = [one for one in model.buffers if one.offset > 1]
    if not behind:
        return file
    for one in behind:
        one.data = np.frombuffer(file, np.uint8, one.size, one.offset)
        one.offset = one.size = 0
    builder = flatbuffers.Builder(len(file))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    main()
