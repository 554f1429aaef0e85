"""Cut-out animals with keypoints read off by eye, and parts of rendered people."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from models.data.objects import stamps
from models.data.objects.body_parts import ANCHORS, BodyPart, PartBank
from models.data.people.ragged import Images, write_images


def test_table() -> None:
    kinds = stamps.table()
    assert {name: len(rows) > 5 for name, rows in kinds.items()} == dict.fromkeys(kinds, True)
    files = [stamp.file for rows in kinds.values() for stamp in rows]
    assert len(files) == len(set(files))
    for rows in kinds.values():
        for stamp in rows:
            assert len(stamp.places) >= 3, stamp.file
            assert all(0 <= value <= 100 for place in stamp.places.values() for value in place), stamp.file


def test_mirrored_animals_swap_left_and_right(tmp_path: Path) -> None:
    # A square of which each quarter has a colour; the keypoint LE is in the red one, RE in the blue one.
    rgba = np.full((100, 100, 4), 255, np.uint8)
    rgba[:50, :50, :3], rgba[:50, 50:, :3], rgba[50:, :, :3] = (0, 0, 255), (255, 0, 0), (0, 255, 0)
    path = tmp_path / stamps.FOLDER / "square.png"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), rgba)
    stamp = stamps.Stamp("square", {"LE": (25.0, 25.0), "RE": (75.0, 25.0), "N": (50.0, 75.0)})
    kind = stamps.Animals("square", [stamp], tmp_path)
    assert kind.keypoints == ("LE", "N", "RE") and stamps.opposite("N") == "N"
    colours = set()
    for seed in range(20):
        shot = kind.draw(np.random.default_rng(seed))
        assert shot.visible.all()
        # Either way round the left eye is on the left; mirrored, it is where the other quarter was.
        assert shot.keypoints[0, 0] < shot.keypoints[2, 0]
        column, row = shot.keypoints[0].astype(int)
        colours.add(int(np.argmax(shot.rgba[row, column, :3])))
    assert len(colours) >= 2, "never mirrored"


def test_parts_of_people(tmp_path: Path) -> None:
    images = [np.full((20, 30, 4), 200, np.uint8), np.full((40, 10, 4), 100, np.uint8)]
    write_images(tmp_path / "face.bin", images)
    places = np.random.default_rng(1).uniform(0, 10, (2, ANCHORS, 2)).astype(np.float32)
    np.savez(tmp_path / "face.npz", places=places, visible=np.ones((2, ANCHORS), bool))
    bank = PartBank.open(tmp_path, "face")
    assert isinstance(bank.images, Images)
    kind, same = BodyPart(bank, "face", 4), BodyPart(bank, "face", 4)
    assert kind.keypoints == same.keypoints and len(kind.keypoints) >= 6
    shot = kind.draw(np.random.default_rng(2))
    which = 0 if shot.rgba.shape == (20, 30, 4) else 1
    np.testing.assert_array_equal(shot.keypoints, places[which][kind.rows])
