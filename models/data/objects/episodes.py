"""Images of one object each, and episodes: several of one kind, to show keypoints and to find them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.data.objects.kind import Kind, viewed
from models.data.people import photometry
from models.data.people.canvas import CLUTTER, Canvas

ORDERED = 0.75
"""Chance that the keypoints of an episode come in the order of their kind: it is what identifiers tell."""
OBJECT = 0
"""Owner of the object's pixels."""


@dataclass(frozen=True)
class Shot:
    """`image` u8 [side, side, 3] is the crop; `keypoints` f32 [K, 2] its pixels; `visible` bool [K]; `box` is
    `(x, y, width, height)` around the object, which may reach beyond the image."""

    image: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Style:
    """How images are composed; the defaults are for training."""

    side: int = 256
    margin: float = 1.25
    """Of the crop around the keypoints and the outline, as the runtime lays it."""
    loose: float = 0.12
    """How far the box may be off, in parts of its size."""
    distant: float = 0.0
    """Chance that an object fills only a part of the crop, anywhere in it, as in an image taken whole."""
    turn: float = 1.2
    """Radians that an object is turned by, mostly."""
    tilt: float = 0.12
    mirrored: float = 0.25
    """Chance that an object of a handed kind is mirrored."""
    clutter: int = 4
    """Most objects in front."""


Background = Callable[[np.random.Generator, int], np.ndarray]
"""f32 [side, side, 3]"""
Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def compose(
    kind: Kind,
    generator: np.random.Generator,
    background: Background,
    style: Style,
    degrade: Degrade = photometry.degrade,
) -> Shot:
    """One of the kind somewhere before a background, with a little in front of it, cut out around it."""
    side = style.side
    obj = kind.draw(generator).trimmed()
    if kind.handed and generator.random() < style.mirrored:
        obj = obj.mirrored()
    size = side / style.margin * np.exp(generator.normal(0, style.loose / 2))
    is_distant = style.distant > 0 and generator.random() < style.distant
    if is_distant:
        size *= generator.uniform(0.35, 0.9)
    seen = viewed(obj, generator, size, style.turn, style.tilt).trimmed()
    # The crop is around the object's longer side after it was turned.
    seen = seen.warped(np.diag([size / max(seen.rgba.shape[:2])] * 2 + [1.0]))
    height, width = seen.rgba.shape[:2]
    canvas = Canvas(background(generator, side))
    shift = generator.normal(0, style.loose / 3, 2) * size
    if is_distant:
        shift = generator.uniform(-0.5, 0.5, 2) * (side - np.array([width, height]))
    left, top = (
        round((side - length) / 2 + move) for length, move in ((width, shift[0]), (height, shift[1]))
    )
    canvas.paste(seen.rgba, left, top, generator.uniform(0.7, 1.15), OBJECT)
    _occlude(canvas, generator, background, style)
    keypoints = seen.keypoints + np.array([left, top])
    inside = ((keypoints >= 0) & (keypoints < side)).all(1)
    visible = seen.visible & inside
    column, row = (np.clip(keypoints[:, axis].round().astype(int), 0, side - 1) for axis in (0, 1))
    visible &= canvas.owner[row, column] != CLUTTER
    image = degrade(canvas.colour, generator)
    return Shot(image, keypoints.astype(np.float32), visible, (left, top, width, height))


def _occlude(canvas: Canvas, generator: np.random.Generator, background: Background, style: Style) -> None:
    """Pieces of other images in front: bars and blots."""
    if style.clutter == 0 or generator.random() < 0.5:
        return
    side = canvas.side
    for _ in range(int(generator.integers(1, style.clutter + 1))):
        width, height = generator.uniform(0.05, 0.28, 2) * side
        middle = generator.uniform(0, side, 2)
        x, y = np.round(middle - [width / 2, height / 2]).astype(int)
        patch = background(generator, side)[: max(2, round(height)), : max(2, round(width))]
        rgba = np.dstack([np.clip(patch, 0, 255), np.full(patch.shape[:2], 255, np.float32)])
        if generator.random() < 0.6:
            rows, columns = np.mgrid[-1 : 1 : rgba.shape[0] * 1j, -1 : 1 : rgba.shape[1] * 1j]
            rgba *= ((rows**2 + columns**2) < 1)[..., None]
        canvas.paste(rgba.astype(np.float32), int(x), int(y), 1.0, CLUTTER)


@dataclass(frozen=True)
class Episode:
    """`images` u8 [n, side, side, 3]; `keypoints` f32 [n, K, 2]; `visible` bool [n, K]."""

    images: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray


def episode(
    kind: Kind,
    generator: np.random.Generator,
    background: Background,
    style: Style,
    count: int,
    most_keypoints: int,
) -> Episode:
    """Images of one kind. Of more keypoints than `most_keypoints` some are taken, mostly in the kind's
    order, in which neighbours and pairs stand together as people would click them, sometimes in any."""
    taken = [compose(kind, generator, background, style) for _ in range(count)]
    order = generator.permutation(len(kind.keypoints))[:most_keypoints]
    if generator.random() < ORDERED:
        order.sort()
    return Episode(
        images=np.stack([shot.image for shot in taken]),
        keypoints=np.stack([shot.keypoints[order] for shot in taken]),
        visible=np.stack([shot.visible[order] for shot in taken]),
    )
