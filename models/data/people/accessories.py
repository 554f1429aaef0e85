"""Rigid objects that people wear or carry: brims, backpacks, bags, glasses, phones. Each follows one bone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BOX_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ],
    np.int32,
)  # fmt: skip


@dataclass(frozen=True)
class Accessory:
    """`vertices` f32 [v, 3] in the rest frame, `faces` i32 [f, 3], a colour, and the bone that carries it."""

    vertices: np.ndarray
    faces: np.ndarray
    colour: np.ndarray
    bone: str


def box(centre: np.ndarray, size: np.ndarray, colour: np.ndarray, bone: str) -> Accessory:
    """A box; each face gets its own corners so that its edges shade sharply."""
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    vertices = (corners * size + centre)[_BOX_FACES.ravel()]
    return Accessory(
        vertices.astype(np.float32), np.arange(len(vertices), dtype=np.int32).reshape(-1, 3), colour, bone
    )


def disc(centre: np.ndarray, radii: np.ndarray, tilt: float, colour: np.ndarray, bone: str) -> Accessory:
    """A flat ellipse that dips to the front by `tilt` per metre."""
    angles = np.linspace(0, 2 * np.pi, 17)[:-1]
    rim = np.stack(
        [radii[0] * np.cos(angles), radii[1] * np.sin(angles), tilt * radii[1] * np.sin(angles)], 1
    )
    vertices = np.concatenate([np.zeros((1, 3)), rim]) + centre
    faces = [[0, 1 + i, 1 + (i + 1) % 16] for i in range(16)]
    return Accessory(vertices.astype(np.float32), np.array(faces, np.int32), colour, bone)
