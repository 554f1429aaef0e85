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

    A weight that `original` stores in the other of the types float32 and float16 is read from there too,
    through a Cast, if that gives the same bits. The two files must stand in one folder.
    """
    contents = original.read_bytes()
    stored = {
        tensor.name: tensor
        for tensor in onnx.load_from_string(contents).graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    }
    shared = 0
    casts = []
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) < LEAST_BYTES:
            continue
        data = tensor.raw_data
        offset = contents.find(data)
        if offset < 0 and tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16):
            found = in_other_type(tensor, stored)
            offset = -1 if found is None else contents.find(found[0].raw_data)
            if found is not None and offset >= 0:
                casts.append(float16_weights.cast(tensor.name, found[1]))
                data = found[0].raw_data
                tensor.CopyFrom(found[0])
        if offset < 0:
            continue
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        for key, value in {"location": original.name, "offset": offset, "length": len(data)}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        shared += 1
    float16_weights.insert(model.graph, casts)
    return shared


def in_other_type(
    tensor: onnx.TensorProto, stored: dict[str, onnx.TensorProto]
) -> tuple[onnx.TensorProto, str] | None:
    """`tensor` in the type that it does not have, and the suffix of its name; none where a Cast of that does
    not give the same bits. `stored` are the float32 initialisers of the original."""
    values = numpy_helper.to_array(tensor)
    if tensor.data_type == TensorProto.FLOAT:
        if not float16_weights.is_exact(values):
            return None
        suffix = float16_weights.SUFFIX
        return numpy_helper.from_array(values.astype(np.float16), tensor.name + suffix), suffix
    wide = stored.get(tensor.name)
    if wide is None:
        return None
    with np.errstate(over="ignore"):
        narrowed = numpy_helper.to_array(wide).astype(np.float16)
    # Converters move numbers that are next to nothing; shapes differ where a converter folds.
    if narrowed.shape != values.shape or narrowed.tobytes() != values.tobytes():
        return None
    suffix = float16_weights.WIDE_SUFFIX
    return numpy_helper.from_array(numpy_helper.to_array(wide), tensor.name + suffix), suffix
