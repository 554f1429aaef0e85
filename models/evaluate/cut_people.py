"""Cuts every annotated person out of photographs, as `models.evaluate.photographs` wants them.

    python -m models.evaluate.cut_people tests/data/photos out/cut
    python -m models.evaluate.photographs out/cut --model logocap-movenet

The first folder holds images and `annotations.json` in COCO's keypoint format. A crop is a square around the
box of a person's keypoints, 1.35 times as long as the box's longer side; what lies outside the image is
black. People without a joint of those that count, and crowds, are left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.evaluate.photographs import EXTENT, JOINTS

LEAST_EXTENT = 8
"""Pixels."""


def cut(folder: Path, out: Path) -> int:
    """Writes the crops of `folder` and their annotations to `out`; how many."""
    given = json.loads((folder / "annotations.json").read_text())
    names = {image["id"]: image["file_name"] for image in given["images"]}
    out.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for one in given["annotations"]:
        person = np.array(one.get("keypoints", []), float).reshape(-1, 3)
        if one.get("iscrowd") or not len(person) or not (person[JOINTS, 2] > 0).any():
            continue
        seen = person[person[:, 2] > 0, :2]
        low, high = seen.min(0), seen.max(0)
        side = round(max((high - low).max(), LEAST_EXTENT) / EXTENT)
        corner = np.round((low + high - side) / 2)
        image = cv2.imread(str(folder / names[one["image_id"]]))
        if image is None:
            raise FileNotFoundError(f"{folder / names[one['image_id']]}: no image")
        moved = np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]])
        number = len(images) + 1
        name = f"{Path(names[one['image_id']]).stem}-{number:03}.png"
        cv2.imwrite(str(out / name), cv2.warpAffine(image, moved, (side, side)))
        person[:, :2] -= corner
        person[person[:, 2] == 0] = 0
        images.append({"id": number, "file_name": name, "width": side, "height": side})
        annotations.append({"id": number, "image_id": number, "keypoints": person.flatten().tolist()})
    contents = {"images": images, "annotations": annotations, "categories": given["categories"]}
    (out / "annotations.json").write_text(json.dumps(contents))
    return len(images)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    print(f"{cut(arguments.folder, arguments.out)} people in {arguments.out}")


if __name__ == "__main__":
    main()
