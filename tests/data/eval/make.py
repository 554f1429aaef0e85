"""Writes small synthetic annotations, detections and pycocotools' figures for them.

Run as `python tests/data/eval/make.py`; needs numpy and pycocotools. The files are committed, so that the
Rust test needs neither.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FOLDER = Path(__file__).parent
KEYPOINTS = 17
# Area of a person in square pixels: below, on and between the borders of COCO's ranges (32^2 and 96^2).
AREAS = [400.0, 1024.0, 2500.0, 6000.0, 9216.0, 20000.0, 60000.0]


def person(rng: np.random.Generator, index: int, image_id: int, areas: list[float]) -> dict:
    """One annotation; about a sixth are crowds, unlabelled or carry COCO's unused `ignore`."""
    area = float(rng.choice(areas))
    side = 1.5 * area**0.5
    left, top = rng.uniform(0, 400, 2)
    points = np.round(
        np.stack([rng.uniform(left, left + side, KEYPOINTS), rng.uniform(top, top + side, KEYPOINTS)], 1)
    )
    visibility = rng.choice([0, 1, 2], KEYPOINTS, p=[0.3, 0.2, 0.5])
    kind = rng.choice(
        ["plain", "crowd", "labelled crowd", "unlabelled", "ignore"], p=[0.76, 0.07, 0.04, 0.06, 0.07]
    )
    if kind in ("crowd", "unlabelled"):
        visibility[:] = 0
    points[visibility == 0] = 0
    annotation = {
        "id": index,
        "image_id": image_id,
        "category_id": 1,
        "keypoints": [int(v) for v in np.concatenate([points, visibility[:, None]], 1).ravel()],
        "num_keypoints": int((visibility > 0).sum()),
        "area": area,
        "bbox": [round(float(v), 1) for v in (left, top, side, side)],
        "iscrowd": int("crowd" in kind),
    }
    if kind == "ignore":
        annotation["ignore"] = 1
    return annotation


def detection(rng: np.random.Generator, image_id: int, points: np.ndarray) -> dict:
    """One result; scores have two digits, so that many tie within and between images."""
    triples = np.concatenate([points, np.ones((KEYPOINTS, 1))], 1).ravel()
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": [round(float(v), 1) for v in triples],
        "score": round(float(rng.uniform(0, 1)), 2),
    }


def detections(rng: np.random.Generator, image_id: int, people: list[dict]) -> list[dict]:
    """Perturbed people, some twice, and false ones, also inside crowds; now and then more than 20."""
    found = []
    for annotation in people:
        triples = np.array(annotation["keypoints"], float).reshape(-1, 3)
        x, y, width, height = annotation["bbox"]
        inside = np.stack([rng.uniform(x, x + width, KEYPOINTS), rng.uniform(y, y + height, KEYPOINTS)], 1)
        base = np.where(triples[:, 2:] > 0, triples[:, :2], inside)
        for _ in range(rng.choice([0, 1, 2, 4] if annotation["iscrowd"] else [0, 1, 1, 1, 2])):
            spread = annotation["area"] ** 0.5 * rng.choice([0.0, 0.03, 0.06, 0.1, 0.2])
            found.append(detection(rng, image_id, base + rng.normal(0, spread, base.shape)))
    for _ in range(rng.choice([0, 0, 1, 2, 22], p=[0.4, 0.2, 0.15, 0.15, 0.1])):
        centre, size = rng.uniform(0, 500, 2), rng.choice([20.0, 60.0, 150.0])
        found.append(detection(rng, image_id, centre + rng.uniform(-size, size, (KEYPOINTS, 2)) / 2))
    return [found[i] for i in rng.permutation(len(found))]


def dataset(seed: int, images: int, areas: list[float]) -> tuple[dict, list[dict]]:
    """Annotations and results of a whole set; image ids are neither dense nor in order."""
    rng = np.random.default_rng(seed)
    ids = [int(i) for i in rng.choice(10_000, images, replace=False)]
    annotations: list[dict] = []
    results: list[dict] = []
    for image_id in ids:
        count = int(rng.choice([0, 1, 2, 4, 7]))
        people = [person(rng, len(annotations) + i + 1, image_id, areas) for i in range(count)]
        annotations += people
        if rng.uniform() < 0.9:
            results += detections(rng, image_id, people)
    truth = {
        "images": [{"id": i, "file_name": f"{i:06}.jpg", "width": 640, "height": 640} for i in ids],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": annotations,
    }
    return truth, results


def figures(truth_path: Path, results_path: Path) -> list[float]:
    """pycocotools' ten keypoint figures."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_path))
        evaluation = COCOeval(truth, truth.loadRes(str(results_path)), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def write_case(folder: Path, truth: dict, results: list[dict]) -> None:
    """Writes annotations, results and pycocotools' figures for them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    stats = figures(folder / "annotations.json", folder / "results.json")
    (folder / "pycocotools.json").write_text(json.dumps(stats, indent=1) + "\n")


def main() -> None:
    for name, seed, images, areas in [("mixed", 1, 40, AREAS), ("no-large", 2, 12, AREAS[:4])]:
        write_case(FOLDER / name, *dataset(seed, images, areas))


if __name__ == "__main__":
    main()
