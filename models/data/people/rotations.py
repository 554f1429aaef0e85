"""Rotations as 3x3 matrices acting on column vectors; angles in degrees."""

from __future__ import annotations

import numpy as np

X, Y, Z = np.eye(3)


def about(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Rotation about an axis (Rodrigues)."""
    x, y, z = np.asarray(axis, float) / (np.linalg.norm(axis) + 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def turning(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes direction `start` to direction `end`."""
    axis = np.cross(start, end)
    angle = np.arctan2(np.linalg.norm(axis), float(start @ end))
    return about(axis if np.linalg.norm(axis) > 1e-9 else X, np.rad2deg(angle))


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / (np.linalg.norm(vector) + 1e-12)


def bend_to_reach(
    root: np.ndarray, target: np.ndarray, first: float, second: float, pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Directions of a limb's two bones, of lengths `first` and `second`, that bring its end to `target` or as
    near as it gets.

    The middle joint lies towards `pole`.
    """
    line = target - root
    distance = np.clip(np.linalg.norm(line), abs(first - second) + 1e-3, 0.999 * (first + second))
    line = unit(line)
    side = unit(pole - (pole @ line) * line)
    cosine = (first**2 + distance**2 - second**2) / (2 * first * distance)
    upper = cosine * line + np.sqrt(max(0.0, 1 - cosine**2)) * side
    return upper, unit(distance * line - first * upper)
