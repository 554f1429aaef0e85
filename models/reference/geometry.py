"""How an image is laid into the network: the reference's short-side rule, and exact bilinear warping."""

from __future__ import annotations

import numpy as np


def network_size(width: int, height: int, short_side: int, multiple: int = 64) -> tuple[int, int]:
    """Width and height of the network's input for an image.

    The short side becomes `short_side`, rounded up to `multiple`; the long side keeps the aspect, rounded up
    to `multiple`. A square image counts as a landscape.
    """
    short = (short_side + multiple - 1) // multiple * multiple
    if width < height:
        return short, int((short / width * height + multiple - 1) // multiple * multiple)
    return int((short / height * width + multiple - 1) // multiple * multiple), short


def image_center(width: int, height: int) -> tuple[int, int]:
    """The whole pixel that lands in the middle of the network's input."""
    return int(width / 2 + 0.5), int(height / 2 + 0.5)


def network_from_image(
    image: tuple[int, int], network: tuple[int, int], center: tuple[int, int] | None = None
) -> np.ndarray:
    """The affine `[2, 3]` (f64) from image pixels to network pixels; sizes are `(width, height)`.

    `network = s * (image - center) + (network width / 2, network height / 2)`; no half-pixel term. `center`
    is `image_center` unless given.
    """
    scale = network[0] / image[0] if image[0] < image[1] else network[1] / image[1]
    center = center or image_center(*image)
    return np.array(
        [[scale, 0.0, network[0] / 2 - scale * center[0]], [0.0, scale, network[1] / 2 - scale * center[1]]]
    )


def invert(affine: np.ndarray) -> np.ndarray:
    """The inverse of an affine `[2, 3]`."""
    linear = np.linalg.inv(affine[:, :2])
    return np.hstack([linear, -linear @ affine[:, 2:]])


def apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`points [..., 2]` through an affine `[2, 3]`, in f64."""
    return points.astype(np.float64) @ affine[:, :2].T + affine[:, 2]


def warp(
    image: np.ndarray, to_image: np.ndarray, size: tuple[int, int], mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """`image [h, w, 3]` (u8) -> `[3, height, width]` (f64), normalised, for `size = (width, height)`.

    Exact bilinear interpolation at `to_image @ (x, y, 1)`; outside the image lies black, blended in at
    the border and normalised like everything else.
    """
    width, height = size
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    position = apply(to_image, grid)
    base = np.floor(position).astype(np.int64)
    fraction = position - base
    rows, columns = image.shape[:2]
    total = np.zeros((height, width, 3))
    for dy in (0, 1):
        for dx in (0, 1):
            x, y = base[..., 0] + dx, base[..., 1] + dy
            inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
            weight = np.abs(1 - dx - fraction[..., 0]) * np.abs(1 - dy - fraction[..., 1]) * inside
            total += weight[..., None] * image[y.clip(0, rows - 1), x.clip(0, columns - 1)]
    return ((total / 255 - mean) / std).transpose(2, 0, 1)
