"""Graphs that keep their weights in another file: the bundle's fp32 graph, which holds them anyway.

ONNX lets a tensor's bytes stand in any file at any place. So a quantised graph, whose weights are the
originals and are rounded by its own nodes, takes a few hundred kilobytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from models.export import float16_weights

LEAST_BYTES = 1024
"""Smaller tensors stay in the graph."""


def share(model: onnx.ModelProto, original: Path) -> int:
    """Makes initialisers of `model` that `original` has byte for byte refer to that file; returns how many.

    A float32 weight that `original` stores as float16 is read from there too, through a Cast. The two files
    must stand in one folder.
    """
    contents = original.read_bytes()
    shared = 0
    casts = []
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) < LEAST_BYTES:
            continue
        offset = contents.find(tensor.raw_data)
        if offset < 0 and tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            narrowed = values.astype(np.float16)
            offset = contents.find(narrowed.tobytes())
            if offset >= 0 and float16_weights.is_exact(values):
                casts.append(float16_weights.cast(tensor.name))
                tensor.CopyFrom(numpy_helper.from_array(narrowed, tensor.name + float16_weights.SUFFIX))
            else:
                offset = -1
        if offset < 0:
            continue
        length = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        for key, value in {"location": original.name, "offset": offset, "length": length}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        shared += 1
    float16_weights.insert(model.graph, casts)
    return shared
