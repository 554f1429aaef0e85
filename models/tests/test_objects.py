"""Generated objects: keypoints stay where they belong, and kinds for measuring are not those for training."""

from __future__ import annotations

import json

import numpy as np
import pytest

from models.data.objects.creatures import Creature
from models.data.objects.cutouts import CutOut
from models.data.objects.episodes import Style, compose, episode
from models.data.objects.families import families
from models.data.objects.heldout import IMAGES
from models.data.objects.kind import Kind, ObjectImage
from models.data.people import drawn
from models.paths import ROOT


class Dots:
    """A kind whose keypoints can be seen: one dot of a primary colour at each."""

    name = "dots"
    keypoints = ("red", "green", "blue")
    edges = ()
    handed = True

    def draw(self, generator: np.random.Generator) -> ObjectImage:
        rgba = np.zeros((120, 160, 4), np.float32)
        rgba[..., 3] = 255
        places = np.array([[30, 30], [120, 40], [70, 90]])
        for channel, (x, y) in enumerate(places):
            rgba[y - 9 : y + 10, x - 9 : x + 10, channel] = 255
        return ObjectImage(rgba, places.astype(np.float32), np.ones(3, bool))


def black(_: np.random.Generator, side: int) -> np.ndarray:
    return np.zeros((side, side, 3), np.float32)


def plainly(colour: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.clip(colour, 0, 255).astype(np.uint8)


def test_keypoints_move_with_the_image() -> None:
    generator = np.random.default_rng(1)
    for _ in range(20):
        shot = compose(Dots(), generator, black, Style(clutter=0, turn=2.0), plainly)
        for channel, (x, y) in enumerate(shot.keypoints):
            if not shot.visible[channel]:
                continue
            rows, columns = np.nonzero(shot.image[..., channel] > 90)
            assert np.hypot(columns.mean() - x, rows.mean() - y) < 2.5
        left, top, width, height = shot.box
        inside = (shot.keypoints >= [left, top]) & (shot.keypoints <= [left + width, top + height])
        assert inside.all()


def test_what_is_covered_or_outside_is_hidden() -> None:
    generator = np.random.default_rng(2)
    shots = [compose(Dots(), generator, black, Style(clutter=8, loose=0.6), plainly) for _ in range(40)]
    assert any(not shot.visible.all() for shot in shots)
    for shot in shots:
        for channel in np.flatnonzero(shot.visible):
            x, y = shot.keypoints[channel].round().astype(int)
            assert 0 <= x < 256 and 0 <= y < 256
            assert shot.image[y, x, channel] > 60


def test_distant_objects_are_small_whole_and_anywhere() -> None:
    generator = np.random.default_rng(6)
    style = Style(clutter=0, distant=1.0)
    shots = [compose(Dots(), generator, black, style, plainly) for _ in range(30)]
    boxes = np.array([shot.box for shot in shots])
    assert boxes[:, 2:].max() <= 0.9 * 256 and boxes[:, 2:].max(1).min() < 0.5 * 256
    assert boxes[:, :2].min() >= -1 and (boxes[:, :2] + boxes[:, 2:]).max() <= 257
    assert all(shot.visible.all() for shot in shots)
    middles = boxes[:, :2] + boxes[:, 2:] / 2
    assert (middles.max(0) - middles.min(0)).min() > 50


@pytest.mark.parametrize(
    "kind", [*families(), *(Creature(seed) for seed in range(5))], ids=lambda kind: kind.name
)
def test_kinds_draw_themselves(kind: Kind) -> None:
    generator = np.random.default_rng(3)
    drawn_objects = [kind.draw(generator) for _ in range(3)]
    for obj in drawn_objects:
        assert obj.keypoints.shape == (len(kind.keypoints), 2)
        assert np.isfinite(obj.keypoints).all()
        assert (obj.rgba[..., 3] > 128).mean() > 0.02
    assert len(set(kind.keypoints)) == len(kind.keypoints)
    assert all(a != b and max(a, b) < len(kind.keypoints) for a, b in kind.edges)
    assert np.abs(drawn_objects[0].keypoints - drawn_objects[1].keypoints).max() > 1


def test_cut_outs_have_the_same_places_every_time() -> None:
    generator = np.random.default_rng(4)
    texture = drawn.texture(generator, 128)
    alpha = np.zeros((128, 128), np.float32)
    alpha[20:110, 10:120] = 255
    rgba = np.dstack([np.clip(texture, 0, 255), alpha]).astype(np.uint8)
    first, second = CutOut("a", rgba, 5), CutOut("a", rgba, 5)
    np.testing.assert_array_equal(first.places, second.places)
    assert 4 <= len(first.places) <= 18
    obj = first.draw(generator)
    column, row = obj.keypoints.round().astype(int).clip(0, np.array(obj.rgba.shape[1::-1]) - 1).T
    assert (obj.rgba[row, column, 3] > 60).mean() > 0.8


def test_episodes_agree_in_their_keypoints() -> None:
    one = episode(Dots(), np.random.default_rng(5), black, Style(), 3, 2)
    assert one.images.shape == (3, 256, 256, 3)
    assert one.keypoints.shape == (3, 2, 2) and one.visible.shape == (3, 2)


def test_the_held_out_set_is_of_the_families() -> None:
    folder = ROOT / "tests/data/objects"
    contents = json.loads((folder / "annotations.json").read_text())
    assert [entry["name"] for entry in contents["categories"]] == [family.name for family in families()]
    assert len(contents["images"]) == len(contents["annotations"]) == 15 * IMAGES
    assert all((folder / image["file_name"]).is_file() for image in contents["images"])
    # Training draws from `kinds.py`, which knows nothing of the families.
    assert "families" not in (ROOT / "models/data/objects/training_kinds.py").read_text()
