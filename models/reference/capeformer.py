"""CapeFormer around its networks, in NumPy: crops, support weights, encodings, proposals, and the way back.

Section numbers are those of the description of the reference implementation. Points are `(x, y)`; maps have 8
by 8 cells, numbered row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CROP = 256
"""Pixels of a crop's side."""
CELLS = 8
HEATMAP = 64
"""Cells of the support heatmaps' side."""
SLOTS = 100
"""Keypoints that the reference pads to; identifiers depend on it."""
WIDTH = 256
"""Of a token."""
RADIUS = 6
"""Of a support heatmap's bell, cells."""


@dataclass(frozen=True)
class Crop:
    """A square of an image that becomes a network's input."""

    center: np.ndarray
    side: float
    """Image pixels."""

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Image pixels -> pixels of the crop."""
        return (points - self.center) * (CROP / self.side) + CROP / 2

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Places from 0 to 1 in the crop -> image pixels."""
        return points * self.side + self.center - self.side / 2


def clean_box(box: tuple[float, float, float, float], image: tuple[int, int]) -> np.ndarray | None:
    """COCO's `(x, y, width, height)`, cut to an image of `(width, height)`; nothing where nothing is left.

    It loses a pixel on each axis.
    """
    x, y, width, height = box
    left, top = max(0, x), max(0, y)
    right = min(image[0] - 1, left + max(0, width - 1))
    bottom = min(image[1] - 1, top + max(0, height - 1))
    if right <= left or bottom <= top:
        return None
    return np.array([left, top, right - left, bottom - top], np.float64)


def crop_of(box: np.ndarray) -> Crop:
    """The square around a cleaned box: a quarter larger than its longer side."""
    x, y, width, height = box
    return Crop(np.array([x + width / 2, y + height / 2]), 1.25 * max(width, height))


def enlarging_matrix() -> np.ndarray:
    """`[64, 8]`: how a row of 64 cells reads the 8 that it is enlarged from; bilinear, half-pixel centres."""
    position = np.clip((np.arange(HEATMAP) + 0.5) / (HEATMAP // CELLS) - 0.5, 0, CELLS - 1)
    low = np.minimum(position.astype(int), CELLS - 2)
    matrix = np.zeros((HEATMAP, CELLS))
    rows = np.arange(HEATMAP)
    matrix[rows, low] = 1 - (position - low)
    matrix[rows, low + 1] += position - low
    return matrix


def support_weights(points: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much each cell counts in the features of each keypoint: `points [K, 2]` (crop pixels), `visible
    [K]` -> `[K, 64]`, and which keypoints count at all `[K]` (sections 1.2 and 1.3).

    The features are the mean of the enlarged map under a bell. Enlarging is linear, so the bell's weights are
    carried down to the 8x8 cells; they sum up to 1.
    """
    enlarge = enlarging_matrix()
    weights = np.zeros((len(points), CELLS * CELLS), np.float32)
    counts = np.zeros(len(points), bool)
    for row, (point, seen) in enumerate(zip(points, visible)):
        # Towards zero, as the reference's conversion to whole numbers does.
        middle = np.trunc(point / (CROP / HEATMAP) + 0.5).astype(int)
        touches = (middle - RADIUS < HEATMAP).all() and (middle + RADIUS + 1 >= 0).all()
        counts[row] = bool(seen) and touches
        if not counts[row]:
            continue
        cells = np.arange(HEATMAP)
        bells = [
            np.where(np.abs(cells - place) <= RADIUS, np.exp(-((cells - place) ** 2) / 8.0), 0.0)
            for place in middle
        ]
        total = bells[0].sum() * bells[1].sum() + 1e-8
        weights[row] = (np.outer(bells[1] @ enlarge, bells[0] @ enlarge) / total).ravel()
    return weights, counts


def encode(values: np.ndarray) -> np.ndarray:
    """Sines and cosines of numbers around 0 to 1: `[...]` -> `[..., 128]`."""
    half = WIDTH // 2
    channel = np.arange(half)
    period = 10000.0 ** (2 * (channel // 2) / half)
    angle = 2 * np.pi * np.asarray(values)[..., None] / period
    return np.where(channel % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


def encode_points(points: np.ndarray) -> np.ndarray:
    """`[..., 2]`, places from 0 to 1 -> `[..., 256]`, y first."""
    return np.concatenate([encode(points[..., 1]), encode(points[..., 0])], -1)


def grid_encoding() -> np.ndarray:
    """`[64, 256]`: the cells' places; the first is 1/8."""
    places = (np.arange(CELLS) + 1) / (CELLS + 1e-6)
    rows, columns = np.meshgrid(places, places, indexing="ij")
    return np.concatenate([encode(rows.ravel()), encode(columns.ravel())], -1)


def identifiers() -> np.ndarray:
    """`[100, 256]`: what tells keypoints apart, by their index among 100."""
    index = encode((np.arange(SLOTS) + 1) / (SLOTS + 1e-6))
    constant = np.broadcast_to(encode(np.array(1 / (1 + 1e-6))), index.shape)
    return np.concatenate([constant, index], -1)


def proposals(similarity: np.ndarray) -> np.ndarray:
    """`[K, 8, 8]` -> `[K, 2]`, places from 0 to 1: the weighted mean of the best cell and its neighbours, by
    their softmax. The first of equal cells counts."""
    places = np.zeros((len(similarity), 2), np.float32)
    for row, plane in enumerate(similarity):
        y, x = np.unravel_index(plane.argmax(), plane.shape)
        rows, columns = (slice(max(0, at - 1), at + 2) for at in (y, x))
        window = plane[rows, columns].astype(np.float64)
        weight = np.exp(window - window.max())
        weight /= weight.sum()
        ys, xs = np.mgrid[
            rows.start : rows.start + window.shape[0], columns.start : columns.start + window.shape[1]
        ]
        places[row] = [(weight * (xs + 0.5)).sum() / CELLS, (weight * (ys + 0.5)).sum() / CELLS]
    return places


def inverse_sigmoid(values: np.ndarray) -> np.ndarray:
    """With both sides kept from 0 by a thousandth."""
    values = np.clip(values, 0, 1)
    return np.log(np.maximum(values, 1e-3) / np.maximum(1 - values, 1e-3))


def move(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """One step of the decoder's refinement."""
    return 1 / (1 + np.exp(-(inverse_sigmoid(points) + offsets)))
