"""How good a bundle is on photographs of your own: `python -m models.evaluate.photographs FOLDER`.

`FOLDER` holds images and `annotations.json` in COCO's keypoint format, with one annotated person in every
image, cut out so that the image's long side is 1.35 times the person's extent (the longer side of the box
of the person's keypoints) and the person's box lies in the middle.

Of all poses found in an image the one counts whose box lies nearest to the middle. PCK@t is the share of
the annotated shoulders, elbows, wrists, hips, knees and ankles whose keypoint lies within t extents; where
no pose is found all of them are wrong. Left and right are also counted as right when they are swapped in the
whole pose, to see how much of the error that is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import skeleton
from models.paths import ROOT

JOINTS = slice(5, 17)
EXTENT = 1 / 1.35
"""Of the person, in units of the image's long side."""
THRESHOLDS = (0.2, 0.1)


@dataclass(frozen=True)
class Crop:
    """One image: its long side in pixels, and the person `[17, 3]` with COCO's visibility."""

    name: str
    side: float
    person: np.ndarray


def read_crops(folder: Path) -> list[Crop]:
    """Every image that has an annotation."""
    annotations = json.loads((folder / "annotations.json").read_text())
    people = {
        one["image_id"]: np.array(one["keypoints"], float).reshape(17, 3)
        for one in annotations["annotations"]
    }
    return [
        Crop(image["file_name"], max(image["width"], image["height"]), people[image["id"]])
        for image in annotations["images"]
        if image["id"] in people
    ]


def find_poses(sinew: Path, model: str, folder: Path, options: Sequence[str]) -> dict[str, np.ndarray]:
    """All poses `[n, 17, 2]` of every image, by its name."""
    with tempfile.TemporaryDirectory() as temporary:
        lines = Path(temporary) / "poses.jsonl"
        command = [str(sinew), "run", "--model", model, "--source", str(folder), "--sink", f"jsonl:{lines}"]
        subprocess.run([*command, "--quiet", *options], check=True)
        frames = [json.loads(line) for line in lines.read_text().splitlines()]
    return {
        Path(frame["name"]).name: np.array(
            [np.array(pose["keypoints"])[:, :2] for pose in frame["poses"]], float
        ).reshape(-1, 17, 2)
        for frame in frames
        if "poses" in frame
    }


def read_poses(path: Path) -> dict[str, np.ndarray]:
    """Poses that `models.evaluate.others` wrote."""
    contents = json.loads(path.read_text())
    return {name: np.array(one["poses"], float).reshape(-1, 17, 2) for name, one in contents.items()}


def nearest(poses: np.ndarray, side: float) -> np.ndarray | None:
    """The pose `[17, 2]` whose box lies nearest to the middle of an image of `side` pixels."""
    if not len(poses):
        return None
    middles = (poses.min(axis=1) + poses.max(axis=1)) / 2
    return poses[np.linalg.norm(middles - side / 2, axis=1).argmin()]


def right(pose: np.ndarray | None, crop: Crop, threshold: float) -> np.ndarray:
    """Whether each annotated joint is found."""
    labelled = crop.person[JOINTS, 2] > 0
    if pose is None:
        return np.zeros(labelled.sum(), bool)
    distance = np.linalg.norm(pose[JOINTS] - crop.person[JOINTS, :2], axis=1)
    return (distance <= threshold * EXTENT * crop.side)[labelled]


def figures(crops: list[Crop], poses: dict[str, np.ndarray]) -> dict[str, float]:
    """PCK at every threshold, the same with sides left open, and the share of images with a pose."""
    chosen = {crop.name: nearest(poses.get(crop.name, np.zeros((0, 17, 2))), crop.side) for crop in crops}
    result: dict[str, float] = {
        "images": len(crops), "found": sum(pose is not None for pose in chosen.values())
    }  # fmt: skip
    for threshold in THRESHOLDS:
        plain, either = [], []
        for crop in crops:
            pose = chosen[crop.name]
            direct = right(pose, crop, threshold)
            swapped = right(None if pose is None else pose[skeleton.flip_order()], crop, threshold)
            plain.append(direct)
            either.append(max(direct, swapped, key=lambda hits: hits.sum()))
        result[f"pck@{threshold}"] = round(float(np.concatenate(plain).mean()), 4)
        result[f"pck@{threshold}, sides left open"] = round(float(np.concatenate(either).mean()), 4)
    return result


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="logocap-tiny")
    parser.add_argument("--sinew", type=Path, default=ROOT / "target/release/sinew", help="the program")
    parser.add_argument("--without", default="", help="leave out images whose names start with this")
    parser.add_argument("--threshold", type=float, default=0.0, help="of the poses' scores")
    parser.add_argument("--level", help="for models with levels (default: the bundle's)")
    parser.add_argument("--size", help="one of the bundle's sizes")
    parser.add_argument("--poses", type=Path, help="measure these, of models.evaluate.others, and no bundle")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    crops = read_crops(given.folder)
    if given.without:
        crops = [crop for crop in crops if not crop.name.startswith(given.without)]
    options = ["--threshold", str(given.threshold)]
    options += ["--level", given.level] if given.level else []
    options += ["--size", given.size] if given.size else []
    if given.poses:
        poses = read_poses(given.poses)
    else:
        poses = find_poses(given.sinew, given.model, given.folder, options)
    result = figures(crops, poses)
    if given.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:28} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
