"""Unpickling that runs nothing, into NumPy arrays.

Training states name classes of the program that wrote them, which may not be installed and must not be run.
Only what rebuilds tensors and plain containers is looked up; every other name becomes a class without
behaviour, whose objects take what they are given and forget it.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
"""The types of storages, and how their values lie in the file."""
BRAIN = "BFloat16Storage"


class Foreign:
    """Stands for an object of a class that is not looked up."""

    def __new__(cls, *_: object, **__: object) -> Foreign:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> Foreign:
        return Foreign()

    def __setstate__(self, _: object) -> None:
        pass

    def __setitem__(self, _: object, __: object) -> None:
        pass

    def append(self, _: object) -> None:
        pass

    def extend(self, _: object) -> None:
        pass

    def add(self, _: object) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)


class Storage:
    """The values that tensors are views of."""

    def __init__(self, kind: str, load: Callable[[], bytes]) -> None:
        self.kind, self.load = kind, load
        self.values: np.ndarray | None = None

    def array(self) -> np.ndarray:
        """All values, floats as float32."""
        if self.values is None:
            values = np.frombuffer(self.load(), STORAGES[self.kind])
            if self.kind == BRAIN:
                # The upper half of a float32.
                values = (values.astype(np.uint32) << 16).view(np.float32)
            self.values = values.astype(np.float32) if values.dtype.kind == "f" else values
        return self.values


def _tensor(
    storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> np.ndarray:
    """A view of a storage, as an array of its own."""
    values = storage.array()
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ValueError("a tensor's shape and strides do not fit each other")
    last = offset + sum((extent - 1) * step for extent, step in zip(size, stride))
    if 0 in size:
        return np.zeros(size, values.dtype)
    if last >= len(values):
        raise ValueError(f"a tensor reaches to value {last} of a storage of {len(values)}")
    steps = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], size, steps, writeable=False).copy()


def _parameter(data: np.ndarray, *_: object) -> np.ndarray:
    return data


HARMLESS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
}
"""What may be called: it makes arrays from storages, or containers."""


class Unpickler(pickle.Unpickler):
    """Finds tensors and containers only. `storage` returns the storage of a kind by its key."""

    def __init__(self, file: BinaryIO, storage: Callable[[str, str, int], Storage]) -> None:
        super().__init__(file)
        self.storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return name
        return HARMLESS.get((module, name)) or type(name, (Foreign,), {})

    def persistent_load(self, saved: Any) -> Storage:
        """Tensors name their storages: `("storage", kind, key, device, values)`, older files also a view."""
        _, kind, key, _, count, *_ = saved
        if kind not in STORAGES:
            raise ValueError(f"a tensor of an unknown type, {getattr(kind, '__name__', kind)}")
        return self.storage(kind, str(key), int(count))
