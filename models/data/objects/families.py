"""Fifteen kinds of drawn things that training never sees: what CapeFormer is measured on.

Each family is a function that draws one of its things, in other proportions, postures and colours every
time, and says where its keypoints are. Coordinates are 0 to 1, x to the right, y down.
"""

# Here `point + [dx, dy]` adds vectors.
# ruff: noqa: RUF005

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.data.objects.paint import Drawing, Paint, ellipse, limb
from models.data.objects.kind import Thing

Generator = np.random.Generator
Points = dict[str, np.ndarray]
Draw = Callable[[Drawing, Generator], Points]


@dataclass(frozen=True)
class Family:
    """A kind of thing."""

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    paint: Draw
    handed: bool

    def draw(self, generator: Generator) -> Thing:
        drawing = Drawing(light=generator.uniform(0, 2 * np.pi))
        points = self.paint(drawing, generator)
        places = np.array([points[name] for name in self.keypoints], np.float32) * drawing.side
        return Thing(drawing.rgba, places.astype(np.float32), np.ones(len(places), bool))


def _around(generator: Generator, value: float, spread: float) -> float:
    return float(value * np.exp(generator.normal(0, spread)))


def _at(*values: float) -> np.ndarray:
    return np.array(values, float)


def cup(drawing: Drawing, generator: Generator) -> Points:
    """A body that may widen upwards, a rim, a handle at its right."""
    paint, inside = Paint.any(generator), Paint.any(generator, 1.0)
    top, bottom = _around(generator, 0.25, 0.15), _around(generator, 0.18, 0.2)
    height = _around(generator, 0.5, 0.2)
    left, high = 0.08 + top, 0.5 - height / 2
    base = high + height
    reach, grip = _around(generator, 0.17, 0.2), _around(generator, 0.3, 0.15)
    middle = high + 0.45 * height
    ring = ellipse((left + 0.9 * top, middle), (reach, grip * height), 0, 2.6)
    drawing.line(generator, np.concatenate([ring, ring[:1]]), 0.05, paint)
    body = np.array([(left - top, high), (left + top, high), (left + bottom, base), (left - bottom, base)])
    drawing.part(generator, body, paint)
    drawing.part(generator, ellipse((left, base), (bottom, 0.05)), paint)
    drawing.part(generator, ellipse((left, high), (top, 0.06)), inside)
    return {
        "rim left": _at(left - top, high),
        "rim right": _at(left + top, high),
        "base left": _at(left - bottom, base),
        "base right": _at(left + bottom, base),
        "handle top": _at(left + 0.95 * top, middle - grip * height * 0.9),
        "handle side": _at(left + 0.9 * top + reach, middle),
        "handle bottom": _at(left + 0.9 * top, middle + grip * height * 0.95),
    }


def lamp(drawing: Drawing, generator: Generator) -> Points:
    """A base, an arm with a joint, a shade that points somewhere."""
    metal, cloth = Paint.any(generator, 0.9), Paint.any(generator)
    foot = _at(0.5, 0.93)
    lower, upper = generator.normal(-0.35, 0.25), generator.normal(0.7, 0.3)
    joint = foot + 0.4 * _at(np.sin(lower), -np.cos(lower))
    head = joint + 0.33 * _at(np.sin(upper), -np.cos(upper))
    drawing.part(generator, ellipse(foot, (_around(generator, 0.17, 0.2), 0.05)), metal)
    drawing.part(generator, limb(foot, joint, 0.02, 0.02), metal)
    drawing.part(generator, limb(joint, head, 0.02, 0.02), metal)
    drawing.part(generator, ellipse(joint, (0.03, 0.03)), metal)
    turn = upper + generator.normal(1.6, 0.3)
    along, aside = _at(np.sin(turn), -np.cos(turn)), _at(np.cos(turn), np.sin(turn))
    depth, mouth = _around(generator, 0.2, 0.15), _around(generator, 0.14, 0.15)
    left, right = head + depth * along - mouth * aside, head + depth * along + mouth * aside
    drawing.part(generator, np.array([head - 0.05 * aside, head + 0.05 * aside, right, left]), cloth)
    return {
        "foot": foot,
        "joint": joint,
        "head": head,
        "shade left": left,
        "shade right": right,
        "foot left": foot + [-0.15, 0],
        "foot right": foot + [0.15, 0],
    }


def chair(drawing: Drawing, generator: Generator) -> Points:
    """A seat seen at a slant, four legs, a back."""
    wood, seat = Paint.any(generator), Paint.any(generator)
    width, slant, rise = (
        _around(generator, 0.42, 0.15),
        generator.uniform(-0.15, 0.15),
        _around(generator, 0.12, 0.2),
    )
    legs, back = _around(generator, 0.32, 0.15), _around(generator, 0.4, 0.15)
    front_left = _at(0.5 - width / 2, 0.58)
    front_right, deep = front_left + [width, 0], _at(slant, -rise)
    back_left, back_right = front_left + deep, front_right + deep
    down, up = _at(generator.normal(0, 0.03), legs), _at(generator.normal(0, 0.06), -back)
    for corner in (back_left, back_right, front_left, front_right):
        drawing.part(generator, limb(corner, corner + down, 0.022, 0.016), wood)
    for corner in (back_left, back_right):
        drawing.part(generator, limb(corner, corner + up, 0.022, 0.018), wood)
    for part in np.linspace(0.35, 1, int(generator.integers(2, 5))):
        drawing.part(generator, limb(back_left + part * up, back_right + part * up, 0.025, 0.025), wood)
    drawing.part(generator, np.array([front_left, front_right, back_right, back_left]), seat)
    return {
        "seat front left": front_left,
        "seat front right": front_right,
        "seat back left": back_left,
        "seat back right": back_right,
        "foot front left": front_left + down,
        "foot front right": front_right + down,
        "foot back left": back_left + down,
        "foot back right": back_right + down,
        "back left": back_left + up,
        "back right": back_right + up,
    }


def key(drawing: Drawing, generator: Generator) -> Points:
    """A ring, a shaft, teeth at its end."""
    metal = Paint.any(generator, 0.8)
    ring, length = _around(generator, 0.13, 0.2), _around(generator, 0.55, 0.12)
    centre = _at(0.2, 0.5)
    start, end = centre + [ring, 0], centre + [ring + length, 0]
    outer = ellipse(centre, (ring, _around(generator, ring, 0.15)))
    drawing.line(generator, np.concatenate([outer, outer[:1]]), 0.05, metal)
    drawing.part(generator, limb(start, end, 0.025, 0.025), metal)
    depth, back = _around(generator, 0.1, 0.25), _around(generator, 0.13, 0.2)
    teeth = []
    for place in (end, end - [back, 0]):
        drawing.part(generator, limb(place, place + [0, depth], 0.022, 0.02), metal)
        teeth.append(place + [0, depth])
    return {
        "ring end": centre - [ring, 0],
        "ring": centre,
        "shoulder": start,
        "tip": end,
        "first tooth": teeth[0],
        "second tooth": teeth[1],
    }


def scissors(drawing: Drawing, generator: Generator) -> Points:
    """Two blades that cross, rings at their ends, more or less open."""
    steel, plastic = Paint.any(generator, 0.9), Paint.any(generator)
    opening = generator.uniform(0.1, 0.55)
    pivot, blade, grip = _at(0.5, 0.5), _around(generator, 0.42, 0.1), _around(generator, 0.26, 0.12)
    points: Points = {"pivot": pivot}
    ring = _around(generator, 0.085, 0.15)
    for name, sign in (("left", -1), ("right", 1)):
        along = _at(sign * np.sin(opening), -np.cos(opening))
        tip, end = pivot + blade * along, pivot - grip * along
        aside = 0.03 * _at(along[1], -along[0]) * sign
        drawing.part(generator, np.array([pivot - aside, pivot + aside, tip]), steel)
        drawing.part(generator, limb(pivot, end, 0.025, 0.03), plastic)
        centre = end - ring * along
        around = ellipse(centre, (ring, 1.3 * ring), np.arctan2(along[1], along[0]) + np.pi / 2)
        drawing.line(generator, np.concatenate([around, around[:1]]), 0.035, plastic)
        points |= {f"{name} tip": tip, f"{name} handle": end, f"{name} ring end": centre - 1.2 * ring * along}
    drawing.part(generator, ellipse(pivot, (0.025, 0.025)), steel)
    return points


def fish(drawing: Drawing, generator: Generator) -> Points:
    """A body that bends, a tail, fins, an eye."""
    skin, fin = Paint.any(generator, 0.3), Paint.any(generator)
    bend, thick, long = (
        generator.normal(0, 0.5),
        _around(generator, 0.15, 0.2),
        _around(generator, 0.62, 0.08),
    )
    part = np.linspace(0, 1, 24)
    spine = np.column_stack([0.1 + long * part, 0.5 + 0.25 * bend * (part - 0.3) ** 2])
    width = thick * np.sin(np.pi * np.clip(part * 0.92 + 0.06, 0, 1)) ** 0.7
    normal = np.column_stack([-np.gradient(spine[:, 1]), np.gradient(spine[:, 0])])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    upper, lower = spine - normal * width[:, None], spine + normal * width[:, None]
    end, way = spine[-1], spine[-1] - spine[-3]
    way, aside = way / np.linalg.norm(way), normal[-1]
    spread, reach = _around(generator, 0.15, 0.2), _around(generator, 0.2, 0.2)
    tail_top, tail_bottom = end + reach * way - spread * aside, end + reach * way + spread * aside
    drawing.part(generator, np.array([end - 0.02 * way, tail_top, end + 0.6 * reach * way, tail_bottom]), fin)
    crest = upper[11] - _around(generator, 0.13, 0.25) * normal[11] + 0.06 * way
    drawing.part(generator, np.array([upper[6], crest, upper[16]]), fin)
    drawing.part(generator, np.concatenate([upper, lower[::-1]]), skin)
    belly = lower[9] + _around(generator, 0.08, 0.25) * normal[9] + 0.05 * way
    drawing.part(generator, np.array([lower[8], belly, lower[12]]), fin)
    eye = spine[4] - 0.3 * width[4] * normal[4]
    drawing.part(generator, ellipse(eye, (0.025, 0.025)), Paint(np.full(3, 240.0), np.full(3, 0.0), 0, 9, 0))
    drawing.part(generator, ellipse(eye, (0.012, 0.012)), Paint(np.full(3, 10.0), np.full(3, 0.0), 0, 9, 0))
    return {
        "mouth": spine[0],
        "eye": eye,
        "back": upper[11],
        "crest": crest,
        "belly fin": belly,
        "tail root": end,
        "tail top": tail_top,
        "tail bottom": tail_bottom,
    }


def butterfly(drawing: Drawing, generator: Generator) -> Points:
    """Two pairs of wings, more or less open, a body, feelers."""
    upper, lower, dark = Paint.any(generator, 0.3), Paint.any(generator, 0.3), Paint.any(generator, 1.0)
    fold, wing, hind = (
        generator.uniform(0.55, 1),
        _around(generator, 0.36, 0.1),
        _around(generator, 0.26, 0.12),
    )
    head, end = _at(0.5, 0.33), _at(0.5, 0.7)
    points: Points = {"head": head, "end": end}
    rise, drop = generator.normal(-0.75, 0.15), generator.normal(0.75, 0.15)
    for name, sign in (("left", -1), ("right", 1)):
        for place, paint, angle, length, root in (
            ("hind", lower, drop, hind, 0.55),
            ("fore", upper, rise, wing, 0.45),
        ):
            start = _at(0.5, root)
            along = _at(sign * np.cos(angle) * fold, np.sin(angle))
            heading = float(np.arctan2(along[1], along[0]))
            stretch = length * float(np.hypot(*along))
            drawing.part(
                generator,
                ellipse(start + 0.55 * length * along, (0.55 * stretch, 0.3 * length), heading, 2.4),
                paint,
            )
            points[f"{name} {place}wing"] = start + 1.05 * length * along
        feeler = head + [sign * _around(generator, 0.1, 0.3), -0.14]
        drawing.line(generator, np.array([head, feeler]), 0.012, dark)
        points[f"{name} feeler"] = feeler
    drawing.part(generator, limb(head, end, 0.03, 0.018), dark)
    return points


def house(drawing: Drawing, generator: Generator) -> Points:
    """Walls, a roof, a door, a window, a chimney."""
    wall, roof, wood, glass = (Paint.any(generator) for _ in range(4))
    width, height, pitch = (_around(generator, value, 0.15) for value in (0.56, 0.36, 0.24))
    left, base = 0.5 - width / 2, 0.92
    eaves = base - height
    over = 0.05
    ridge = _at(0.5 + generator.normal(0, 0.05), eaves - pitch)
    stack = _at(0.5 + generator.choice([-1, 1]) * 0.17 * width / 0.56, 0)
    drawing.part(
        generator,
        np.array(
            [
                (stack[0] - 0.03, eaves),
                (stack[0] + 0.03, eaves),
                (stack[0] + 0.03, ridge[1] - 0.02),
                (stack[0] - 0.03, ridge[1] - 0.02),
            ]
        ),
        wood,
    )
    drawing.part(
        generator, np.array([(left, base), (left + width, base), (left + width, eaves), (left, eaves)]), wall
    )
    drawing.part(generator, np.array([(left - over, eaves), (left + width + over, eaves), ridge]), roof)
    door = left + width * generator.uniform(0.15, 0.35)
    door_width, door_height = 0.22 * width, 0.58 * height
    drawing.part(
        generator,
        np.array(
            [
                (door, base),
                (door + door_width, base),
                (door + door_width, base - door_height),
                (door, base - door_height),
            ]
        ),
        wood,
    )
    window = _at(left + width * generator.uniform(0.68, 0.8), eaves + 0.42 * height)
    size = 0.1 * width
    drawing.part(generator, ellipse(window, (size, size), 0, 12), glass)
    return {
        "base left": _at(left, base),
        "base right": _at(left + width, base),
        "eaves left": _at(left - over, eaves),
        "eaves right": _at(left + width + over, eaves),
        "ridge": ridge,
        "window": window,
        "door top": _at(door + door_width / 2, base - door_height),
        "door bottom": _at(door + door_width / 2, base),
        "chimney": _at(stack[0], ridge[1] - 0.02),
    }


def car(drawing: Drawing, generator: Generator) -> Points:
    """A body seen from the side, a cabin, two wheels, a lamp at its right."""
    body, glass, rubber, hub = (
        Paint.any(generator),
        Paint.any(generator, 1.0),
        Paint.any(generator, 1.0),
        Paint.any(generator, 1.0),
    )
    length, height, wheel = (
        _around(generator, 0.86, 0.05),
        _around(generator, 0.16, 0.2),
        _around(generator, 0.085, 0.12),
    )
    left, base = 0.5 - length / 2, 0.66
    top = base - height
    roof = top - _around(generator, 0.15, 0.2)
    rear, front = left + length * generator.uniform(0.12, 0.3), left + length * generator.uniform(0.66, 0.78)
    roof_rear, roof_front = rear + 0.08, front - 0.12
    cabin = np.array([(rear, top), (roof_rear, roof), (roof_front, roof), (front, top)])
    drawing.part(generator, cabin, body)
    inner = cabin.mean(0) + (cabin - cabin.mean(0)) * [0.84, 0.7]
    drawing.part(generator, inner, glass)
    drawing.part(generator, ellipse((0.5, (top + base) / 2), (length / 2, height / 2), 0, 6), body)
    wheels = []
    for place in (0.2, 0.8):
        centre = _at(left + place * length, base)
        drawing.part(generator, ellipse(centre, (wheel, wheel)), rubber)
        drawing.part(generator, ellipse(centre, (wheel / 2, wheel / 2)), hub)
        wheels.append(centre)
    lamp_place = _at(left + 0.97 * length, top + 0.35 * height)
    drawing.part(generator, ellipse(lamp_place, (0.02, 0.03)), glass)
    return {
        "rear wheel": wheels[0],
        "front wheel": wheels[1],
        "roof rear": cabin[1],
        "roof front": cabin[2],
        "windscreen": cabin[3],
        "rear window": cabin[0],
        "lamp": lamp_place,
        "tail": _at(left, (top + base) / 2),
    }


def bicycle(drawing: Drawing, generator: Generator) -> Points:
    """Two wheels, a frame of tubes, a saddle, a handlebar."""
    frame, rubber, dark = Paint.any(generator, 0.9), Paint.any(generator, 1.0), Paint.any(generator, 1.0)
    wheel, apart = _around(generator, 0.2, 0.1), _around(generator, 0.5, 0.06)
    rear, front = _at(0.5 - apart / 2, 0.68), _at(0.5 + apart / 2, 0.68)
    crank = rear + [0.42 * apart, _around(generator, 0.05, 0.3)]
    saddle = crank + [-0.09, -_around(generator, 0.32, 0.1)]
    head = front + [-0.1, -_around(generator, 0.3, 0.1)]
    bar = head + [generator.uniform(-0.06, 0.07), -0.08]
    for centre in (rear, front):
        ring = ellipse(centre, (wheel, wheel))
        drawing.line(generator, np.concatenate([ring, ring[:1]]), 0.028, rubber)
        drawing.part(generator, ellipse(centre, (0.018, 0.018)), dark)
    for start, end in (
        (rear, crank),
        (rear, saddle),
        (crank, saddle),
        (crank, head),
        (saddle, head),
        (head, front),
        (head, bar),
    ):
        drawing.line(generator, np.array([start, end]), 0.024, frame)
    drawing.part(generator, limb(saddle + [-0.07, -0.01], saddle + [0.05, -0.01], 0.025, 0.015), dark)
    drawing.part(generator, ellipse(crank, (0.035, 0.035)), dark)
    drawing.line(generator, np.array([bar, bar + [0.07, 0.02]]), 0.03, dark)
    return {
        "rear wheel": rear,
        "front wheel": front,
        "crank": crank,
        "saddle": saddle,
        "head tube": head,
        "handlebar": bar,
    }


def guitar(drawing: Drawing, generator: Generator) -> Points:
    """Two bouts with a waist, a hole, a bridge, a neck, a head."""
    wood, neck, dark = Paint.any(generator), Paint.any(generator, 0.9), Paint.any(generator, 1.0)
    lower, upper = _around(generator, 0.2, 0.12), _around(generator, 0.14, 0.12)
    bottom = _at(0.24, 0.5)
    top, neck_end = bottom + [0.24, 0], bottom + [_around(generator, 0.58, 0.06), 0]
    drawing.part(generator, ellipse(bottom, (lower * 0.9, lower)), wood)
    drawing.part(generator, ellipse(top, (upper, upper)), wood)
    hole, bridge = bottom + [0.16, 0], bottom - [0.03, 0]
    drawing.part(generator, ellipse(hole, (0.055, 0.055)), dark)
    drawing.part(generator, limb(top, neck_end, 0.025, 0.02), neck)
    head_end = neck_end + [_around(generator, 0.13, 0.15), 0]
    drawing.part(generator, limb(neck_end, head_end, 0.045, 0.03), neck)
    drawing.part(generator, limb(bridge - [0, 0.07], bridge + [0, 0.07], 0.015, 0.015), dark)
    return {
        "tail": bottom - [lower * 0.9, 0],
        "bridge": bridge,
        "hole": hole,
        "neck joint": top + [upper, 0],
        "nut": neck_end,
        "head": head_end,
        "bout left": bottom + [0, lower],
        "bout right": bottom - [0, lower],
    }


def umbrella(drawing: Drawing, generator: Generator) -> Points:
    """A canopy with scallops, a stick, a hook."""
    cloth, stick = Paint.any(generator, 0.3), Paint.any(generator, 1.0)
    width, height = _around(generator, 0.44, 0.08), _around(generator, 0.32, 0.15)
    top, rim = 0.1, 0.1 + height
    end = _at(0.5, rim + _around(generator, 0.42, 0.08))
    hook = generator.choice([-1, 1]) * _around(generator, 0.06, 0.2)
    turn = np.linspace(0, np.pi, 14)
    curve = np.column_stack([end[0] + hook * (1 - np.cos(turn)), end[1] + 0.06 * np.sin(turn)])
    drawing.line(generator, np.concatenate([[(0.5, top)], curve]), 0.022, stick)
    arc = np.linspace(np.pi, 0, 20)
    dome = np.column_stack([0.5 + width * np.cos(arc), rim - height * np.sin(arc)])
    scallops = []
    for first in np.linspace(0.5 + width, 0.5 - width, 5)[:-1]:
        along = np.linspace(0, np.pi, 7)
        scallops.append(
            np.column_stack([first - width / 4 * (1 - np.cos(along)), rim - 0.045 * np.sin(along)])
        )
    drawing.part(generator, np.concatenate([dome, *scallops]), cloth)
    return {
        "tip": _at(0.5, top),
        "left": _at(0.5 - width, rim),
        "right": _at(0.5 + width, rim),
        "stick": _at(0.5, rim),
        "bend": end,
        "hook": curve[-1],
    }


def bottle(drawing: Drawing, generator: Generator) -> Points:
    """A body, shoulders, a neck, a cap, a label."""
    glass, cap, label = Paint.any(generator), Paint.any(generator, 1.0), Paint.any(generator, 0.3)
    width, neck = _around(generator, 0.14, 0.2), _around(generator, 0.05, 0.2)
    shoulder, mouth, base = generator.uniform(0.3, 0.48), 0.12, 0.94
    throat = shoulder - _around(generator, 0.1, 0.3)
    outline = np.array(
        [
            (0.5 - width, base),
            (0.5 + width, base),
            (0.5 + width, shoulder),
            (0.5 + neck, throat),
            (0.5 + neck, mouth),
            (0.5 - neck, mouth),
            (0.5 - neck, throat),
            (0.5 - width, shoulder),
        ]
    )
    drawing.part(generator, outline, glass)
    drawing.part(generator, ellipse((0.5, mouth), (neck * 1.2, 0.04), 0, 8), cap)
    middle = generator.uniform(0.62, 0.72)
    drawing.part(generator, ellipse((0.5, middle), (width, 0.11), 0, 14), label)
    return {
        "cap": _at(0.5, mouth - 0.03),
        "throat": _at(0.5, throat),
        "shoulder left": _at(0.5 - width, shoulder),
        "shoulder right": _at(0.5 + width, shoulder),
        "label": _at(0.5, middle),
        "base left": _at(0.5 - width, base),
        "base right": _at(0.5 + width, base),
    }


def airplane(drawing: Drawing, generator: Generator) -> Points:
    """From above: a hull, swept wings, engines, a tail."""
    hull, wing, dark = Paint.any(generator), Paint.any(generator), Paint.any(generator, 1.0)
    thick, sweep, span = (
        _around(generator, 0.055, 0.15),
        _around(generator, 0.22, 0.25),
        _around(generator, 0.42, 0.08),
    )
    nose, tail, root = _at(0.5, 0.06), _at(0.5, 0.92), _at(0.5, generator.uniform(0.36, 0.46))
    points: Points = {"nose": nose, "tail": tail}
    for name, sign in (("left", -1), ("right", 1)):
        tip = root + [sign * span, sweep]
        drawing.part(generator, np.array([root, tip, tip + [0, 0.06], root + [0, 0.17]]), wing)
        engine = root + [sign * 0.45 * span, 0.45 * sweep]
        drawing.part(generator, limb(engine - [0, 0.03], engine + [0, 0.06], 0.025, 0.02), dark)
        small = tail + [sign * _around(generator, 0.15, 0.15), 0.02]
        drawing.part(
            generator, np.array([tail - [0, 0.12], small, small + [0, 0.04], tail - [0, 0.02]]), wing
        )
        points |= {f"{name} wing": tip, f"{name} engine": engine, f"{name} tailplane": small}
    drawing.part(generator, ellipse((nose + tail) / 2, (thick, 0.43), 0, 2.6), hull)
    return points


def hammer(drawing: Drawing, generator: Generator) -> Points:
    """A handle, a head with a face and a claw that bends."""
    wood, steel = Paint.any(generator), Paint.any(generator, 0.8)
    top, end = _at(0.5, 0.2), _at(0.5 + generator.normal(0, 0.03), 0.94)
    face_side, claw_side = _around(generator, 0.2, 0.12), _around(generator, 0.24, 0.12)
    face, claw = top - [face_side, 0], top + [claw_side, _around(generator, 0.1, 0.4)]
    drawing.part(generator, limb(top, end, 0.03, _around(generator, 0.04, 0.2)), wood)
    drawing.part(generator, limb(top, face, 0.05, 0.045), steel)
    drawing.part(generator, ellipse(face, (0.03, _around(generator, 0.075, 0.15)), 0, 6), steel)
    bend = top + [0.6 * claw_side, 0.0]
    drawing.part(generator, limb(top, bend, 0.045, 0.03), steel)
    drawing.part(generator, limb(bend, claw, 0.03, 0.01), steel)
    return {
        "face": face,
        "head": top,
        "claw": claw,
        "bend": bend,
        "handle end": end,
        "handle middle": (top + end) / 2,
    }


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
