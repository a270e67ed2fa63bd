"""Writes a LiteRT file. Runs in an environment of its own, which has litert-torch and no kdnotes.

litert-torch needs a typing-extensions that Jupyter cannot use. So ``litert.LiteRT`` hands the
network over as a program of ``torch.export``, and calls this file with that environment's Python.
"""

import argparse
import warnings
from pathlib import Path


def main() -> None:
    """Convert a program of ``torch.export``, to int8 if there are calibration images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("shape", type=int, nargs="+", help="of one batch of images")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, help="images, a file of numpy")
    parser.add_argument("--ranges", choices=("extremes", "moving average"), default="extremes")
    given = parser.parse_args()
    warnings.simplefilter("ignore")

    import litert_torch
    import torch

    network = torch.export.load(given.program).module()
    converted = litert_torch.convert(network, (torch.zeros(*given.shape),))
    converted.export(str(given.output))
    if given.calibration:
        quantised = in_int8(given.output, given.calibration, given.ranges)
        given.output.write_bytes(quantised)


def in_int8(path: Path, calibration: Path, ranges: str) -> bytes:
    """The file in int8, weights and activations; ``ranges`` is how those of activations are found.

    "moving average" is the quantizer's default: each image moves a range by 5 % towards its own, so
    the last images count most. "extremes" are the lowest and highest values of all images.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    chosen, content = recipe.static_wi8_ai8(), path.read_bytes()
    ((signature, sides),) = Interpreter(model_path=str(path)).get_signature_list().items()
    images = {signature: [{sides["inputs"][0]: one[None]} for one in np.load(calibration)]}
    tool = quantizer.Quantizer(str(path), chosen)
    if ranges == "moving average":
        return bytes(tool.quantize(tool.calibrate(images, num_threads=1)).quantized_model)
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(chosen)
    update = qsv_utils.min_max_update
    found = calibrator.Calibrator(content, num_threads=1, qsv_update_func=update)
    found.calibrate(images, manager)
    return bytes(tool.quantize(found.get_model_qsvs()).quantized_model)


if __name__ == "__main__":
    main()
