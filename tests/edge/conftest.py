from __future__ import annotations

import pytest
from edge_networks import IMAGES, network

from kdnotes import edge


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """The float file and the int8 file of ``network``."""
    folder = tmp_path_factory.mktemp("onnx")
    path = edge.export(network(), folder / "float.onnx")
    return path, edge.quantise(path, folder / "int8.onnx", IMAGES)
