"""Perturbs the poses of real annotations into detections, with pycocotools' figures for them.

Run as `python tests/data/eval/perturb.py ANNOTATIONS.json FOLDER`; `make check-eval` does, and compares.
Some people are made crowds or lose their labels first, and areas are spread, so that every rule of the
evaluation is used.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from make import detections, write_case


def spread(rng: np.random.Generator, annotation: dict) -> None:
    """Turns one person in ten into a crowd, one into an unlabelled one, and scales a third to other sizes."""
    annotation.setdefault("iscrowd", 0)
    kind = rng.choice(["plain", "crowd", "unlabelled", "scaled"], p=[0.5, 0.1, 0.1, 0.3])
    if kind in ("crowd", "unlabelled"):
        annotation["keypoints"] = [0] * len(annotation["keypoints"])
        annotation["num_keypoints"] = 0
        annotation["iscrowd"] = int(kind == "crowd")
    if kind == "scaled":
        annotation["area"] *= float(rng.choice([0.1, 0.25, 3.0]))


def main(annotations: Path, folder: Path) -> None:
    rng = np.random.default_rng(0)
    truth = json.loads(annotations.read_text())
    by_image: dict[int, list[dict]] = {image["id"]: [] for image in truth["images"]}
    for annotation in truth["annotations"]:
        spread(rng, annotation)
        by_image[annotation["image_id"]].append(annotation)
    results: list[dict] = []
    for image_id, people in by_image.items():
        results += detections(rng, image_id, people)
    write_case(folder, truth, results)
    print(f"{folder}: {len(truth['annotations'])} people, {len(results)} detections")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
