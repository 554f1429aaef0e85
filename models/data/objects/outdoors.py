"""Animals, vehicles and a house, drawn: part of the held-out families."""

# Here `point + [dx, dy]` adds vectors.
# ruff: noqa: RUF005

from __future__ import annotations

import numpy as np

from models.data.objects.drawing import Generator, Points, at, vary
from models.data.objects.paint import Drawing, Paint, ellipse, limb


def fish(drawing: Drawing, generator: Generator) -> Points:
    """A body that bends, a tail, fins, an eye."""
    skin, fin = Paint.any(generator, 0.3), Paint.any(generator)
    bend, thick, long = (
        generator.normal(0, 0.5),
        vary(generator, 0.15, 0.2),
        vary(generator, 0.62, 0.08),
    )
    part = np.linspace(0, 1, 24)
    spine = np.column_stack([0.1 + long * part, 0.5 + 0.25 * bend * (part - 0.3) ** 2])
    width = thick * np.sin(np.pi * np.clip(part * 0.92 + 0.06, 0, 1)) ** 0.7
    normal = np.column_stack([-np.gradient(spine[:, 1]), np.gradient(spine[:, 0])])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    upper, lower = spine - normal * width[:, None], spine + normal * width[:, None]
    end, way = spine[-1], spine[-1] - spine[-3]
    way, aside = way / np.linalg.norm(way), normal[-1]
    spread, reach = vary(generator, 0.15, 0.2), vary(generator, 0.2, 0.2)
    tail_top, tail_bottom = end + reach * way - spread * aside, end + reach * way + spread * aside
    drawing.part(generator, np.array([end - 0.02 * way, tail_top, end + 0.6 * reach * way, tail_bottom]), fin)
    crest = upper[11] - vary(generator, 0.13, 0.25) * normal[11] + 0.06 * way
    drawing.part(generator, np.array([upper[6], crest, upper[16]]), fin)
    drawing.part(generator, np.concatenate([upper, lower[::-1]]), skin)
    belly = lower[9] + vary(generator, 0.08, 0.25) * normal[9] + 0.05 * way
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
        vary(generator, 0.36, 0.1),
        vary(generator, 0.26, 0.12),
    )
    head, end = at(0.5, 0.33), at(0.5, 0.7)
    points: Points = {"head": head, "end": end}
    rise, drop = generator.normal(-0.75, 0.15), generator.normal(0.75, 0.15)
    for name, sign in (("left", -1), ("right", 1)):
        for place, paint, angle, length, root in (
            ("hind", lower, drop, hind, 0.55),
            ("fore", upper, rise, wing, 0.45),
        ):
            start = at(0.5, root)
            along = at(sign * np.cos(angle) * fold, np.sin(angle))
            heading = float(np.arctan2(along[1], along[0]))
            stretch = length * float(np.hypot(*along))
            drawing.part(
                generator,
                ellipse(start + 0.55 * length * along, (0.55 * stretch, 0.3 * length), heading, 2.4),
                paint,
            )
            points[f"{name} {place}wing"] = start + 1.05 * length * along
        feeler = head + [sign * vary(generator, 0.1, 0.3), -0.14]
        drawing.line(generator, np.array([head, feeler]), 0.012, dark)
        points[f"{name} feeler"] = feeler
    drawing.part(generator, limb(head, end, 0.03, 0.018), dark)
    return points


def house(drawing: Drawing, generator: Generator) -> Points:
    """Walls, a roof, a door, a window, a chimney."""
    wall, roof, wood, glass = (Paint.any(generator) for _ in range(4))
    width, height, pitch = (vary(generator, value, 0.15) for value in (0.56, 0.36, 0.24))
    left, base = 0.5 - width / 2, 0.92
    eaves = base - height
    over = 0.05
    ridge = at(0.5 + generator.normal(0, 0.05), eaves - pitch)
    stack = at(0.5 + generator.choice([-1, 1]) * 0.17 * width / 0.56, 0)
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
    window = at(left + width * generator.uniform(0.68, 0.8), eaves + 0.42 * height)
    size = 0.1 * width
    drawing.part(generator, ellipse(window, (size, size), 0, 12), glass)
    return {
        "base left": at(left, base),
        "base right": at(left + width, base),
        "eaves left": at(left - over, eaves),
        "eaves right": at(left + width + over, eaves),
        "ridge": ridge,
        "window": window,
        "door top": at(door + door_width / 2, base - door_height),
        "door bottom": at(door + door_width / 2, base),
        "chimney": at(stack[0], ridge[1] - 0.02),
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
        vary(generator, 0.86, 0.05),
        vary(generator, 0.16, 0.2),
        vary(generator, 0.085, 0.12),
    )
    left, base = 0.5 - length / 2, 0.66
    top = base - height
    roof = top - vary(generator, 0.15, 0.2)
    rear, front = left + length * generator.uniform(0.12, 0.3), left + length * generator.uniform(0.66, 0.78)
    roof_rear, roof_front = rear + 0.08, front - 0.12
    cabin = np.array([(rear, top), (roof_rear, roof), (roof_front, roof), (front, top)])
    drawing.part(generator, cabin, body)
    inner = cabin.mean(0) + (cabin - cabin.mean(0)) * [0.84, 0.7]
    drawing.part(generator, inner, glass)
    drawing.part(generator, ellipse((0.5, (top + base) / 2), (length / 2, height / 2), 0, 6), body)
    wheels = []
    for place in (0.2, 0.8):
        centre = at(left + place * length, base)
        drawing.part(generator, ellipse(centre, (wheel, wheel)), rubber)
        drawing.part(generator, ellipse(centre, (wheel / 2, wheel / 2)), hub)
        wheels.append(centre)
    lamp_place = at(left + 0.97 * length, top + 0.35 * height)
    drawing.part(generator, ellipse(lamp_place, (0.02, 0.03)), glass)
    return {
        "rear wheel": wheels[0],
        "front wheel": wheels[1],
        "roof rear": cabin[1],
        "roof front": cabin[2],
        "windscreen": cabin[3],
        "rear window": cabin[0],
        "lamp": lamp_place,
        "tail": at(left, (top + base) / 2),
    }


def bicycle(drawing: Drawing, generator: Generator) -> Points:
    """Two wheels, a frame of tubes, a saddle, a handlebar."""
    frame, rubber, dark = Paint.any(generator, 0.9), Paint.any(generator, 1.0), Paint.any(generator, 1.0)
    wheel, apart = vary(generator, 0.2, 0.1), vary(generator, 0.5, 0.06)
    rear, front = at(0.5 - apart / 2, 0.68), at(0.5 + apart / 2, 0.68)
    crank = rear + [0.42 * apart, vary(generator, 0.05, 0.3)]
    saddle = crank + [-0.09, -vary(generator, 0.32, 0.1)]
    head = front + [-0.1, -vary(generator, 0.3, 0.1)]
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


def airplane(drawing: Drawing, generator: Generator) -> Points:
    """From above: a hull, swept wings, engines, a tail."""
    hull, wing, dark = Paint.any(generator), Paint.any(generator), Paint.any(generator, 1.0)
    thick, sweep, span = (
        vary(generator, 0.055, 0.15),
        vary(generator, 0.22, 0.25),
        vary(generator, 0.42, 0.08),
    )
    nose, tail, root = at(0.5, 0.06), at(0.5, 0.92), at(0.5, generator.uniform(0.36, 0.46))
    points: Points = {"nose": nose, "tail": tail}
    for name, sign in (("left", -1), ("right", 1)):
        tip = root + [sign * span, sweep]
        drawing.part(generator, np.array([root, tip, tip + [0, 0.06], root + [0, 0.17]]), wing)
        engine = root + [sign * 0.45 * span, 0.45 * sweep]
        drawing.part(generator, limb(engine - [0, 0.03], engine + [0, 0.06], 0.025, 0.02), dark)
        small = tail + [sign * vary(generator, 0.15, 0.15), 0.02]
        drawing.part(
            generator, np.array([tail - [0, 0.12], small, small + [0, 0.04], tail - [0, 0.02]]), wing
        )
        points |= {f"{name} wing": tip, f"{name} engine": engine, f"{name} tailplane": small}
    drawing.part(generator, ellipse((nose + tail) / 2, (thick, 0.43), 0, 2.6), hull)
    return points
