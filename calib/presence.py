"""Fits a CapeFormer bundle's `[score]`: from a pose's score to the probability that the object is there.

    python -m calib.presence models/bundles/capeformer-lite0 \\
        --coco tests/data/photos/objects/annotations.json --images tests/data/photos/objects \\
        --none-coco tests/data/photos/annotations.json --none-images tests/data/photos

CapeFormer gives a pose for every box, whether it shows the object or not. Here every image is enrolled, and
its template looked for in the boxes of all others: those of its kind show the object, those of other kinds do
not. Isotonic regression gives a monotone map, as in `calib.scores`; boxes with and without the object weigh
the same in all, so that a probability of 0.5 is where both are equally likely.

What the fit is worth is measured on kinds that it has not seen, leaving out one at a time, and on boxes of
other images that show none of the kinds. The map is written if the calibration error on left-out kinds falls.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calib.scores import (
    Array,
    choose_knots,
    install,
    map_through,
    pool_adjacent_violators,
    thinned,
    without_scores,
)
from models.export.bundle import MANIFEST

KNOTS = 6
AT_ONCE = 30
"""Templates of one run: `limits.poses` of the bundles."""
BINS = 10


@dataclass(frozen=True)
class Pairs:
    """Scores of templates in boxes."""

    score: Array
    there: Array
    """1 where the box shows the template's kind."""
    template: Array
    """The kind that was enrolled."""
    shown: Array
    """The kind in the box, -1 for none of them."""

    def where(self, mask: Any) -> Pairs:
        return Pairs(self.score[mask], self.there[mask], self.template[mask], self.shown[mask])

    def weights(self) -> Array:
        """Boxes with the object weigh as much as those without, in all."""
        share = self.there.mean()
        return np.where(self.there == 1, 0.5 / share, 0.5 / (1 - share))


@dataclass(frozen=True)
class Folder:
    """Annotated images."""

    annotations: Path
    images: Path

    def boxes(self) -> dict[str, list[tuple[int, list[float]]]]:
        """Kind and box of everything annotated, by file name."""
        contents = json.loads(self.annotations.read_text())
        names = {image["id"]: image["file_name"] for image in contents["images"]}
        found: dict[str, list[tuple[int, list[float]]]] = {}
        for one in contents["annotations"]:
            found.setdefault(names[one["image_id"]], []).append((one["category_id"], one["bbox"]))
        return found


def sinew(arguments: argparse.Namespace, *words: object) -> subprocess.CompletedProcess[str]:
    """Runs the program."""
    command = [str(arguments.sinew), "--quiet", *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def enrol(
    arguments: argparse.Namespace, bundle: Path, folder: Folder, out: Path
) -> Iterator[tuple[str, int, Path]]:
    """The template of every image that shows all keypoints of its one object, and its kind."""
    for number, (name, boxes) in enumerate(sorted(folder.boxes().items())):
        path = out / f"{number:04}.template"
        words = [
            "enrol",
            "--model",
            bundle,
            "--image",
            folder.images / name,
            "--keypoints",
            folder.annotations,
        ]
        done = sinew(arguments, *words, "--out", path, "--backend", arguments.backend)
        if done.returncode == 0:
            yield name, boxes[0][0], path
        elif "is not visible" not in done.stderr:
            raise SystemExit(f"{name}: {done.stderr.strip()}")


def look(
    arguments: argparse.Namespace,
    bundle: Path,
    templates: list[tuple[str, int, Path]],
    folder: Folder,
    foreign: bool,
) -> Pairs:
    """Every template in every box of other images; in `foreign` images nothing is of a template's kind."""
    rows: list[tuple[float, int, int, int]] = []
    boxes = folder.boxes()
    with tempfile.TemporaryDirectory() as made:
        lines = [{"name": name, "boxes": [box for _, box in found]} for name, found in boxes.items()]
        listed = Path(made) / "boxes.jsonl"
        listed.write_text("".join(json.dumps(line) + "\n" for line in lines))
        most = max(len(found) for found in boxes.values())
        at_once = max(1, AT_ONCE // most)
        for first in range(0, len(templates), at_once):
            part = templates[first : first + at_once]
            words: list[object] = [word for _, _, path in part for word in ("--template", path)]
            words += ["--source", folder.images, "--boxes", listed, "--sink", "jsonl:-"]
            done = sinew(arguments, "run", "--model", bundle, *words, "--backend", arguments.backend)
            if done.returncode not in (0, 1):
                raise SystemExit(done.stderr.strip())
            for line in done.stdout.splitlines():
                result = json.loads(line)
                name = Path(result.get("name", "")).name
                if name not in boxes:
                    continue
                kinds = [kind for kind, _ in boxes[name]]
                expected = [(kind, one) for kind in kinds for one in part]
                poses = result["poses"]
                if len(poses) != len(expected):
                    raise SystemExit(f"{name}: {len(poses)} poses for {len(expected)} boxes and templates")
                for pose, (kind, (enrolled, of, _)) in zip(poses, expected):
                    if enrolled != name or foreign:
                        kind = -1 if foreign else kind
                        rows.append((pose["score"], int(kind == of), of, kind))
    return Pairs(*np.array(rows, float).T)


def fit(pairs: Pairs) -> list[list[float]]:
    """The knots of the map."""
    steps = thinned(pool_adjacent_violators(pairs.score, pairs.there, weight=pairs.weights()))
    return map_through(steps, choose_knots(steps, KNOTS - 2), pairs.score)


def probability(knots: list[list[float]], pairs: Pairs) -> Array:
    """Of the object's being there."""
    found: Array = np.interp(pairs.score, *np.array(knots).T)
    return found


def error(values: Array, pairs: Pairs) -> float:
    """The expected calibration error, both kinds of boxes weighing the same."""
    weight = pairs.weights()
    place = np.clip((values * BINS).astype(int), 0, BINS - 1)
    sums = np.bincount(place, weight * (values - pairs.there), BINS)
    return float(np.abs(sums).sum() / weight.sum())


def left_out(pairs: Pairs) -> Array:
    """Probabilities from maps that have not seen the template's kind."""
    found = np.zeros(len(pairs.score))
    for kind in np.unique(pairs.template):
        mine = pairs.template == kind
        found[mine] = probability(fit(pairs.where(~mine & (pairs.shown != kind))), pairs.where(mine))
    return found


def area(pairs: Pairs) -> float:
    """Under the curve: how often a box with the object scores above one without."""
    without = np.sort(pairs.score[pairs.there == 0])
    found = pairs.score[pairs.there == 1]
    below = np.searchsorted(without, found, "left") + np.searchsorted(without, found, "right")
    return float(below.mean() / 2 / len(without))


def main() -> int:
    """Runs the command; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--coco", type=Path, required=True, help="annotated objects of several kinds")
    parser.add_argument("--images", type=Path, required=True, help="their images")
    parser.add_argument("--none-coco", type=Path, help="boxes that show none of the kinds, to check with")
    parser.add_argument("--none-images", type=Path, help="their images")
    parser.add_argument("--sinew", type=Path, default=Path("target/release/sinew"), help="the program")
    parser.add_argument("--backend", default="auto", help="what runs the networks")
    parser.add_argument("--dry-run", action="store_true", help="print the section, and write nothing")
    arguments = parser.parse_args()
    if tomllib.loads((arguments.bundle / MANIFEST).read_text())["bundle"]["model"] != "capeformer":
        parser.error("only CapeFormer looks for what may not be there; use calib.scores")
    if (arguments.none_coco is None) != (arguments.none_images is None):
        parser.error("give --none-coco and --none-images together")
    with tempfile.TemporaryDirectory() as made:
        raw = without_scores(arguments.bundle, Path(made))
        folder = Folder(arguments.coco, arguments.images)
        templates = list(enrol(arguments, raw, folder, Path(made)))
        pairs = look(arguments, raw, templates, folder, foreign=False)
        none = None
        if arguments.none_coco is not None:
            none = look(
                arguments, raw, templates, Folder(arguments.none_coco, arguments.none_images), foreign=True
            )
    there = pairs.there == 1
    print(f"{len(templates)} templates; {there.sum()} boxes with the object, {(~there).sum()} without")
    unseen, knots = left_out(pairs), fit(pairs)
    before, after = error(pairs.score, pairs), error(unseen, pairs)
    print(f"ECE on kinds left out: {before:.3f} -> {after:.3f}")
    for limit in (0.3, 0.5, 0.7, 0.9):
        above = unseen > limit
        line = f"above {limit}: {above[there].mean():.2f} with the object, {above[~there].mean():.2f} without"
        if none is not None:
            line += f", {(probability(knots, none) > limit).mean():.2f} of {len(none.score)} in other images"
        print(line)
    names = {one["id"]: one["name"] for one in json.loads(arguments.coco.read_text())["categories"]}
    kinds = {
        names[int(kind)]: area(pairs.where(pairs.template == kind)) for kind in np.unique(pairs.template)
    }
    print("area under the curve:", *(f"{name} {value:.2f}" for name, value in kinds.items()), sep="\n  ")
    print(f"[score]\npose = {knots}")
    if after >= before:
        print("not better: the bundle stays as it is", file=sys.stderr)
        return 1
    if not arguments.dry_run:
        install(arguments.bundle, {"pose": knots})
    return 0


if __name__ == "__main__":
    sys.exit(main())
