"""PCK on photographs, on people made up."""

from __future__ import annotations

import numpy as np

from models import skeleton
from models.evaluate.photographs import EXTENT, Crop, figures, nearest


def crop(name: str = "a.png") -> Crop:
    generator = np.random.default_rng(1)
    person = np.concatenate([generator.uniform(33, 223, (17, 2)), np.full((17, 1), 2.0)], axis=1)
    person[[9, 16], 2] = 0
    return Crop(name, 256, person)


def test_a_perfect_pose_and_none() -> None:
    one, two = crop("a.png"), crop("b.png")
    result = figures([one, two], {"a.png": one.person[None, :, :2]})
    assert (result["images"], result["found"]) == (2, 1)
    assert result["pck@0.2"] == result["pck@0.1"] == result["pck@0.2, sides left open"] == 0.5


def test_the_distance_is_in_extents() -> None:
    one = crop()
    for part, expected in ((0.09, (1.0, 1.0)), (0.11, (1.0, 0.0)), (0.21, (0.0, 0.0))):
        moved = one.person[None, :, :2] + [part * EXTENT * 256, 0]
        result = figures([one], {"a.png": moved})
        assert (result["pck@0.2"], result["pck@0.1"]) == expected


def test_sides_may_be_left_open() -> None:
    one = crop()
    result = figures([one], {"a.png": one.person[None, skeleton.flip_order(), :2]})
    assert result["pck@0.1"] < 0.5
    assert result["pck@0.1, sides left open"] == 1.0


def test_the_pose_in_the_middle_counts() -> None:
    one = crop()
    poses = np.stack([one.person[:, :2] + 70, one.person[:, :2], one.person[:, :2] - 70])
    assert nearest(poses, 256) is not None
    assert figures([one], {"a.png": poses})["pck@0.1"] == 1.0
