"""Kinds of objects that are one photograph or drawing, cut out: what is on it stays, how it lies does not."""

from __future__ import annotations

import cv2
import numpy as np

from models.data.objects.kind import ObjectImage

SIDE = 200
FEWEST, MOST = 6, 18


class CutOut:
    """The kind of one cut-out; its keypoints are places far from each other, with something to see."""

    handed = True

    def __init__(self, name: str, rgba: np.ndarray, seed: int) -> None:
        """`rgba` u8 [h, w, 4], straight alpha."""
        self.name = name
        scale = SIDE / max(rgba.shape[:2])
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=method).astype(np.float32)
        self.alpha = small[..., 3]
        self.colour = small[..., :3]
        generator = np.random.default_rng([8, seed])
        self.places = _places(self.colour, self.alpha, int(generator.integers(FEWEST, MOST + 1)), generator)
        self.keypoints = tuple(f"point {index}" for index in range(len(self.places)))
        self.edges = ()

    def draw(self, generator: np.random.Generator) -> ObjectImage:
        # The field first, then the colours: training of older bundles drew in this order.
        strength = generator.uniform(0, 0.09) * SIDE
        field = _fields(generator, self.alpha.shape, strength)
        colour = recoloured(self.colour, generator)
        rgba = np.dstack([colour * (self.alpha / 255)[..., None], self.alpha])
        return _moved(rgba, self.places, np.ones(len(self.places), bool), field)


def bent(
    rgba: np.ndarray, places: np.ndarray, shown: np.ndarray, generator: np.random.Generator, most: float
) -> ObjectImage:
    """Bent by a smooth field of up to `most` of `SIDE`, as another of its kind would be; `rgba` f32
    [h, w, 4] is premultiplied."""
    return _moved(rgba, places, shown, _fields(generator, rgba.shape[:2], generator.uniform(0, most) * SIDE))


def _fields(generator: np.random.Generator, shape: tuple[int, ...], strength: float) -> list[np.ndarray]:
    height, width = shape
    return [_field(generator, height, width) * strength for _ in range(2)]


def _moved(rgba: np.ndarray, places: np.ndarray, shown: np.ndarray, bend: list[np.ndarray]) -> ObjectImage:
    height, width = rgba.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    rgba = cv2.remap(rgba, columns + bend[0], rows + bend[1], cv2.INTER_LINEAR)
    # The field says where every pixel comes from; where a place goes is its inverse, by a few steps.
    moved = places.copy()
    for _ in range(4):
        x, y = (np.clip(moved[:, axis], 0, size - 1).astype(int) for axis, size in ((0, width), (1, height)))
        moved = places - np.column_stack([bend[0][y, x], bend[1][y, x]])
    return ObjectImage(rgba, moved.astype(np.float32), shown.copy())


def recoloured(colour: np.ndarray, generator: np.random.Generator, turned: float = 0.5) -> np.ndarray:
    """Other hues with a chance of `turned`, and another contrast: f32 [h, w, 3]."""
    if generator.random() < turned:
        hsv = cv2.cvtColor((colour / 255).astype(np.float32), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + generator.normal(0, 40)) % 360
        hsv[..., 1] = np.clip(hsv[..., 1] * np.exp(generator.normal(0, 0.3)), 0, 1)
        colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255
    gain, shift = np.exp(generator.normal(0, 0.2)), generator.normal(0, 15, 3)
    return np.clip(colour * gain + shift, 0, 255).astype(np.float32)


def _field(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    coarse = generator.uniform(-1, 1, (4, 4)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _places(colour: np.ndarray, alpha: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Up to `count` places [n, 2], each where it is far from the others and the image has an edge or a
    corner; in an order that goes from neighbour to neighbour."""
    inside = cv2.erode((alpha > 128).astype(np.uint8), np.ones((3, 3), np.uint8))
    grey = (colour.mean(2) * (alpha / 255)).astype(np.float32)
    corner = np.sqrt(np.maximum(cv2.cornerMinEigenVal(cv2.GaussianBlur(grey, (0, 0), 1.5), 9), 0))
    rows, columns = np.nonzero(inside)
    if len(rows) == 0:
        return np.zeros((0, 2), np.float32)
    points = np.column_stack([columns, rows]).astype(np.float32)
    interest = corner[rows, columns] / (corner.max() + 1e-6)
    middle = points.mean(0)
    distance = np.linalg.norm(points - middle, axis=1)
    chosen: list[int] = []
    for _ in range(count):
        best = int(np.argmax(distance * (0.35 + interest**0.5) * generator.uniform(0.9, 1, len(points))))
        if chosen and distance[best] < 0.06 * SIDE:
            break
        chosen.append(best)
        apart = np.linalg.norm(points - points[best], axis=1)
        distance = apart if len(chosen) == 1 else np.minimum(distance, apart)
    return _chained(points[chosen])


def _chained(points: np.ndarray) -> np.ndarray:
    """From the first point to the nearest one not yet seen, and so on."""
    order, left = [0], list(range(1, len(points)))
    while left:
        away = np.linalg.norm(points[left] - points[order[-1]], axis=1)
        order.append(left.pop(int(np.argmin(away))))
    return points[order]
