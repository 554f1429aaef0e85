"""Kinds of objects that do not exist: trees of jointed parts, each kind named by a seed.

There are as many of them as there are seeds. The objects of a kind share the parts, their joints and mostly
their colours; joints bend, parts grow and shrink.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.data.objects.kind import ObjectImage
from models.data.objects.paint import Drawing, Paint, ellipse, limb

SHAPES = ("limb", "ellipse", "box", "triangle", "spindle")


@dataclass(frozen=True)
class Part:
    """One part, along its own axis from its joint."""

    parent: int
    """-1 for the trunk."""
    along: float
    """Where on the parent's axis it is joined, 0 to 1."""
    aside: float
    """And how far to its side, in half widths of the parent."""
    angle: float
    """To the parent's axis."""
    bend: float
    """How far the angle varies."""
    length: float
    width: float
    shape: str
    behind: bool
    marked: bool
    """Whether its sides are keypoints too."""


class Creature:
    """A kind of object."""

    handed = False

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng([7, seed])
        self.name = f"creature {seed}"
        count = int(generator.integers(2, 7))
        self.parts = [
            Part(-1, 0, 0, generator.normal(-np.pi / 2, 0.4), 0.25, generator.uniform(0.6, 1),
                 generator.uniform(0.15, 0.5), str(generator.choice(SHAPES)), False, True)
        ]  # fmt: skip
        # A pair of equal parts on both sides is more common in the world than anything else.
        while len(self.parts) < count:
            parent = int(generator.integers(0, min(3, len(self.parts))))
            one = Part(
                parent, float(generator.choice([0.0, 0.25, 0.6, 0.8, 1.0])), generator.uniform(0, 1),
                generator.uniform(0.2, 2.4), generator.uniform(0.05, 0.6), generator.uniform(0.25, 0.9),
                generator.uniform(0.06, 0.25), str(generator.choice(SHAPES)), bool(generator.random() < 0.4),
                bool(generator.random() < 0.4),
            )  # fmt: skip
            self.parts.append(one)
            if generator.random() < 0.6:
                self.parts.append(replace(one, aside=-one.aside, angle=-one.angle))
        self.paints = [Paint.any(generator) for _ in range(3)]
        self.paint_of = generator.integers(0, 3, len(self.parts))
        self.eyes = bool(generator.random() < 0.4)
        names, edges = ["start"], []
        self.points: list[tuple[int, str]] = [(0, "start")]
        for index, part in enumerate(self.parts):
            places = ["end", *(("left", "right") if part.marked else ())]
            for place in places:
                edges.append((self._anchor(part), len(names)))
                names.append(f"{place} {index}")
                self.points.append((index, place))
        self.keypoints, self.edges = tuple(names), tuple(edges)

    def _anchor(self, part: Part) -> int:
        """The keypoint that a part hangs on: the end of its parent, or the start."""
        if part.parent < 0 or part.along < 0.5:
            return 0
        return next(
            (
                number
                for number, (index, place) in enumerate(self.points)
                if (index, place) == (part.parent, "end")
            ),
            0,
        )

    def draw(self, generator: np.random.Generator) -> ObjectImage:
        grow = np.exp(generator.normal(0, 0.12, (len(self.parts), 2)))
        axes: list[tuple[np.ndarray, np.ndarray, float]] = []
        outlines = []
        for index, part in enumerate(self.parts):
            length, width = part.length * grow[index, 0], part.width * grow[index, 1]
            if part.parent < 0:
                start, heading = np.zeros(2), part.angle
            else:
                from_start, from_end, from_width = axes[part.parent]
                step = from_end - from_start
                heading = float(np.arctan2(step[1], step[0]))
                side = np.array([-np.sin(heading), np.cos(heading)])
                start = from_start + part.along * step + 0.8 * part.aside * from_width / 2 * side
                heading += part.angle
            heading += generator.normal(0, part.bend)
            direction = np.array([np.cos(heading), np.sin(heading)])
            end = start + length * direction
            axes.append((start, end, width))
            outlines.append(_outline(part.shape, start, end, width))
        everything = np.concatenate(outlines)
        low, high = everything.min(0), everything.max(0)
        scale = 0.96 / float((high - low).max())
        shift = 0.5 - scale * (low + high) / 2

        def placed(points: np.ndarray) -> np.ndarray:
            return points * scale + shift

        drawing = Drawing(light=generator.uniform(0, 2 * np.pi))
        repaint = generator.random() < 0.25
        paints = [Paint.any(generator) if repaint else paint.jittered(generator, 14) for paint in self.paints]
        order = sorted(range(len(self.parts)), key=lambda index: not self.parts[index].behind)
        for index in order:
            drawing.part(generator, placed(outlines[index]), paints[self.paint_of[index]])
        if self.eyes:
            start, end, width = axes[0]
            step = end - start
            side = np.array([-step[1], step[0]]) / np.hypot(*step)
            dark = Paint(np.full(3, 20.0), np.full(3, 20.0), 0, 9, 0)
            for sign in (-1, 1):
                middle = placed((start + 0.85 * step + sign * 0.2 * width * side)[None])[0]
                drawing.part(generator, ellipse(middle, (0.05 * width * scale + 0.008,) * 2), dark)
        keypoints = placed(np.array([self._point(axes, index, place) for index, place in self.points]))
        return ObjectImage(
            drawing.rgba, (keypoints * drawing.side).astype(np.float32), np.ones(len(keypoints), bool)
        )

    def _point(self, axes: list[tuple[np.ndarray, np.ndarray, float]], index: int, place: str) -> np.ndarray:
        start, end, width = axes[index]
        if place == "start":
            return start
        if place == "end":
            return end
        step = end - start
        side = np.array([-step[1], step[0]]) / np.hypot(*step) * width / 2
        return start + 0.5 * step + (side if place == "right" else -side)


def _outline(shape: str, start: np.ndarray, end: np.ndarray, width: float) -> np.ndarray:
    step = end - start
    heading = float(np.arctan2(step[1], step[0]))
    length = float(np.hypot(*step))
    middle = (start + end) / 2
    side = np.array([-step[1], step[0]]) / length * width / 2
    if shape == "limb":
        return limb(start, end, width / 2, width / 3)
    if shape == "ellipse":
        return ellipse(middle, (length / 2, width / 2), heading)
    if shape == "box":
        return ellipse(middle, (length / 2, width / 2), heading, 6)
    if shape == "triangle":
        return np.array([start + side, start - side, end])
    return np.array([start, middle + side, end, middle - side])
