"""What the two heads are trained towards: heatmaps (eq. 3) and offsets (eq. 4) at a quarter of the image's
size.

Positions follow the runtime, so that a network that meets its targets decodes without a shift: a keypoint at
pixel `p` (pixel centres at whole numbers) lies at cell `(p - 1.5) / 4`, because the heatmaps are upsampled
with half-pixel centres; and the offset of cell `c` is `c - (p - 1.5) / 4`, because the runtime subtracts four
offsets from a centre at any of the pixels `4c .. 4c+3`, whose mean is `4c + 1.5`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.data.people.labels import Person

STRIDE = 4
KEYPOINTS = 17
CENTER_SIGMA = 3.0
OFFSET_RADIUS = 3
"""Cells around a centre, in each direction, that carry its offsets."""


@dataclass(frozen=True)
class Targets:
    """`heatmaps` f32 [18, h, w] (the centre last), `offsets` f32 [34, h, w] in cells (2k = x, 2k+1 = y),
    `offset_area` f32 [34, h, w], the area in square pixels of the person whose offset a cell teaches, zero
    where it teaches none.
    """

    heatmaps: np.ndarray
    offsets: np.ndarray
    offset_area: np.ndarray


def to_cells(pixels: np.ndarray) -> np.ndarray:
    """Positions in pixels -> in cells of the stride-4 maps."""
    return (pixels - (STRIDE - 1) / 2) / STRIDE


def _bell(target: np.ndarray, centre: np.ndarray, sigma: float) -> None:
    """Raise `target` [h, w] to a Gaussian of height 1, cut at three and a half sigmas."""
    height, width = target.shape
    reach = int(np.ceil(3.5 * sigma))
    column, row = round(float(centre[0])), round(float(centre[1]))
    left, right = max(0, column - reach), min(width, column + reach + 1)
    top, bottom = max(0, row - reach), min(height, row + reach + 1)
    if right <= left or bottom <= top:
        return
    across = np.exp(-((np.arange(left, right) - centre[0]) ** 2) / (2 * sigma**2))
    down = np.exp(-((np.arange(top, bottom) - centre[1]) ** 2) / (2 * sigma**2))
    part = target[top:bottom, left:right]
    np.maximum(part, down[:, None] * across[None], out=part)


def keypoint_sigma(extent: float) -> float:
    """Cells; wider for larger people, whose joints are less certain in pixels."""
    return float(np.clip(1.0 + extent / 140, 1.25, 2.25))


def make_heatmaps(
    people: Sequence[Person], side: int, stride: int, origin: float, widen: float = 1.0
) -> np.ndarray:
    """f32 `[18, h, w]` of one scene of `side` x `side` pixels, the centre last.

    A keypoint at pixel `p` lies at cell `(p - origin) / stride`; bells are `widen` times as wide as at stride
    4, in cells.
    """
    cells = side // stride
    heatmaps = np.zeros((KEYPOINTS + 1, cells, cells), np.float32)
    for person in people:
        points = (person.keypoints - origin) / stride
        sigma = widen * keypoint_sigma(person.extent)
        for joint in np.flatnonzero(person.labelled):
            _bell(heatmaps[joint], points[joint], sigma)
        _bell(heatmaps[KEYPOINTS], points[person.labelled].mean(0), widen * CENTER_SIGMA)
    return heatmaps


def make_targets(people: Sequence[Person], side: int) -> Targets:
    """Targets of one scene of `side` x `side` pixels."""
    cells = side // STRIDE
    heatmaps = make_heatmaps(people, side, STRIDE, (STRIDE - 1) / 2)
    offsets = np.zeros((2 * KEYPOINTS, cells, cells), np.float32)
    areas = np.zeros((2 * KEYPOINTS, cells, cells), np.float32)
    # Small people last: where centres meet, the one in the smaller figure's middle is the harder to find.
    for person in sorted(people, key=lambda person: -person.extent):
        labelled = person.labelled
        points = to_cells(person.keypoints)
        extent = person.extent
        centre = points[labelled].mean(0)
        column, row = np.round(centre).astype(int)
        left, right = max(0, column - OFFSET_RADIUS), min(cells, column + OFFSET_RADIUS + 1)
        top, bottom = max(0, row - OFFSET_RADIUS), min(cells, row + OFFSET_RADIUS + 1)
        if right <= left or bottom <= top:
            continue
        region = (slice(top, bottom), slice(left, right))
        areas[(slice(None), *region)] = 0
        for joint in np.flatnonzero(labelled):
            offsets[(2 * joint, *region)] = np.arange(left, right)[None] - points[joint, 0]
            offsets[(2 * joint + 1, *region)] = np.arange(top, bottom)[:, None] - points[joint, 1]
            areas[(slice(2 * joint, 2 * joint + 2), *region)] = extent**2
    return Targets(heatmaps, offsets, areas)
