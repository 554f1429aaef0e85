"""Graphs that keep their weights in another file: the bundle's fp32 graph, which holds them anyway.

ONNX lets a tensor's bytes stand in any file at any place. So a quantised graph, whose weights are the
originals and are rounded by its own nodes, takes a few hundred kilobytes.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto

LEAST_BYTES = 1024
"""Smaller tensors stay in the graph."""


def share(model: onnx.ModelProto, original: Path) -> int:
    """Makes initialisers of `model` that `original` has byte for byte refer to that file; returns how many.

    The two files must stand in one folder.
    """
    contents = original.read_bytes()
    shared = 0
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        if len(raw) < LEAST_BYTES:
            continue
        offset = contents.find(raw)
        if offset < 0:
            continue
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        for key, value in {"location": original.name, "offset": offset, "length": len(raw)}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        shared += 1
    return shared
