"""An image under composition, and the plane that says which person owns each pixel."""

from __future__ import annotations

import cv2
import numpy as np

NO_OWNER, CLUTTER = -1, -2
"""Values of the owner plane besides the indices of people: background, and objects in front of people."""


class Canvas:
    """`colour` f32 [side, side, 3] in 0..255, `owner` i16 [side, side]."""

    def __init__(self, colour: np.ndarray) -> None:
        self.colour = np.ascontiguousarray(colour, np.float32)
        self.side = colour.shape[0]
        self.owner = np.full(colour.shape[:2], NO_OWNER, np.int16)

    def paste(
        self, rgba: np.ndarray, x: int, y: int, gain: np.ndarray | float = 1.0, owner: int | None = None
    ) -> bool:
        """Lay f32 `rgba` [h, w, 4], premultiplied, with its corner at (x, y); false if it falls outside."""
        height, width = rgba.shape[:2]
        left, top = max(0, x), max(0, y)
        right, bottom = min(self.side, x + width), min(self.side, y + height)
        if right <= left or bottom <= top:
            return False
        part = rgba[top - y : bottom - y, left - x : right - x]
        alpha = part[..., 3:] * (1 / 255)
        target = self.colour[top:bottom, left:right]
        target *= 1 - alpha
        target += part[..., :3] * gain
        if owner is not None:
            self.owner[top:bottom, left:right][part[..., 3] > 127] = owner
        return True

    def rectangle(
        self, corner: np.ndarray, size: np.ndarray, colour: np.ndarray, owner: int | None = None
    ) -> None:
        """A filled rectangle; (x, y) and (width, height) in pixels, cut at the border."""
        left, top = np.maximum(corner, 0).astype(int)
        right, bottom = np.minimum(corner + size, self.side).astype(int)
        if right > left and bottom > top:
            self.colour[top:bottom, left:right] = colour
            if owner is not None:
                self.owner[top:bottom, left:right] = owner

    def stroke(self, points: np.ndarray, colour: np.ndarray, width: int, owner: int | None = None) -> None:
        """A polyline through `points` [n, 2] of the given width."""
        corners = [np.round(points).astype(np.int32).reshape(-1, 1, 2)]
        cv2.polylines(self.colour, corners, False, colour.tolist(), width, cv2.LINE_AA)
        if owner is not None:
            cv2.polylines(self.owner, corners, False, owner, width)

    def polygon(self, points: np.ndarray, colour: np.ndarray, owner: int | None = None) -> None:
        """A filled polygon through `points` [n, 2]."""
        corners = [np.round(points).astype(np.int32).reshape(-1, 1, 2)]
        cv2.fillPoly(self.colour, corners, colour.tolist(), cv2.LINE_AA)
        if owner is not None:
            cv2.fillPoly(self.owner, corners, owner)

    def ring(
        self, centre: np.ndarray, axes: np.ndarray, colour: np.ndarray, width: int, owner: int | None = None
    ) -> None:
        """An ellipse, drawn as a line (`width` > 0) or filled (`width` = -1)."""
        middle, radii = tuple(map(int, centre)), tuple(max(1, int(a)) for a in axes)
        cv2.ellipse(self.colour, middle, radii, 0, 0, 360, colour.tolist(), width, cv2.LINE_AA)
        if owner is not None:
            cv2.ellipse(self.owner, middle, radii, 0, 0, 360, owner, width)
