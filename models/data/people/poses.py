"""Poses drawn from joint-angle priors: how people stand, walk, sit, crouch, reach and fall about.

Rotations act in the rest frame's axes (x left, y back, z up), bone by bone along the tree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.data.people.bodies import BodyLibrary
from models.data.people.rotations import X, Y, Z, about, bend_to_reach, turning, unit

SIDES = (("Left", 1.0), ("Right", -1.0))

KINDS = {
    "stand": 0.24, "walk": 0.15, "run": 0.07, "sit": 0.19, "squat": 0.05, "kneel": 0.04, "bend": 0.05,
    "reach": 0.06, "wild": 0.10, "lie": 0.03, "sit-floor": 0.02,
}  # fmt: skip
CLOSE_KINDS = {"stand": 0.5, "sit": 0.42, "bend": 0.08}
"""Kinds of pose, and how often each is drawn; the second for people who fill the image."""

ARMS = {
    "hang": 0.32, "front": 0.14, "hip": 0.07, "crossed": 0.06, "face": 0.08, "low": 0.07, "behind": 0.03,
    "overhead": 0.06, "side": 0.05, "free": 0.12,
}  # fmt: skip
DESK_ARMS = {
    "front": 0.36,
    "lap": 0.24,
    "face": 0.14,
    "crossed": 0.06,
    "hang": 0.10,
    "free": 0.05,
    "overhead": 0.05,
}


@dataclass(frozen=True)
class Pose:
    """`rotations` [B, 3, 3] of every bone, and the kind it was drawn as."""

    rotations: np.ndarray
    kind: str


def _choose(generator: np.random.Generator, table: dict[str, float]) -> str:
    shares = np.array(list(table.values()))
    return str(generator.choice(list(table), p=shares / shares.sum()))


def sample_pose(
    generator: np.random.Generator, library: BodyLibrary, heads: np.ndarray, close: bool = False
) -> Pose:
    """A pose for the body whose bone origins are `heads` [B, 3]; `close` draws what people do in front of a
    camera.
    """
    kind = _choose(generator, CLOSE_KINDS if close else KINDS)
    rotations = np.repeat(np.eye(3)[None], len(library.bones), 0)
    stride = generator.normal(0, 22 if kind == "walk" else 38)
    _bend_trunk(generator, library, rotations, kind)
    one_kneels = generator.random() < 0.6
    for name, sign in SIDES:
        _place_leg(generator, library, rotations, kind, name, sign, stride, one_kneels)
    arms = DESK_ARMS if (kind == "sit" or (close and generator.random() < 0.5)) else ARMS
    shared = _choose(generator, arms)
    for name, sign in SIDES:
        # Both arms often do the same.
        mode = shared if generator.random() < 0.55 else _choose(generator, arms)
        if kind in ("run", "walk") and generator.random() < 0.7:
            mode = "swing"
        elif kind in ("reach", "wild") and generator.random() < 0.55:
            mode = "free" if generator.random() < 0.7 else "overhead"
        _place_arm(
            generator, library, rotations, heads, mode, name, sign, stride if kind == "walk" else stride * 1.2
        )
        _curl_fingers(generator, library, rotations, name, sign)
    return Pose(rotations, kind)


def _bend_trunk(
    generator: np.random.Generator, library: BodyLibrary, rotations: np.ndarray, kind: str
) -> None:
    normal = generator.normal
    forward = {
        "sit": normal(12, 14), "squat": normal(25, 14), "bend": generator.uniform(30, 100),
        "run": normal(14, 8), "wild": generator.uniform(-25, 70), "kneel": normal(15, 20),
        "sit-floor": normal(5, 15),
    }.get(kind, normal(4, 8))  # fmt: skip
    twist, lean = (14, 9) if kind in ("wild", "reach") else (7, 5)
    for bone in ("Spine", "Spine1", "Spine2"):
        turn = about(Z, normal(0, twist)) @ about(Y, normal(0, lean)) @ about(X, forward / 3)
        rotations[library.bone(bone)] = turn
    # The head stays level more than the trunk does.
    lift = -0.35 * max(0.0, forward - 15)
    rotations[library.bone("Neck")] = about(Z, normal(0, 15)) @ about(X, normal(0, 8) + lift / 2)
    look_down = normal(3, 12) + (18 if generator.random() < 0.12 else 0)
    rotations[library.bone("Head")] = (
        about(Z, normal(0, 20)) @ about(Y, normal(0, 8)) @ about(X, look_down + lift / 2)
    )


def _place_leg(
    generator: np.random.Generator,
    library: BodyLibrary,
    rotations: np.ndarray,
    kind: str,
    name: str,
    sign: float,
    stride: float,
    one_kneels: bool,
) -> None:
    normal, uniform = generator.normal, generator.uniform
    swing = stride * sign
    spread, turn, ankle = normal(3, 6), normal(5, 11), normal(0, 9)
    if kind == "walk":
        hip, knee = swing + normal(4, 7), abs(normal(12, 14)) + max(0.0, -swing) * 0.9
    elif kind == "run":
        hip, knee = swing + normal(12, 12), abs(normal(35, 25)) + max(0.0, -swing) * 1.4
    elif kind == "sit":
        hip, knee = normal(82, 12), normal(82, 24)
        spread, turn = normal(6, 10), normal(5, 15)
        if generator.random() < 0.12:
            hip, spread, knee = normal(95, 8), normal(-12, 5), normal(75, 15)
    elif kind == "squat":
        hip, knee, spread = normal(95, 20), normal(115, 22), normal(12, 12)
    elif kind == "kneel":
        if one_kneels and sign > 0:
            hip, knee = normal(85, 12), normal(88, 14)
        else:
            hip, knee, ankle = normal(5, 14), normal(105, 18), normal(-40, 10)
    elif kind == "sit-floor":
        hip, knee = normal(90, 14), uniform(0, 110)
        spread, turn = normal(15, 14), normal(20, 20)
    elif kind == "lie":
        hip, knee = normal(15, 25), abs(normal(15, 30))
    elif kind == "wild":
        hip, knee, spread = uniform(-30, 105), uniform(0, 115), uniform(-8, 50)
    elif kind == "bend":
        hip, knee = normal(25, 20), abs(normal(12, 18))
    else:
        hip, knee = normal(2, 7), abs(normal(3, 7))
        if generator.random() < 0.2:
            hip, knee, spread = (
                hip + abs(normal(8, 8)),
                knee + abs(normal(15, 12)),
                spread + abs(normal(5, 5)),
            )
    hinge = about(Z, sign * turn) @ about(Y, -sign * (spread - 6)) @ about(X, -hip)
    rotations[library.bone(f"{name}UpLeg")] = hinge
    rotations[library.bone(f"{name}Leg")] = about(X, min(max(0.0, knee), 150))
    rotations[library.bone(f"{name}Foot")] = about(X, ankle)


def _place_arm(
    generator: np.random.Generator,
    library: BodyLibrary,
    rotations: np.ndarray,
    heads: np.ndarray,
    mode: str,
    name: str,
    sign: float,
    stride: float,
) -> None:
    """Turn upper arm, forearm and hand; the modes that touch something bring the wrist to it."""
    normal, uniform = generator.normal, generator.uniform
    shoulder, elbow, wrist = (heads[library.bone(f"{name}{part}")] for part in ("Arm", "ForeArm", "Hand"))
    hip, skull = heads[library.bone(f"{name}UpLeg")], heads[library.bone("Head")]
    upper, lower = float(np.linalg.norm(elbow - shoulder)), float(np.linalg.norm(wrist - elbow))
    reach = upper + lower

    def aim(target: list[float], pole: list[float], blur: float) -> tuple[np.ndarray, np.ndarray]:
        wobble = generator.normal(0, blur, 3) * reach
        return bend_to_reach(
            shoulder, np.array(target) + wobble, upper, lower, np.array(pole) + normal(0, 0.25, 3)
        )

    out = [sign, 0.2, -0.5]
    low = [sign * 0.5, 0.3, -1.0]
    if mode == "hang" or mode == "swing":
        ahead = -sign * stride / 60 if mode == "swing" else normal(0.05, 0.2)
        first = unit(np.array([sign * abs(normal(0.16, 0.13)), -ahead, -1.0]))
        flexion = abs(normal(14, 14)) if mode == "hang" or abs(stride) < 30 else normal(80, 25)
        second = _flex(first, flexion, np.array([-sign * 0.25, -1, 0.0]))
    elif mode == "hip":
        first, second = aim([hip[0] + sign * 0.06, hip[1] - 0.02, hip[2] + 0.13], [sign, 0.5, -0.1], 0.05)
    elif mode == "crossed":
        first, second = aim([-sign * 0.12, shoulder[1] - 0.24, shoulder[2] - 0.24], low, 0.06)
    elif mode == "face":
        first, second = aim([sign * 0.05, skull[1] - 0.14, skull[2] + uniform(-0.05, 0.15)], low, 0.08)
    elif mode == "front":
        height = shoulder[2] - uniform(0.05, 0.42)
        first, second = aim([sign * normal(0.1, 0.1), shoulder[1] - uniform(0.25, 0.5), height], low, 0.08)
    elif mode == "low":
        first, second = aim(
            [sign * normal(0.05, 0.06), hip[1] - uniform(0.12, 0.3), hip[2] + normal(0, 0.08)], out, 0.05
        )
    elif mode == "lap":
        first, second = aim(
            [sign * normal(0.12, 0.06), hip[1] - uniform(0.2, 0.45), hip[2] + uniform(0.05, 0.2)], low, 0.05
        )
    elif mode == "behind":
        first, second = aim([sign * 0.05, hip[1] + 0.18, hip[2] + uniform(0, 0.2)], [sign, 0.8, 0], 0.05)
    elif mode == "overhead":
        top = [sign * normal(0.2, 0.2), skull[1] + normal(-0.1, 0.15), skull[2] + uniform(0.05, 0.5)]
        first, second = aim(top, [sign, -0.2, -0.2], 0.08)
    elif mode == "side":
        first = unit(np.array([sign, normal(0, 0.25), normal(0, 0.3)]))
        second = _flex(first, abs(normal(20, 30)), generator.normal(size=3))
    else:
        direction = unit(np.array([sign * normal(0.5, 0.6), -abs(normal(0.5, 0.6)), normal(0, 0.7)]))
        first, second = aim(list(shoulder + direction * reach * uniform(0.4, 1.0)), out, 0.1)
    turn = turning(elbow - shoulder, first)
    rotations[library.bone(f"{name}Arm")] = turn
    rotations[library.bone(f"{name}ForeArm")] = turning(wrist - elbow, turn.T @ second)
    rotations[library.bone(f"{name}Hand")] = about(generator.normal(size=3), normal(0, 20))
    # A raised arm lifts the shoulder.
    lift = max(0.0, float(first[2])) * 22
    rotations[library.bone(f"{name}Shoulder")] = about(Y, -sign * lift)
    rotations[library.bone(f"{name}Arm")] = about(Y, sign * lift) @ turn


def _flex(upper: np.ndarray, degrees: float, towards: np.ndarray) -> np.ndarray:
    """The forearm's direction when the elbow bends by `degrees` towards a direction."""
    side = unit(towards - (towards @ upper) * upper)
    return np.cos(np.deg2rad(degrees)) * upper + np.sin(np.deg2rad(degrees)) * side


def _curl_fingers(
    generator: np.random.Generator, library: BodyLibrary, rotations: np.ndarray, name: str, sign: float
) -> None:
    for finger in ("Index", "Middle", "Ring", "Pinky"):
        curl = generator.uniform(0, 40)
        for joint in "123":
            bone = f"{name}Hand{finger}{joint}"
            if bone in library.bones:
                rotations[library.bone(bone)] = about(Y, sign * curl)
