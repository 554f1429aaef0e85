"""Many images of different sizes in one file, read through a memory map, which processes share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def write_images(path: Path, images: Iterable[np.ndarray]) -> int:
    """Write u8 images [h, w, c] to `path` (`.bin`) and their shapes beside it (`.shapes.npy`); return how
    many.
    """
    shapes: list[tuple[int, ...]] = []
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3:
                raise ValueError(
                    f"image {len(shapes)}: u8 [h, w, c] expected, found {image.dtype} {image.shape}"
                )
            shapes.append(image.shape)
            file.write(np.ascontiguousarray(image).tobytes())
    np.save(path.with_suffix(".shapes.npy"), np.array(shapes, np.int64).reshape(-1, 3))
    os.replace(partial, path)
    return len(shapes)


class Images:
    """Read side of `write_images`: an immutable sequence of u8 [h, w, c] views into the memory map."""

    def __init__(self, path: Path) -> None:
        self.shapes = np.load(path.with_suffix(".shapes.npy"))
        self.data = np.memmap(path, np.uint8, "r") if len(self.shapes) else np.zeros(0, np.uint8)
        sizes = self.shapes.prod(1)
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        if self.starts[-1] != len(self.data):
            raise ValueError(
                f"{path}: {len(self.data)} bytes, but the shapes beside it want {self.starts[-1]}"
            )

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int | np.integer) -> np.ndarray:
        return self.data[self.starts[index] : self.starts[index + 1]].reshape(self.shapes[index])
