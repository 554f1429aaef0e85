"""Fifteen kinds of drawn objects that training never sees: what CapeFormer is measured on.

Each family is a function that draws one of its objects, in other proportions, postures and colours every
time, and says where its keypoints are. Coordinates are 0 to 1, x to the right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.data.objects.drawing import Draw, Generator
from models.data.objects.household import bottle, chair, cup, guitar, hammer, key, lamp, scissors, umbrella
from models.data.objects.kind import ObjectImage
from models.data.objects.outdoors import airplane, bicycle, butterfly, car, fish, house
from models.data.objects.paint import Drawing


@dataclass(frozen=True)
class Family:
    """A kind of object."""

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    paint: Draw
    handed: bool

    def draw(self, generator: Generator) -> ObjectImage:
        drawing = Drawing(light=generator.uniform(0, 2 * np.pi))
        points = self.paint(drawing, generator)
        places = np.array([points[name] for name in self.keypoints], np.float32) * drawing.side
        return ObjectImage(drawing.rgba, places.astype(np.float32), np.ones(len(places), bool))


HANDED = ("cup", "key", "fish", "car", "bicycle", "hammer")
"""Their halves differ, and no keypoint is named after a side."""


def _family(name: str, draw: Draw, edges: str) -> Family:
    """`edges` says "a-b, c-d" with names of keypoints."""
    names = tuple(draw(Drawing(), np.random.default_rng(0)))
    pairs = [edge.split("-") for edge in edges.split(", ")]
    return Family(
        name, names, tuple((names.index(a), names.index(b)) for a, b in pairs), draw, name in HANDED
    )


def families() -> list[Family]:
    """All fifteen."""
    return [
        _family(
            "cup",
            cup,
            "rim left-rim right, rim left-base left, rim right-base right, base left-base right, "
            "handle top-handle side, handle side-handle bottom",
        ),
        _family(
            "lamp",
            lamp,
            "foot-joint, joint-head, head-shade left, head-shade right, shade left-shade right, foot "
            "left-foot right",
        ),
        _family(
            "chair",
            chair,
            "seat front left-seat front right, seat back left-seat back right, seat front left-seat "
            "back left, seat front right-seat back right, seat front left-foot front left, seat front "
            "right-foot front right, seat back left-foot back left, seat back right-foot back right, "
            "seat back left-back left, seat back right-back right, back left-back right",
        ),
        _family(
            "key",
            key,
            "ring end-ring, ring-shoulder, shoulder-tip, tip-first tooth",
        ),
        _family(
            "scissors",
            scissors,
            "pivot-left tip, pivot-right tip, pivot-left handle, pivot-right handle, left handle-left "
            "ring end, right handle-right ring end",
        ),
        _family(
            "fish",
            fish,
            "mouth-eye, eye-tail root, tail root-tail top, tail root-tail bottom, back-crest",
        ),
        _family(
            "butterfly",
            butterfly,
            "head-end, head-left feeler, head-right feeler, head-left forewing, head-right forewing, "
            "end-left hindwing, end-right hindwing",
        ),
        _family(
            "house",
            house,
            "base left-base right, base left-eaves left, base right-eaves right, eaves left-ridge, "
            "eaves right-ridge, door top-door bottom",
        ),
        _family(
            "car",
            car,
            "rear wheel-front wheel, rear window-roof rear, roof rear-roof front, roof front-"
            "windscreen, windscreen-lamp, rear window-tail",
        ),
        _family(
            "bicycle",
            bicycle,
            "rear wheel-crank, rear wheel-saddle, crank-saddle, crank-head tube, saddle-head tube, "
            "head tube-front wheel, head tube-handlebar",
        ),
        _family(
            "guitar",
            guitar,
            "tail-bridge, bridge-hole, hole-neck joint, neck joint-nut, nut-head, bout left-bout right",
        ),
        _family(
            "umbrella",
            umbrella,
            "tip-left, tip-right, left-right, tip-stick, stick-bend, bend-hook",
        ),
        _family(
            "bottle",
            bottle,
            "cap-throat, throat-shoulder left, throat-shoulder right, shoulder left-base left, "
            "shoulder right-base right, base left-base right",
        ),
        _family(
            "airplane",
            airplane,
            "nose-tail, nose-left wing, nose-right wing, tail-left tailplane, tail-right tailplane",
        ),
        _family(
            "hammer",
            hammer,
            "face-head, head-bend, bend-claw, head-handle middle, handle middle-handle end",
        ),
    ]
