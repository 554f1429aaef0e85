"""Objects of a household, drawn: part of the held-out families."""

# Here `point + [dx, dy]` adds vectors.
# ruff: noqa: RUF005

from __future__ import annotations

import numpy as np

from models.data.objects.drawing import Generator, Points, at, vary
from models.data.objects.paint import Drawing, Paint, ellipse, limb


def cup(drawing: Drawing, generator: Generator) -> Points:
    """A body that may widen upwards, a rim, a handle at its right."""
    paint, inside = Paint.any(generator), Paint.any(generator, 1.0)
    top, bottom = vary(generator, 0.25, 0.15), vary(generator, 0.18, 0.2)
    height = vary(generator, 0.5, 0.2)
    left, high = 0.08 + top, 0.5 - height / 2
    base = high + height
    reach, grip = vary(generator, 0.17, 0.2), vary(generator, 0.3, 0.15)
    middle = high + 0.45 * height
    ring = ellipse((left + 0.9 * top, middle), (reach, grip * height), 0, 2.6)
    drawing.line(generator, np.concatenate([ring, ring[:1]]), 0.05, paint)
    body = np.array([(left - top, high), (left + top, high), (left + bottom, base), (left - bottom, base)])
    drawing.part(generator, body, paint)
    drawing.part(generator, ellipse((left, base), (bottom, 0.05)), paint)
    drawing.part(generator, ellipse((left, high), (top, 0.06)), inside)
    return {
        "rim left": at(left - top, high),
        "rim right": at(left + top, high),
        "base left": at(left - bottom, base),
        "base right": at(left + bottom, base),
        "handle top": at(left + 0.95 * top, middle - grip * height * 0.9),
        "handle side": at(left + 0.9 * top + reach, middle),
        "handle bottom": at(left + 0.9 * top, middle + grip * height * 0.95),
    }


def lamp(drawing: Drawing, generator: Generator) -> Points:
    """A base, an arm with a joint, a shade that points somewhere."""
    metal, cloth = Paint.any(generator, 0.9), Paint.any(generator)
    foot = at(0.5, 0.93)
    lower, upper = generator.normal(-0.35, 0.25), generator.normal(0.7, 0.3)
    joint = foot + 0.4 * at(np.sin(lower), -np.cos(lower))
    head = joint + 0.33 * at(np.sin(upper), -np.cos(upper))
    drawing.part(generator, ellipse(foot, (vary(generator, 0.17, 0.2), 0.05)), metal)
    drawing.part(generator, limb(foot, joint, 0.02, 0.02), metal)
    drawing.part(generator, limb(joint, head, 0.02, 0.02), metal)
    drawing.part(generator, ellipse(joint, (0.03, 0.03)), metal)
    turn = upper + generator.normal(1.6, 0.3)
    along, aside = at(np.sin(turn), -np.cos(turn)), at(np.cos(turn), np.sin(turn))
    depth, mouth = vary(generator, 0.2, 0.15), vary(generator, 0.14, 0.15)
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
        vary(generator, 0.42, 0.15),
        generator.uniform(-0.15, 0.15),
        vary(generator, 0.12, 0.2),
    )
    legs, back = vary(generator, 0.32, 0.15), vary(generator, 0.4, 0.15)
    front_left = at(0.5 - width / 2, 0.58)
    front_right, deep = front_left + [width, 0], at(slant, -rise)
    back_left, back_right = front_left + deep, front_right + deep
    down, up = at(generator.normal(0, 0.03), legs), at(generator.normal(0, 0.06), -back)
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
    ring, length = vary(generator, 0.13, 0.2), vary(generator, 0.55, 0.12)
    centre = at(0.2, 0.5)
    start, end = centre + [ring, 0], centre + [ring + length, 0]
    outer = ellipse(centre, (ring, vary(generator, ring, 0.15)))
    drawing.line(generator, np.concatenate([outer, outer[:1]]), 0.05, metal)
    drawing.part(generator, limb(start, end, 0.025, 0.025), metal)
    depth, back = vary(generator, 0.1, 0.25), vary(generator, 0.13, 0.2)
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
    pivot, blade, grip = at(0.5, 0.5), vary(generator, 0.42, 0.1), vary(generator, 0.26, 0.12)
    points: Points = {"pivot": pivot}
    ring = vary(generator, 0.085, 0.15)
    for name, sign in (("left", -1), ("right", 1)):
        along = at(sign * np.sin(opening), -np.cos(opening))
        tip, end = pivot + blade * along, pivot - grip * along
        aside = 0.03 * at(along[1], -along[0]) * sign
        drawing.part(generator, np.array([pivot - aside, pivot + aside, tip]), steel)
        drawing.part(generator, limb(pivot, end, 0.025, 0.03), plastic)
        centre = end - ring * along
        around = ellipse(centre, (ring, 1.3 * ring), np.arctan2(along[1], along[0]) + np.pi / 2)
        drawing.line(generator, np.concatenate([around, around[:1]]), 0.035, plastic)
        points |= {f"{name} tip": tip, f"{name} handle": end, f"{name} ring end": centre - 1.2 * ring * along}
    drawing.part(generator, ellipse(pivot, (0.025, 0.025)), steel)
    return points


def guitar(drawing: Drawing, generator: Generator) -> Points:
    """Two bouts with a waist, a hole, a bridge, a neck, a head."""
    wood, neck, dark = Paint.any(generator), Paint.any(generator, 0.9), Paint.any(generator, 1.0)
    lower, upper = vary(generator, 0.2, 0.12), vary(generator, 0.14, 0.12)
    bottom = at(0.24, 0.5)
    top, neck_end = bottom + [0.24, 0], bottom + [vary(generator, 0.58, 0.06), 0]
    drawing.part(generator, ellipse(bottom, (lower * 0.9, lower)), wood)
    drawing.part(generator, ellipse(top, (upper, upper)), wood)
    hole, bridge = bottom + [0.16, 0], bottom - [0.03, 0]
    drawing.part(generator, ellipse(hole, (0.055, 0.055)), dark)
    drawing.part(generator, limb(top, neck_end, 0.025, 0.02), neck)
    head_end = neck_end + [vary(generator, 0.13, 0.15), 0]
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
    width, height = vary(generator, 0.44, 0.08), vary(generator, 0.32, 0.15)
    top, rim = 0.1, 0.1 + height
    end = at(0.5, rim + vary(generator, 0.42, 0.08))
    hook = generator.choice([-1, 1]) * vary(generator, 0.06, 0.2)
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
        "tip": at(0.5, top),
        "left": at(0.5 - width, rim),
        "right": at(0.5 + width, rim),
        "stick": at(0.5, rim),
        "bend": end,
        "hook": curve[-1],
    }


def bottle(drawing: Drawing, generator: Generator) -> Points:
    """A body, shoulders, a neck, a cap, a label."""
    glass, cap, label = Paint.any(generator), Paint.any(generator, 1.0), Paint.any(generator, 0.3)
    width, neck = vary(generator, 0.14, 0.2), vary(generator, 0.05, 0.2)
    shoulder, mouth, base = generator.uniform(0.3, 0.48), 0.12, 0.94
    throat = shoulder - vary(generator, 0.1, 0.3)
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
        "cap": at(0.5, mouth - 0.03),
        "throat": at(0.5, throat),
        "shoulder left": at(0.5 - width, shoulder),
        "shoulder right": at(0.5 + width, shoulder),
        "label": at(0.5, middle),
        "base left": at(0.5 - width, base),
        "base right": at(0.5 + width, base),
    }


def hammer(drawing: Drawing, generator: Generator) -> Points:
    """A handle, a head with a face and a claw that bends."""
    wood, steel = Paint.any(generator), Paint.any(generator, 0.8)
    top, end = at(0.5, 0.2), at(0.5 + generator.normal(0, 0.03), 0.94)
    face_side, claw_side = vary(generator, 0.2, 0.12), vary(generator, 0.24, 0.12)
    face, claw = top - [face_side, 0], top + [claw_side, vary(generator, 0.1, 0.4)]
    drawing.part(generator, limb(top, end, 0.03, vary(generator, 0.04, 0.2)), wood)
    drawing.part(generator, limb(top, face, 0.05, 0.045), steel)
    drawing.part(generator, ellipse(face, (0.03, vary(generator, 0.075, 0.15)), 0, 6), steel)
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
