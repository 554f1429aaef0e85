"""Unpickling that runs nothing: for `torch.load(path, pickle_module=inert_pickle)`.

Training states name classes of the program that wrote them, which may not be here and must not be run. Only
what rebuilds tensors and plain containers is looked up; every other name becomes a class without behaviour,
whose objects take what they are given and forget it.
"""

from __future__ import annotations

import collections
import pickle
from typing import Any, BinaryIO

import torch

HARMLESS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
}
"""What may be called: it makes tensors from storages, or containers."""


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


class Unpickler(pickle.Unpickler):
    """Finds tensors and containers only."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        return HARMLESS.get((module, name)) or type(name, (Foreign,), {})


def load(file: BinaryIO, **_: object) -> Any:
    """As `pickle.load`; PyTorch's older file format asks for it."""
    return Unpickler(file).load()
