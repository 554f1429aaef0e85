"""Backgrounds and objects drawn from nothing, for images that are published: rooms, streets, fields,
textures, furniture.
"""

# Here `point + [dx, dy]` adds vectors.
# ruff: noqa: RUF005

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from models.data.people.canvas import CLUTTER, Canvas


def _muted(generator: np.random.Generator) -> np.ndarray:
    """A colour as walls and furniture have: mostly of low saturation."""
    grey = generator.uniform(30, 235)
    return np.clip(grey + generator.normal(0, 22 if generator.random() < 0.8 else 70, 3), 0, 255)


def smooth_noise(
    generator: np.random.Generator, side: int, cells: int, height: int | None = None
) -> np.ndarray:
    """f32 [height, side], square unless said otherwise, of about unit variance, with `cells` blobs across."""
    coarse = generator.standard_normal((cells + 2, cells + 2)).astype(np.float32)
    return cv2.resize(coarse, (side, height or side), interpolation=cv2.INTER_CUBIC)


def _grain(generator: np.random.Generator, image: np.ndarray, strength: float) -> None:
    """Unevenness at three scales, as real surfaces have it."""
    side = image.shape[0]
    for cells in (4, 16, 64):
        image += (smooth_noise(generator, side, cells) * strength * generator.uniform(0.3, 1))[..., None]


def texture(generator: np.random.Generator, side: int) -> np.ndarray:
    """Plain, wooden, tiled, brick, striped, dotted or cloudy; f32 [side, side, 3]."""
    base, second = _muted(generator), _muted(generator)
    image: np.ndarray = np.empty((side, side, 3), np.float32)
    image[:] = base
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    kind = generator.integers(7)
    period = generator.uniform(10, 60)
    if kind == 1:
        plank = (rows // period).astype(int)
        shade = generator.normal(0, 12, plank.max() + 1)
        image += shade[plank][..., None]
        image += (8 * np.sin(rows * generator.uniform(0.5, 1.5) + 4 * smooth_noise(generator, side, 6)))[
            ..., None
        ]
        image[(rows % period) < 1.5] *= 0.6
    elif kind == 2:
        line = ((rows % period) < 2) | ((columns % (period * generator.uniform(0.8, 1.6))) < 2)
        image[line] = second
    elif kind == 3:
        height = max(6, period / 3)
        course = rows // height
        joint = ((rows % height) < 1.5) | (((columns + (course % 2) * height) % (2 * height)) < 1.5)
        image += (smooth_noise(generator, side, 24) * 12)[..., None]
        image[joint] = second
    elif kind == 4:
        angle = generator.uniform(0, np.pi)
        wave = np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * 2 * np.pi / period)
        image[wave > generator.uniform(-0.5, 0.8)] = second
    elif kind == 5:
        dot = (
            np.hypot(rows % period - period / 2, columns % period - period / 2)
        ) < period * generator.uniform(0.1, 0.35)
        image[dot] = second
    elif kind == 6:
        cloud = np.clip(smooth_noise(generator, side, int(generator.integers(3, 12))) * 0.5 + 0.5, 0, 1)[
            ..., None
        ]
        image = image * (1 - cloud) + second.astype(np.float32) * cloud
    _grain(generator, image, generator.uniform(2, 9))
    return image.astype(np.float32)


def _perspective(generator: np.random.Generator, surface: np.ndarray, horizon: float) -> np.ndarray:
    """A floor seen at a slant: the surface squeezed towards the horizon."""
    side = surface.shape[0]
    spread = generator.uniform(0.2, 0.8) * side
    source = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    target = np.array(
        [
            [-spread * 0.2, horizon],
            [side + spread * 0.2, horizon],
            [side + spread * 2, side],
            [-spread * 2, side],
        ],
        np.float32,
    )
    return cv2.warpPerspective(
        surface, cv2.getPerspectiveTransform(source, target), (side, side), borderMode=cv2.BORDER_REFLECT
    )


def room(generator: np.random.Generator, side: int) -> np.ndarray:
    """A wall and a floor, with windows, paintings, shelves, doors and curtains on the wall."""
    canvas = Canvas(texture(generator, side))
    horizon = side * generator.uniform(0.5, 0.92)
    for _ in range(generator.integers(1, 5)):
        corner = np.array([generator.uniform(-30, side - 20), generator.uniform(-20, horizon - 30)])
        size = generator.uniform(20, 100, 2)
        kind = generator.integers(4)
        if kind == 0:
            canvas.rectangle(corner - 3, size + 6, _muted(generator))
            canvas.rectangle(corner, size, np.array([200, 220, 240]) * generator.uniform(0.5, 1.1))
            canvas.rectangle(corner + size * [0.48, 0], size * [0.04, 1], _muted(generator))
        elif kind == 1:
            canvas.rectangle(corner - 3, size + 6, _muted(generator) * 0.6)
            canvas.rectangle(corner, size, _muted(generator))
            canvas.ring(corner + size * generator.uniform(0.3, 0.7, 2), size * 0.25, _muted(generator), -1)
        elif kind == 2:
            shelves = int(generator.integers(2, 5))
            for shelf in range(shelves):
                y, x = corner[1] + shelf * 28, corner[0]
                while x < corner[0] + size[0]:
                    width, height = generator.uniform(3, 9), generator.uniform(12, 24)
                    canvas.rectangle(
                        np.array([x, y - height]), np.array([width, height]), generator.uniform(20, 230, 3)
                    )
                    x += width + 1
                canvas.rectangle(
                    np.array([corner[0] - 2, y]), np.array([size[0] + 6, 3]), np.array([90, 60, 40])
                )
        else:
            canvas.rectangle(np.array([corner[0], horizon - 170]), np.array([70, 170]), _muted(generator))
            canvas.ring(
                np.array([corner[0] + 60, horizon - 80]), np.array([3, 3]), np.array([220, 200, 120]), -1
            )
    floor = _perspective(generator, texture(generator, side), horizon)
    below = np.arange(side) > horizon
    canvas.colour[below] = floor[below]
    canvas.rectangle(np.array([0, horizon - 5]), np.array([side, 6]), _muted(generator))
    return canvas.colour


def outdoors(generator: np.random.Generator, side: int) -> np.ndarray:
    """Sky, buildings or trees, and the ground."""
    horizon = int(side * generator.uniform(0.35, 0.8))
    ramp = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    high = np.array([110, 160, 220]) * generator.uniform(0.4, 1.1)
    low = np.array([220, 225, 230]) * generator.uniform(0.5, 1.1)
    canvas = Canvas((high * (1 - ramp) + low * ramp) * np.ones((1, side, 1), np.float32))
    canvas.colour += (np.clip(smooth_noise(generator, side, 5), 0, None) * 18)[..., None]
    if generator.random() < 0.5:
        x = -20.0
        while x < side:
            width, height = generator.uniform(30, 90), generator.uniform(40, horizon + 30)
            wall = _muted(generator)
            canvas.rectangle(np.array([x, horizon - height]), np.array([width, height]), wall)
            step = generator.uniform(10, 20)
            for row in np.arange(horizon - height + 6, horizon - 10, step * 1.2):
                for column in np.arange(x + 5, x + width - 8, step):
                    canvas.rectangle(
                        np.array([column, row]),
                        np.array([step * 0.5, step * 0.7]),
                        wall * generator.uniform(0.3, 1.3),
                    )
            x += width + generator.uniform(-5, 12)
    else:
        for _ in range(generator.integers(3, 14)):
            foot = np.array([generator.uniform(-20, side + 20), horizon + generator.uniform(-5, 25)])
            height = generator.uniform(40, 150)
            canvas.stroke(
                np.stack([foot, foot - [0, height]]),
                np.array([80, 55, 35]) * generator.uniform(0.6, 1.3),
                int(height / 14) + 1,
            )
            for _ in range(14):
                leaf = foot - [0, height] + generator.normal(0, height * 0.2, 2)
                green = np.array([60, 110, 45]) * generator.uniform(0.4, 1.5)
                canvas.ring(leaf, np.full(2, height * generator.uniform(0.07, 0.2)), green, -1)
    ground = texture(generator, side)
    if generator.random() < 0.5:
        ground = ground * 0.35 + np.array([75, 105, 50], np.float32) * generator.uniform(0.5, 0.9)
    ground = _perspective(generator, ground.astype(np.float32), horizon)
    canvas.colour[horizon:] = ground[horizon:]
    return canvas.colour


def background(generator: np.random.Generator, side: int) -> np.ndarray:
    """A room, the open, or a texture, under an uneven light; f32 [side, side, 3]."""
    make: Callable[[np.random.Generator, int], np.ndarray] = (room, room, outdoors, outdoors, texture)[
        generator.integers(5)
    ]
    image = make(generator, side)
    light = 1 + 0.12 * smooth_noise(generator, side, 2)
    return np.clip(image * light[..., None] * generator.uniform(0.6, 1.1), 0, 255).astype(np.float32)


def _table(canvas: Canvas, generator: np.random.Generator, foot: np.ndarray, size: float, owner: int) -> None:
    colour = _muted(generator)
    half, height = size * generator.uniform(0.5, 1.2), size * generator.uniform(0.4, 0.7)
    for x in (-0.9, 0.9):
        canvas.rectangle(foot + [x * half - 3, -height], np.array([6, height]), colour * 0.7, owner)
    canvas.rectangle(foot + [-half, -height - size * 0.08], np.array([2 * half, size * 0.12]), colour, owner)
    if generator.random() < 0.4:
        canvas.rectangle(
            foot + [-0.85 * half, -height], np.array([1.7 * half, height * 0.9]), colour * 0.85, owner
        )


def _chair(canvas: Canvas, generator: np.random.Generator, foot: np.ndarray, size: float, owner: int) -> None:
    colour = _muted(generator)
    half = size * 0.28
    canvas.rectangle(foot + [-half, -size], np.array([2 * half, size * 0.45]), colour, owner)
    canvas.rectangle(
        foot + [-half * 1.1, -size * 0.5], np.array([2.2 * half, size * 0.12]), colour * 0.8, owner
    )
    for x in (-half, half):
        canvas.stroke(
            np.stack([foot + [x, -size * 0.45], foot + [x * 1.1, 0]]),
            colour * 0.6,
            max(2, int(size * 0.05)),
            owner,
        )


def _plant(canvas: Canvas, generator: np.random.Generator, foot: np.ndarray, size: float, owner: int) -> None:
    pot = np.array([150, 85, 55]) * generator.uniform(0.6, 1.3)
    canvas.polygon(foot + np.array([[-0.14, -0.25], [0.14, -0.25], [0.1, 0], [-0.1, 0]]) * size, pot, owner)
    for _ in range(generator.integers(6, 16)):
        tip = foot + np.array([generator.normal(0, 0.25), -generator.uniform(0.4, 1.0)]) * size
        green = np.array([60, 120, 50]) * generator.uniform(0.4, 1.5)
        canvas.stroke(np.stack([foot - [0, 0.25 * size], tip]), green, max(1, int(size * 0.03)), owner)
        canvas.ring(tip, np.array([0.06, 0.1]) * size, green, -1, owner)


def _box(canvas: Canvas, generator: np.random.Generator, foot: np.ndarray, size: float, owner: int) -> None:
    colour = generator.uniform(20, 235, 3)
    width, height, skew = size * generator.uniform(0.3, 0.9), size * generator.uniform(0.3, 0.9), size * 0.15
    canvas.rectangle(foot + [-width / 2, -height], np.array([width, height]), colour, owner)
    lid = foot + np.array(
        [
            [-width / 2, -height],
            [-width / 2 + skew, -height - skew],
            [width / 2 + skew, -height - skew],
            [width / 2, -height],
        ]
    )
    canvas.polygon(lid, np.clip(colour * 1.2, 0, 255), owner)
    flank = foot + np.array(
        [[width / 2, -height], [width / 2 + skew, -height - skew], [width / 2 + skew, -skew], [width / 2, 0]]
    )
    canvas.polygon(flank, colour * 0.7, owner)


def _ball(canvas: Canvas, generator: np.random.Generator, foot: np.ndarray, size: float, owner: int) -> None:
    colour, radius = generator.uniform(20, 255, 3), size * generator.uniform(0.12, 0.35)
    centre = foot - [0, radius]
    canvas.ring(centre, np.full(2, radius), colour * 0.75, -1, owner)
    canvas.ring(centre - radius * 0.25, np.full(2, radius * 0.6), colour, -1)


def _pole(canvas: Canvas, generator: np.random.Generator, foot: np.ndarray, size: float, owner: int) -> None:
    colour = _muted(generator)
    top = foot - [generator.normal(0, 0.05) * size, size * generator.uniform(1.2, 3)]
    canvas.stroke(np.stack([foot, top]), colour, max(2, int(size * generator.uniform(0.03, 0.12))), owner)
    if generator.random() < 0.5:
        canvas.ring(top, size * generator.uniform(0.1, 0.25, 2), generator.uniform(80, 255, 3), -1, owner)


def _bicycle(
    canvas: Canvas, generator: np.random.Generator, foot: np.ndarray, size: float, owner: int
) -> None:
    colour, radius = generator.uniform(10, 220, 3), size * 0.3
    width = max(1, int(size * 0.03))
    hubs = [foot + [-0.45 * size, -radius], foot + [0.45 * size, -radius]]
    for hub in hubs:
        canvas.ring(hub, np.full(2, radius), np.full(3, 30.0), width + 1, owner)
    seat, bar = foot + [-0.2 * size, -0.75 * size], foot + [0.35 * size, -0.8 * size]
    crank = foot + [-0.05 * size, -radius]
    for a, b in ((hubs[0], seat), (seat, bar), (seat, crank), (bar, crank), (bar, hubs[1]), (crank, hubs[0])):
        canvas.stroke(np.stack([a, b]), colour, width, owner)


OBJECTS = (_table, _chair, _plant, _box, _ball, _pole, _bicycle)


def put_object(
    canvas: Canvas, generator: np.random.Generator, foot: np.ndarray, size: float, in_front: bool
) -> None:
    """Something about `size` pixels tall whose foot stands at (x, y); in front of people or not yet."""
    owner = CLUTTER if in_front else -1
    OBJECTS[generator.integers(len(OBJECTS))](canvas, generator, np.asarray(foot, float), size, owner)
