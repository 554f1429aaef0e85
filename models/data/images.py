"""Image files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def read_image(path: Path) -> np.ndarray:
    """u8 RGB `[h, w, 3]`. Raises `FileNotFoundError` or `ValueError`."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    image = cv2.imread(str(path))
    if image is None:
        raise ValueError(f"{path}: not an image that can be read")
    return image[..., ::-1]
