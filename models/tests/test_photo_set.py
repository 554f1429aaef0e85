"""The photographs in `tests/data/photos`: every file has an annotation and a source."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import pytest

PHOTOS = Path(__file__).resolve().parents[2] / "tests" / "data" / "photos"
FOLDERS = [PHOTOS, PHOTOS / "objects"]
LICENCES = {"public domain", "CC0 1.0", "CC BY 2.0", "public domain, CC0 1.0"}


def sources(folder: Path) -> dict[str, list[str]]:
    """The cells of `SOURCES.md` by file name."""
    rows = {}
    for line in (folder / "SOURCES.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if match := re.fullmatch(r"`([\w-]+\.jpg)`", cells[0]):
            assert match[1] not in rows, f"{match[1]} is listed twice"
            rows[match[1]] = cells[1:]
    return rows


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_file_has_a_source_and_a_licence(folder: Path) -> None:
    listed = sources(folder)
    assert sorted(listed) == sorted(path.name for path in folder.glob("*.jpg"))
    for name, cells in listed.items():
        assert LICENCES & set(cells), f"{name}: none of {sorted(LICENCES)} in {cells}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_annotations_fit_their_images(folder: Path) -> None:
    coco = json.loads((folder / "annotations.json").read_text())
    images = {image["id"]: image for image in coco["images"]}
    names = {category["id"]: category["keypoints"] for category in coco["categories"]}
    assert sorted(image["file_name"] for image in images.values()) == sorted(
        path.name for path in folder.glob("*.jpg")
    )
    for image in images.values():
        height, width = cv2.imread(str(folder / image["file_name"])).shape[:2]
        assert (image["width"], image["height"]) == (width, height), image["file_name"]
    assert len({one["id"] for one in coco["annotations"]}) == len(coco["annotations"])
    for one in coco["annotations"]:
        image = images[one["image_id"]]
        where = f"{image['file_name']}, annotation {one['id']}"
        x, y, width, height = one["bbox"]
        assert 0 <= x < x + width <= image["width"] and 0 <= y < y + height <= image["height"], where
        points = [one["keypoints"][start : start + 3] for start in range(0, len(one["keypoints"]), 3)]
        assert len(points) == len(names[one["category_id"]]), where
        assert one["num_keypoints"] == sum(visible > 0 for _, _, visible in points), where
        assert (one["num_keypoints"] == 0) == bool(one["iscrowd"]), where
        for column, row, visible in points:
            # Read off by eye, as the box is: a point may lie slightly outside.
            slack = 0.02 * max(width, height) + 3
            if visible:
                assert x - slack <= column <= x + width + slack, where
                assert y - slack <= row <= y + height + slack, where
            else:
                assert (column, row) == (0, 0), where


def test_each_image_of_an_object_holds_one() -> None:
    coco = json.loads((PHOTOS / "objects" / "annotations.json").read_text())
    assert sorted(one["image_id"] for one in coco["annotations"]) == sorted(
        image["id"] for image in coco["images"]
    )
