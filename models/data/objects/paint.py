"""Drawing objects from flat parts: outlines, filled with shaded and textured colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from models.data.people.drawn import smooth_noise

SHIFT = 4
"""Bits of a fraction of a pixel."""


@dataclass(frozen=True)
class Paint:
    """A colour with a pattern."""

    colour: np.ndarray
    second: np.ndarray
    pattern: int
    """0 plain, 1 stripes, 2 dots, 3 clouds, 4 grain along one direction."""
    period: float
    angle: float

    @staticmethod
    def any(generator: np.random.Generator, plain: float = 0.55) -> Paint:
        """A colour as objects have; plain with this probability."""
        grey = generator.uniform(25, 235)
        spread = 60 if generator.random() < 0.6 else 18
        colour = np.clip(grey + generator.normal(0, spread, 3), 0, 255)
        second = np.clip(colour + generator.normal(0, 70, 3), 0, 255)
        pattern = 0 if generator.random() < plain else int(generator.integers(1, 5))
        return Paint(colour, second, pattern, generator.uniform(6, 26), generator.uniform(0, np.pi))

    def jittered(self, generator: np.random.Generator, strength: float) -> Paint:
        """Nearly the same."""
        shift = generator.normal(0, strength, 3)
        colour, second = (np.clip(value + shift, 0, 255) for value in (self.colour, self.second))
        angle = self.angle + generator.normal(0, 0.15)
        return Paint(colour, second, self.pattern, self.period * np.exp(generator.normal(0, 0.1)), angle)

    def fill(self, generator: np.random.Generator, height: int, width: int) -> np.ndarray:
        """f32 [height, width, 3]."""
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        along = columns * np.float32(np.cos(self.angle)) + rows * np.float32(np.sin(self.angle))
        across = rows * np.float32(np.cos(self.angle)) - columns * np.float32(np.sin(self.angle))
        if self.pattern == 1:
            mix = (np.sin(along * (2 * np.pi / self.period)) > 0.2).astype(np.float32)
        elif self.pattern == 2:
            half = self.period / 2
            mix = (np.hypot(along % self.period - half, across % self.period - half) < 0.6 * half).astype(
                np.float32
            )
        elif self.pattern == 3:
            mix = np.clip(0.5 + 0.6 * smooth_noise(generator, width, 5, height), 0, 1)
        elif self.pattern == 4:
            mix = np.clip(
                0.3 + 0.25 * np.sin(across * 0.9 + 3 * smooth_noise(generator, width, 4, height)), 0, 1
            )
        else:
            mix = np.zeros((height, width), np.float32)
        mix = mix[..., None]
        return (self.colour * (1 - mix) + self.second * mix).astype(np.float32)


@dataclass
class Drawing:
    """A square of `side` pixels on which parts are laid one over the other; coordinates are 0 to 1."""

    side: int = 200
    rgba: np.ndarray = field(init=False)
    light: float = 0.6
    """Direction that light comes from, radians."""

    def __post_init__(self) -> None:
        self.rgba = np.zeros((self.side, self.side, 4), np.float32)

    def part(self, generator: np.random.Generator, outline: np.ndarray, paint: Paint) -> None:
        """A filled outline [n, 2], lighter towards the light, with a darker rim."""
        corners = np.round(outline * self.side * (1 << SHIFT)).astype(np.int32)
        mask = np.zeros((self.side, self.side), np.uint8)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, SHIFT)
        self._lay(generator, mask, outline, paint)

    def line(self, generator: np.random.Generator, points: np.ndarray, width: float, paint: Paint) -> None:
        """A polyline [n, 2] of a width."""
        corners = np.round(points * self.side * (1 << SHIFT)).astype(np.int32)
        mask = np.zeros((self.side, self.side), np.uint8)
        cv2.polylines(mask, [corners], False, 255, max(1, round(width * self.side)), cv2.LINE_AA, SHIFT)
        self._lay(generator, mask, points, paint)

    def _lay(
        self, generator: np.random.Generator, mask: np.ndarray, outline: np.ndarray, paint: Paint
    ) -> None:
        left, top, width, height = cv2.boundingRect(mask)
        if width == 0:
            return
        colour = paint.fill(generator, height, width)
        low, high = outline.min(0), outline.max(0)
        middle, size = (low + high) / 2 * self.side, max(float((high - low).max()) * self.side, 1.0)
        rows, columns = np.mgrid[top : top + height, left : left + width].astype(np.float32)
        towards = (columns - middle[0]) * np.cos(self.light) + (rows - middle[1]) * np.sin(self.light)
        shade = 1 - 0.45 * np.clip(towards / size, -0.6, 0.6)
        alpha = mask[top : top + height, left : left + width].astype(np.float32) / 255
        inside = cv2.blur(alpha, (2 * max(1, round(0.02 * size)) + 1,) * 2)
        shade = shade * (0.72 + 0.28 * np.clip(inside * 1.6 - 0.4, 0, 1))
        colour = np.clip(colour * shade[..., None], 0, 255)
        below = self.rgba[top : top + height, left : left + width]
        below *= (1 - alpha)[..., None]
        below[..., :3] += colour * alpha[..., None]
        below[..., 3] += 255 * alpha


Point = Sequence[float] | np.ndarray


def ellipse(centre: Point, radii: Point, angle: float = 0.0, power: float = 2.0) -> np.ndarray:
    """An outline [48, 2]; a higher power is squarer."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cosine, sine = np.cos(turn), np.sin(turn)
    points = np.column_stack(
        [np.sign(cosine) * np.abs(cosine) ** (2 / power), np.sign(sine) * np.abs(sine) ** (2 / power)]
    ) * np.asarray(radii)
    return points @ rotation(angle).T + np.asarray(centre)


def limb(start: Point, end: Point, first: float, last: float) -> np.ndarray:
    """A bar with round ends, `first` wide (half) at its start and `last` at its end."""
    begin, stop = np.asarray(start, float), np.asarray(end, float)
    angle = float(np.arctan2(*(stop - begin)[::-1]))
    around = np.linspace(np.pi / 2, 3 * np.pi / 2, 9) + angle
    near = begin + first * np.column_stack([np.cos(around), np.sin(around)])
    far = stop - last * np.column_stack([np.cos(around), np.sin(around)])
    return np.concatenate([near, far])


def rotation(angle: float) -> np.ndarray:
    """[2, 2]"""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])
