"""Colours of skin, hair and cloth, as linear-ish RGB in 0..1."""

from __future__ import annotations

import numpy as np

_HAIR = np.array(
    [
        [0.05, 0.04, 0.04],
        [0.18, 0.11, 0.07],
        [0.35, 0.22, 0.12],
        [0.65, 0.5, 0.3],
        [0.6, 0.6, 0.6],
        [0.3, 0.1, 0.05],
    ]
)
_LIGHT_SKIN, _DARK_SKIN = np.array([1.0, 0.80, 0.68]), np.array([0.28, 0.17, 0.11])


def skin(generator: np.random.Generator) -> np.ndarray:
    """Anywhere between very light and very dark."""
    share = generator.random()
    return np.clip(
        (_LIGHT_SKIN * (1 - share) + _DARK_SKIN * share) * (1 + 0.06 * generator.normal(size=3)), 0.03, 1
    )


def hair(generator: np.random.Generator) -> np.ndarray:
    return np.clip(_HAIR[generator.integers(len(_HAIR))] * generator.uniform(0.6, 1.25), 0, 1)


def cloth(generator: np.random.Generator) -> np.ndarray:
    """Half of clothes are grey, black, white or nearly so; denim blue is common; the rest is anything."""
    draw = generator.random()
    if draw < 0.45:
        colour = np.full(3, generator.random() ** 1.3) * (1 + 0.12 * generator.normal(size=3))
    elif draw < 0.6:
        colour = np.array([0.16, 0.22, 0.36]) * generator.uniform(0.4, 1.9)
    else:
        colour = generator.random(3)
    return np.clip(colour, 0.02, 1)


def pattern(generator: np.random.Generator, points: np.ndarray) -> np.ndarray:
    """A cloth over the rest body's `points` [V, 3]: plain, striped, checked, blotched or of two halves ->
    colours [V, 3].
    """
    first = cloth(generator)
    plain = np.repeat(first[None], len(points), 0)
    kind = generator.random()
    if kind < 0.55:
        return plain
    second = cloth(generator)
    if kind < 0.75:
        along = (
            np.array([*generator.normal(0, 0.3, 2), 1.0])
            if generator.random() < 0.6
            else generator.normal(size=3)
        )
        mask = np.sin(points @ along * generator.uniform(30, 160)) > generator.uniform(-0.5, 0.5)
    elif kind < 0.84:
        rate = generator.uniform(30, 90)
        mask = np.sin(points[:, 0] * rate) * np.sin(points[:, 2] * rate) > 0
    elif kind < 0.93:
        waves = sum(
            np.sin(points @ (generator.normal(size=3) * generator.uniform(10, 45)) + generator.uniform(0, 6))
            for _ in range(5)
        )
        mask = waves > 0
    else:
        mask = points[:, 2] > np.quantile(points[:, 2], generator.uniform(0.3, 0.8))
    return np.where(mask[:, None], second[None], plain)
