"""PCK on photographs, on people made up."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models import skeleton
from models.evaluate import cut_people, others, photographs
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


def test_poses_of_other_networks_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = crop()
    image = {"id": 1, "file_name": one.name, "width": 256, "height": 256}
    person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": one.person.flatten().tolist()}
    person |= {"bbox": [33, 33, 190, 190], "area": 19000, "iscrowd": 0, "num_keypoints": 15}
    names = [{"id": 1, "name": "person", "keypoints": [], "skeleton": []}]
    contents = {"images": [image], "annotations": [person], "categories": names}
    (tmp_path / "annotations.json").write_text(json.dumps(contents))
    # Others count from the corner of the first pixel, annotations from its middle.
    poses = [(one.person[:, :2] + 0.5).tolist()]
    (tmp_path / "found.json").write_text(json.dumps({one.name: {"poses": poses, "scores": [0.5]}}))
    found = others.read(tmp_path / "found.json")
    assert others.average_precision(tmp_path, found)["ap"] == pytest.approx(1.0)
    assert photographs.main([str(tmp_path), "--poses", str(tmp_path / "found.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pck@0.1"] == 1.0


def test_people_are_cut_out_as_the_measure_wants_them(tmp_path: Path) -> None:
    image = np.zeros((60, 100, 3), np.uint8)
    image[30, 90] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    person = np.zeros((17, 3))
    person[5], person[11] = (90, 30, 2), (90, 50, 1)
    face_only = np.zeros((17, 3))
    face_only[0] = (5, 5, 2)
    rows = [(person, 0), (face_only, 0), (person, 1)]
    truth = {
        "images": [{"id": 4, "file_name": "a.png", "width": 100, "height": 60}],
        "annotations": [
            {"id": number, "image_id": 4, "keypoints": keypoints.flatten().tolist(), "iscrowd": crowd}
            for number, (keypoints, crowd) in enumerate(rows)
        ],
        "categories": [],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(truth))
    assert cut_people.cut(tmp_path, tmp_path / "cut") == 1
    (crop,) = photographs.read_crops(tmp_path / "cut")
    assert crop.side == 27
    shoulder, hip = crop.person[5], crop.person[11]
    seen = cv2.imread(str(tmp_path / "cut" / crop.name))
    assert seen is not None and seen.shape == (27, 27, 3)
    assert seen[int(shoulder[1]), int(shoulder[0])].tolist() == [255, 255, 255]
    assert ((shoulder + hip)[:2] / 2 - 13.5).max() < 1
    assert photographs.right(crop.person[:, :2], crop, 0.1).tolist() == [True, True]
