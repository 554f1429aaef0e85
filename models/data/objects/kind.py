"""An object with keypoints, cut out; and kinds of objects, which draw themselves in ever other ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np


@dataclass(frozen=True)
class ObjectImage:
    """`rgba` f32 [h, w, 4], colour premultiplied by alpha, 0 to 255; `keypoints` f32 [K, 2], (x, y) in its
    pixels, possibly outside; `visible` bool [K], false where the object itself hides the keypoint."""

    rgba: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray

    def warped(self, matrix: np.ndarray) -> ObjectImage:
        """Moved by a 3x3 projective map, cut to what is left of it."""
        height, width = self.rgba.shape[:2]
        corners = project(matrix, np.array([[0, 0], [width, 0], [width, height], [0, height]], float))
        low = np.floor(corners.min(0))
        size = np.maximum(2, np.ceil(corners.max(0) - low)).astype(int)
        shift = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
        # Area averages where it shrinks: the warp itself only looks at four pixels.
        shrink = max(height, width) / max(1.0, float(size.max()))
        source = cv2.GaussianBlur(self.rgba, (0, 0), 0.35 * shrink) if shrink > 1.5 else self.rgba
        rgba = cv2.warpPerspective(source, shift @ matrix, tuple(size.tolist()), flags=cv2.INTER_LINEAR)
        keypoints = project(shift @ matrix, self.keypoints).astype(np.float32)
        return ObjectImage(rgba, keypoints, self.visible)

    def mirrored(self) -> ObjectImage:
        """Left and right swapped, keypoints with it."""
        keypoints = self.keypoints.copy()
        keypoints[:, 0] = self.rgba.shape[1] - 1 - keypoints[:, 0]
        return ObjectImage(np.ascontiguousarray(self.rgba[:, ::-1]), keypoints, self.visible)

    def trimmed(self) -> ObjectImage:
        """Without the empty borders of its image."""
        rows, columns = np.nonzero(self.rgba[..., 3] > 16)
        if len(rows) == 0:
            return self
        top, left = rows.min(), columns.min()
        rgba = self.rgba[top : rows.max() + 1, left : columns.max() + 1]
        return ObjectImage(rgba, (self.keypoints - [left, top]).astype(np.float32), self.visible)


def project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [n, 2] moved by a 3x3 projective map."""
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return moved[:, :2] / moved[:, 2:]


class Kind(Protocol):
    """A category: its objects have the same keypoints, in one order."""

    @property
    def name(self) -> str: ...

    @property
    def keypoints(self) -> tuple[str, ...]: ...

    @property
    def edges(self) -> tuple[tuple[int, int], ...]: ...

    @property
    def handed(self) -> bool:
        """Whether it looks another way in a mirror, so that a mirrored one is another of its kind.

        What is the same in a mirror would have its left and right keypoints swapped.
        """

    def draw(self, generator: np.random.Generator) -> ObjectImage:
        """One of the kind, at random; about 200 pixels large."""


def viewed(
    obj: ObjectImage, generator: np.random.Generator, side: float, turn: float, tilt: float
) -> ObjectImage:
    """Seen from somewhere: `side` pixels of its longer side, turned by up to `turn` radians, in a perspective
    that moves corners by up to `tilt` of its size."""
    height, width = obj.rgba.shape[:2]
    angle = generator.normal(0, turn / 2)
    stretch = np.exp(generator.normal(0, 0.08))
    cosine, sine = np.cos(angle), np.sin(angle)
    scale = side / max(height, width)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    centred = (corners - [width / 2, height / 2]) * scale * [stretch, 1 / stretch]
    moved = (
        centred @ np.array([[cosine, sine], [-sine, cosine]]) + generator.normal(0, tilt / 2, (4, 2)) * side
    )
    return obj.warped(cv2.getPerspectiveTransform(corners, moved.astype(np.float32)))
