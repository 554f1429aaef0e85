"""What `sinew calib record` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto
from onnxruntime.quantization import CalibrationDataReader


class Recorded(CalibrationDataReader):
    """The inputs of one network, run by run, in the types of its graph."""

    def __init__(self, folder: Path, graph: onnx.GraphProto) -> None:
        """Raises FileNotFoundError where nothing was recorded."""
        self.files = sorted(folder.glob("*.npz"))
        if not self.files:
            raise FileNotFoundError(f"{folder}: nothing was recorded; see `sinew calib record --help`")
        self._types = {
            value.name: np.int32 if value.type.tensor_type.elem_type == TensorProto.INT32 else np.float32
            for value in graph.input
        }
        self._runs = self._read()

    def _read(self) -> Iterator[dict[str, np.ndarray]]:
        for path in self.files:
            with np.load(path) as arrays:
                yield {name: arrays[name].astype(kind) for name, kind in self._types.items()}

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next run, or None after the last."""
        return next(self._runs, None)
