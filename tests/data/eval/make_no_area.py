"""Writes small annotations without `area`, as CrowdPose has them, and xtcocotools' figures for them.

Run as `python tests/data/eval/make_no_area.py`; needs numpy, pycocotools and xtcocotools. Ids begin at 0,
which pycocotools takes for "not matched" and xtcocotools does not. The files are committed, so that the
Rust test needs none of this.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

from make import AREAS, FOLDER, dataset
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval


def figures(truth_path: Path, results_path: Path) -> list[float]:
    """xtcocotools' ten keypoint figures, areas taken from boxes."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_path))
        evaluation = COCOeval(truth, truth.loadRes(str(results_path)), "keypoints", use_area=False)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def main() -> None:
    truth, results = dataset(3, 20, AREAS)
    new_ids = {image["id"]: place for place, image in enumerate(truth["images"])}
    for image in truth["images"]:
        image["id"] = new_ids[image["id"]]
    for annotation in truth["annotations"]:
        del annotation["area"]
        annotation["id"] -= 1
        annotation["image_id"] = new_ids[annotation["image_id"]]
    for result in results:
        result["image_id"] = new_ids[result["image_id"]]
    folder = FOLDER / "no-area"
    folder.mkdir(exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    stats = figures(folder / "annotations.json", folder / "results.json")
    (folder / "xtcocotools.json").write_text(json.dumps(stats, indent=1) + "\n")


if __name__ == "__main__":
    main()
