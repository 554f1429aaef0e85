"""Scenes for training: people from the bank over photographs, behind objects, cut by every border."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import cv2
import numpy as np

from models.data.people import labels, photometry
from models.data.people.assets import Assets
from models.data.people.canvas import CLUTTER, Canvas
from models.data.people.labels import Person
from models.data.people.sprites import Bank, Sprite

SEATED = ("sit", "kneel")


@dataclass(frozen=True)
class Scene:
    """`image` u8 RGB [side, side, 3] and the people labelled in it."""

    image: np.ndarray
    people: list[Person]


@dataclass(frozen=True)
class SceneStyle:
    """How scenes are drawn; the defaults are for training."""

    side: int = 256
    counts: tuple[float, ...] = (0.07, 0.41, 0.25, 0.13, 0.08, 0.03, 0.02, 0.01)
    """Chance of 0, 1, 2, ... people."""
    smallest: float = 55.0
    largest: float = 420.0
    """Pixels of a figure's longer side; people are smaller where there are three or more."""
    window_probability: float = 0.22
    """Chance that the nearest person is a close-up larger than the frame."""
    overflow_probability: float = 0.12
    """Chance that a person is enlarged beyond the frame."""
    crowd_fraction: float = 0.0
    """Chance that the scene is a crowd: many people of like size who hide each other."""
    crowd: tuple[int, int] = (4, 10)
    """Fewest and most people of a crowd."""

    @staticmethod
    def of_side(side: int) -> SceneStyle:
        """Smaller scenes hold smaller people: half way between the same share of the frame and the same
        pixels.
        """
        shrink = (side / 256) ** 0.5
        return SceneStyle(side=side, smallest=55 * shrink, largest=420 * shrink)


class SceneSampler:
    """Draws scenes. All randomness comes from the generator handed in, so that a seed names a scene."""

    def __init__(self, assets: Assets, bank: Bank, style: SceneStyle | None = None) -> None:
        self.assets, self.bank, self.style = assets, bank, style or SceneStyle()

    def sample(self, generator: np.random.Generator) -> Scene:
        canvas = Canvas(self._background(generator))
        self._scatter(canvas, generator)
        # No number is drawn where it changes nothing, so that older seeds name the same scenes.
        crowded = self.style.crowd_fraction > 0 and generator.random() < self.style.crowd_fraction
        if crowded:
            figures = self._crowd(generator)
        else:
            count = int(generator.choice(len(self.style.counts), p=self.style.counts))
            figures = self._figures(generator, count)
        placed = [
            self._place(canvas, generator, index, sprite, size)
            for index, (sprite, size) in enumerate(figures)
        ]
        self._foreground(canvas, generator)
        people = [
            person
            for index, (keypoints, visible) in enumerate(placed)
            if (person := labels.label_person(keypoints, visible, canvas.owner, index)) is not None
        ]
        return Scene(photometry.degrade(canvas.colour, generator), people)

    def _background(self, generator: np.random.Generator) -> np.ndarray:
        side = self.style.side
        image = self.assets.piece(generator, side, side)
        if generator.random() < 0.45:
            floor = self.assets.piece(generator, side, side)
            columns = np.arange(side)
            edge = side * generator.uniform(0.45, 0.95) + generator.uniform(-0.3, 0.3) * (columns - side / 2)
            image = np.where((np.arange(side)[:, None] > edge)[..., None], floor, image)
        if generator.random() < 0.3:
            plain = generator.uniform(0.4, 0.9)
            image = image * np.float32(1 - plain) + np.float32(plain) * generator.uniform(0, 255, 3).astype(
                np.float32
            )
        gain, shift = generator.uniform(0.4, 1.1), generator.normal(0, 25)
        return (image - 128) * np.float32(gain) + np.float32(128 + shift)

    def _scatter(self, canvas: Canvas, generator: np.random.Generator) -> None:
        """Objects behind the people: plain shapes, sticks that look like limbs, cut-out objects."""
        side = canvas.side
        for _ in range(generator.integers(0, 6)):
            corner, colour = generator.uniform(-40, side + 40, 2), generator.uniform(0, 255, 3)
            kind = generator.random()
            if kind < 0.45:
                canvas.rectangle(corner, generator.uniform(5, 140, 2), colour)
            elif kind < 0.65:
                canvas.stroke(
                    np.stack([corner, generator.uniform(-40, side + 40, 2)]),
                    colour,
                    int(generator.integers(1, 14)),
                )
            elif kind < 0.8:
                canvas.ring(corner, generator.uniform(4, 60, 2), colour, -1)
            else:
                self._limbs(canvas, generator, corner)
        for _ in range(generator.integers(0, 4)):
            self._cutout(canvas, generator, generator.uniform(40, 170))

    def _limbs(self, canvas: Canvas, generator: np.random.Generator, corner: np.ndarray) -> None:
        """A jointed stick in a colour of skin or cloth, or a pole with a ball: like people, but no person."""
        thickness = int(generator.integers(3, 20))
        shade = (
            generator.uniform(0.2, 1) * np.array([235, 180, 150])
            if generator.random() < 0.5
            else generator.uniform(0, 255, 3)
        )
        steps = generator.normal(0, 1, (generator.integers(1, 4), 2)) * thickness * 3
        points = np.concatenate([corner[None], corner + np.cumsum(steps, 0)])
        canvas.stroke(points, shade, thickness)
        if generator.random() < 0.3:
            canvas.ring(points[-1], np.full(2, thickness * generator.uniform(0.6, 1.6)), shade * 0.9, -1)

    def _cutout(
        self, canvas: Canvas, generator: np.random.Generator, size: float, owner: int | None = None
    ) -> None:
        stamp = self.assets.cutouts[generator.integers(len(self.assets.cutouts))]
        scale = size / max(stamp.shape[:2])
        stamp = cv2.resize(stamp, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
        if generator.random() < 0.5:
            stamp = stamp[:, ::-1].copy()
        stamp[..., :3] *= stamp[..., 3:] / 255
        x, y = generator.integers(-30, canvas.side - 20, 2)
        canvas.paste(stamp, int(x), int(y), generator.uniform(0.4, 1.1), owner)

    def _figures(self, generator: np.random.Generator, count: int) -> list[tuple[Sprite, float]]:
        """Who stands in the scene: (sprite, pixels of its longer side), far ones first."""
        style, bank = self.style, self.bank
        largest = style.largest if count < 3 else style.largest * (0.6 if count < 5 else 0.4)
        common = exp(generator.uniform(log(style.smallest), log(largest)))
        crowd = count >= 3 and generator.random() < 0.5
        figures = []
        for _ in range(count):
            sprite = bank[bank.whole_figures[generator.integers(len(bank.whole_figures))]]
            size = exp(generator.uniform(log(style.smallest), log(largest)))
            if crowd:
                size = common * exp(generator.normal(0, 0.15))
            elif count < 3 and generator.random() < style.overflow_probability:
                size = generator.uniform(1.4, 2.7) * style.side
            figures.append((sprite, size))
        if 0 < count < 4 and len(bank.window_figures) and generator.random() < style.window_probability:
            figures[-1] = (
                bank[bank.window_figures[generator.integers(len(bank.window_figures))]],
                float("inf"),
            )
        return sorted(figures, key=lambda figure: figure[1])

    def _crowd(self, generator: np.random.Generator) -> list[tuple[Sprite, float]]:
        """Many people of like size, so that they stand in each other's way; far ones first."""
        style, bank = self.style, self.bank
        count = int(generator.integers(style.crowd[0], style.crowd[1] + 1))
        common = exp(generator.uniform(log(1.2 * style.smallest), log(0.7 * style.side)))
        figures = [
            (
                bank[bank.whole_figures[generator.integers(len(bank.whole_figures))]],
                common * exp(generator.normal(0, 0.2)),
            )
            for _ in range(count)
        ]
        return sorted(figures, key=lambda figure: figure[1])

    def _place(
        self, canvas: Canvas, generator: np.random.Generator, index: int, sprite: Sprite, size: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Paste one person; its keypoints in the scene and which of them its own body leaves visible."""
        if generator.random() < 0.5:
            sprite = sprite.mirrored()
        height, width = sprite.rgba.shape[:2]
        longer = max(height, 0.75 * width)
        scale = generator.uniform(canvas.side / min(height, width), 1.15) if sprite.window else size / longer
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        rgba: np.ndarray = cv2.resize(sprite.rgba, None, fx=scale, fy=scale, interpolation=method)
        rgba = rgba.astype(np.float32)
        height, width = rgba.shape[:2]
        x, y = self._corner(canvas.side, generator, width, height, sprite.window)
        keypoints = (sprite.keypoints + 0.5) * scale - 0.5 + np.array([x, y], np.float32)
        if sprite.kind.startswith(SEATED) and generator.random() < 0.45:
            self._chair(canvas, generator, keypoints)
        if generator.random() < 0.25:
            rgba = cv2.GaussianBlur(rgba, (0, 0), generator.uniform(0.3, 0.9))
        gain = generator.uniform(0.4, 1.12) * (1 + 0.06 * generator.normal(size=3))
        canvas.paste(rgba, x, y, gain.astype(np.float32), index)
        self._furnish(canvas, generator, sprite, keypoints, x, width)
        return keypoints, sprite.visible

    @staticmethod
    def _corner(
        side: int, generator: np.random.Generator, width: int, height: int, window: bool
    ) -> tuple[int, int]:
        """Where the sprite's corner goes. Windows cover the frame; others may be cut by any border."""

        def between(low: float, high: float) -> int:
            return int(np.floor(generator.uniform(min(low, high), max(low, high))))

        if window:
            return between(side - width, 0), between(side - height, 0)
        if height < 0.9 * side:
            return between(-0.2 * width, side - 0.8 * width), between(-0.15 * height, side - 0.75 * height)
        if height > 2 * side:
            return between(-0.2 * width, side - 0.8 * width), between(-0.12 * height, 0.25 * side)
        x = between(min(-0.4 * width, side - width), max(0, side - 0.6 * width))
        if generator.random() < 0.75:
            return x, between(-0.15 * height, 0.15 * side)
        return x, between(side - height, 0.1 * side)

    def _chair(self, canvas: Canvas, generator: np.random.Generator, keypoints: np.ndarray) -> None:
        """A chair or bench behind a seated person."""
        shoulders, hips, knees, ankles = (keypoints[i : i + 2].mean(0) for i in (5, 11, 13, 15))
        reach = np.abs(hips[1] - shoulders[1]) + 8
        colour = generator.uniform(0, 200, 3)
        top = hips[1] - reach * generator.uniform(-0.1, 0.9)
        half = reach * generator.uniform(0.3, 0.9 if generator.random() < 0.8 else 3)
        canvas.rectangle(
            np.array([hips[0] - half, top]), np.array([2 * half, hips[1] - top + 0.25 * reach]), colour
        )
        floor = max(ankles[1], knees[1] + 0.3 * reach)
        for x in (hips[0] - half, hips[0] + half):
            canvas.stroke(np.array([[x, hips[1]], [x, floor]]), colour * 0.7, max(1, int(reach * 0.07)))

    def _furnish(
        self,
        canvas: Canvas,
        generator: np.random.Generator,
        sprite: Sprite,
        keypoints: np.ndarray,
        x: int,
        width: int,
    ) -> None:
        """Objects that stand in front of a person: tables and counters, wheels, arm rests, bags."""
        hips = keypoints[11:13].mean(0)
        size = float(np.linalg.norm(keypoints[5:7].mean(0) - hips)) + 8
        draw = generator.random()
        if draw < 0.16:
            left, right = x - generator.uniform(0, 0.6) * width, x + width * generator.uniform(0.9, 1.6)
            top = hips[1] + generator.normal(-0.05, 0.25) * size
            left, right, top = max(0, int(left)), min(canvas.side, int(right)), max(0, int(top))
            bottom = min(canvas.side, int(top + generator.uniform(0.2, 2.5) * size))
            if right - left > 4 and bottom - top > 4:
                cloth = self.assets.piece(generator, right - left, bottom - top) * generator.uniform(0.4, 1.1)
                canvas.colour[top:bottom, left:right] = cloth
                canvas.owner[top:bottom, left:right] = CLUTTER
        elif draw < 0.24 or (sprite.kind.startswith(SEATED) and draw < 0.45):
            colour = generator.uniform(0, 200, 3)
            thickness = max(1, int(size * generator.uniform(0.03, 0.1)))
            if generator.random() < 0.6:
                centre = hips + generator.normal(0, 0.35, 2) * size + np.array([0, 0.25 * size])
                radius = size * generator.uniform(0.35, 0.75)
                canvas.ring(
                    centre, np.array([radius * generator.uniform(0.2, 1), radius]), colour, thickness, CLUTTER
                )
            ends = hips + generator.normal(0, 0.6, (2, 2)) * size
            canvas.stroke(ends, colour, thickness, CLUTTER)
        elif draw < 0.30:
            corner = hips + generator.normal(0, 0.5, 2) * size
            canvas.rectangle(
                corner, size * generator.uniform(0.2, 0.6, 2), generator.uniform(0, 255, 3), CLUTTER
            )
            strap = np.stack([corner + 0.1 * size, keypoints[5 + generator.integers(2)]])
            canvas.stroke(strap, generator.uniform(0, 120, 3), max(1, int(0.05 * size)))

    def _foreground(self, canvas: Canvas, generator: np.random.Generator) -> None:
        """Objects in front of all people."""
        if generator.random() < 0.38:
            for _ in range(generator.integers(1, 3)):
                self._cutout(canvas, generator, generator.uniform(30, 130), CLUTTER)
        if generator.random() < 0.13:
            corner = generator.uniform(0, canvas.side, 2)
            canvas.rectangle(corner, generator.uniform(20, 110, 2), generator.uniform(0, 255, 3), CLUTTER)
        if generator.random() < 0.06:
            x = generator.uniform(0, canvas.side)
            post = np.array([[x, -10], [x + generator.normal(0, 15), canvas.side + 10]])
            canvas.stroke(post, generator.uniform(0, 255, 3), int(generator.integers(3, 22)), CLUTTER)
