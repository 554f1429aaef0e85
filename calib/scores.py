"""Fits a bundle's `[score]` section: from the model's own scores to probabilities.

    python -m calib.scores models/bundles/logocap-tiny \\
        --coco tests/data/people/annotations.json --images tests/data/people \\
        --check-coco tests/data/people-hard/annotations.json --check-images tests/data/people-hard

`sinew eval --metric calibration` says of every pose whether it is right (OKS of at least 0.5) and of every
labelled keypoint of a right pose whether it lies within a tenth of the person's size. Isotonic regression
(pool adjacent violators) through both gives monotone maps, of which the few knots are kept that change least.
A map is written only where the expected calibration error on the check set falls, which should be images
that the fit has not seen; without a check set, on the same images.

LOFR's keypoints are not mapped: their scores say whether a box shows the keypoint, and where they are low
there is nothing to be near to.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export.bundle import MANIFEST, dump

MAX_KNOTS = 8
LEAST_RISE = 0.002
"""How much of every map is a straight line, so that it rises everywhere and keeps the order of scores."""
KINDS = ("pose", "keypoint")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Steps:
    """A monotone step function: blocks of scores that share one probability."""

    score: Array
    """Mean score of each block, rising."""
    probability: Array
    count: Array


def pool_adjacent_violators(
    score: Array, right: Array, prior: float = 0.0, weight: Array | None = None
) -> Steps:
    """The isotonic regression of `right` (0 or 1) on `score`. With `prior`, as if so many right and so many
    wrong ones were in every block besides."""
    order = np.argsort(score, kind="stable")
    each = np.ones(len(score)) if weight is None else weight[order]
    values, starts = np.unique(score[order], return_index=True)
    counts = np.add.reduceat(each, starts)
    hits = np.add.reduceat(each * right[order], starts)
    steps = pooled(values, counts, hits)
    if prior == 0.0:
        return steps
    shrunk = (steps.probability * steps.count + prior) / (steps.count + 2 * prior)
    return pooled(steps.score, steps.count, shrunk * steps.count)


def pooled(values: Array, counts: Array, hits: Array) -> Steps:
    """Neighbours joined until probabilities rise."""
    blocks: list[list[float]] = []  # count, hits, sum of scores
    for count, hit, value in zip(counts, hits, values):
        blocks.append([float(count), float(hit), float(count * value)])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][0] >= blocks[-1][1] * blocks[-2][0]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last)]
    count, hit, total = np.array(blocks).T
    return Steps(total / count, hit / count, count)


def choose_knots(steps: Steps, most: int) -> list[int]:
    """The blocks, first and last among them, whose polyline is nearest to all, weighted by their counts."""
    size = len(steps.score)
    if size <= most:
        return list(range(size))
    cost = np.full((size, size), np.inf)
    for first in range(size - 1):
        for last in range(first + 1, size):
            between = slice(first, last + 1)
            line = np.interp(
                steps.score[between],
                steps.score[[first, last]],
                steps.probability[[first, last]],
            )
            cost[first, last] = (steps.count[between] * (line - steps.probability[between]) ** 2).sum()
    best = np.full((most, size), np.inf)
    came = np.zeros((most, size), int)
    best[0, 0] = 0.0
    for knot in range(1, most):
        total = best[knot - 1][:, None] + cost
        came[knot], best[knot] = total.argmin(0), total.min(0)
    knot = int(best[:, -1].argmin())
    chosen = [size - 1]
    while knot > 0:
        chosen.append(int(came[knot, chosen[-1]]))
        knot -= 1
    return chosen[::-1]


def fit(score: Array, right: Array, most: int = MAX_KNOTS, prior: float = 0.0) -> list[list[float]]:
    """The knots of a map that rises everywhere between 0 (or the lowest score) and 1 (or the highest)."""
    if len(score) < 2 or score.min() == score.max():
        raise ValueError(f"{len(score)} scores of one value: nothing can be fitted")
    steps = thinned(pool_adjacent_violators(score, right, prior))
    return map_through(steps, choose_knots(steps, most - 2), score)


def map_through(steps: Steps, chosen: list[int], score: Array) -> list[list[float]]:
    """The knots of a map through the chosen blocks, which rises everywhere."""
    x, y = steps.score[chosen], steps.probability[chosen]
    low, high = min(0.0, float(score.min())), max(1.0, float(score.max()))
    if x[0] > low:
        x, y = (
            np.insert(x, 0, low),
            np.insert(y, 0, y[0] if len(x) == 1 else 0.0 if y[0] < 0.05 else y[0]),
        )
    if x[-1] < high:
        x, y = np.append(x, high), np.append(y, y[-1])
    y = (1 - LEAST_RISE) * y + LEAST_RISE * (x - low) / (high - low)
    return [[round(float(a), 6), round(float(b), 6)] for a, b in zip(x, y)]


def thinned(steps: Steps, most: int = 64) -> Steps:
    """At most so many blocks: neighbours are joined, which keeps the function monotone."""
    size = len(steps.score)
    if size <= most:
        return steps
    starts = np.unique(np.linspace(0, size, most, endpoint=False).astype(int))
    count = np.add.reduceat(steps.count, starts)
    mean = lambda values: np.add.reduceat(values * steps.count, starts) / count  # noqa: E731
    return Steps(mean(steps.score), mean(steps.probability), count)


def calibration_error(score: Array, right: Array, bins: int = 10) -> float:
    """The expected calibration error, as `sinew eval` computes it."""
    place = np.clip((score * bins).astype(int), 0, bins - 1)
    errors = [
        abs(score[place == index].mean() - right[place == index].mean()) * (place == index).sum()
        for index in np.unique(place)
    ]
    return float(sum(errors) / len(score))


def without_scores(bundle: Path, folder: Path) -> Path:
    """A copy of the bundle that gives the model's own scores; its files are links."""
    copy = folder / bundle.resolve().name
    copy.mkdir()
    for path in bundle.resolve().iterdir():
        if path.name != MANIFEST:
            (copy / path.name).symlink_to(path)
    manifest = tomllib.loads((bundle / MANIFEST).read_text())
    manifest.pop("score", None)
    (copy / MANIFEST).write_text(dump(manifest))
    return copy


def outcomes(arguments: argparse.Namespace, bundle: Path, coco: Path, images: Path) -> dict[str, Array]:
    """Scores and whether they were right, `[n, 2]`, of poses and of keypoints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.json"
        command = [
            str(arguments.sinew),
            "eval",
            "--metric",
            "calibration",
            "--json",
            "--model",
            str(bundle),
        ]
        command += [
            "--coco",
            str(coco),
            "--images",
            str(images),
            "--outcomes",
            str(path),
        ]
        command += ["--threads", str(arguments.threads), "--backend", arguments.backend]
        done = subprocess.run(command, env=os.environ, stdout=subprocess.DEVNULL, check=False)
        # 1 says that images were skipped, which the program has reported.
        if done.returncode not in (0, 1):
            raise SystemExit(f"{' '.join(command)} failed with exit code {done.returncode}")
        found = json.loads(path.read_text())
    return {kind: np.array(found[kind], float).reshape(-1, 2) for kind in KINDS}


def apply(knots: list[list[float]], rows: Array) -> Array:
    """The outcomes with probabilities in place of scores."""
    x, y = np.array(knots).T
    return np.stack([np.interp(rows[:, 0], x, y), rows[:, 1]], 1)


def install(bundle: Path, score: dict[str, list[list[float]]]) -> None:
    """Writes the section into the manifest, after `[decode]`."""
    manifest = tomllib.loads((bundle / MANIFEST).read_text())
    manifest.pop("score", None)
    written: dict[str, Any] = {}
    for section, values in manifest.items():
        written[section] = values
        if section == "decode":
            written["score"] = score
    target = bundle / MANIFEST
    temporary = target.with_suffix(".toml.new")
    temporary.write_text(dump(written))
    shutil.copymode(target, temporary)
    temporary.replace(target)


def main() -> int:
    """Runs the command; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument(
        "--coco", type=Path, action="append", required=True, help="annotations to fit on; repeatable"
    )
    parser.add_argument("--images", type=Path, action="append", required=True, help="their images")
    parser.add_argument("--check-coco", type=Path, help="annotations that decide; held out")
    parser.add_argument("--check-images", type=Path, help="their images")
    parser.add_argument("--sinew", type=Path, default=Path("target/release/sinew"), help="the program")
    parser.add_argument("--backend", default="auto", help="what runs the networks")
    parser.add_argument("--threads", type=int, default=0, help="0 is one per core")
    parser.add_argument("--knots", type=int, default=MAX_KNOTS, help="most knots of a map, 4 to 16")
    parser.add_argument(
        "--prior", type=float, default=0.0, help="right and wrong ones added to every block; for small sets"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the section, and write nothing")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args()
    if (arguments.check_coco is None) != (arguments.check_images is None):
        parser.error("give --check-coco and --check-images together")
    if len(arguments.coco) != len(arguments.images):
        parser.error(f"{len(arguments.coco)} of --coco and {len(arguments.images)} of --images; give pairs")
    if not 4 <= arguments.knots <= 16:
        parser.error("--knots is 4 to 16")
    manifest = tomllib.loads((arguments.bundle / MANIFEST).read_text())
    if manifest["bundle"]["model"] == "capeformer":
        parser.error("a capeformer bundle has no people to measure; use calib.presence")

    with tempfile.TemporaryDirectory() as folder:
        raw = without_scores(arguments.bundle, Path(folder))
        sets = [outcomes(arguments, raw, *pair) for pair in zip(arguments.coco, arguments.images)]
        seen = {kind: np.concatenate([one[kind] for one in sets]) for kind in KINDS}
        check = seen
        if arguments.check_coco is not None:
            check = outcomes(arguments, raw, arguments.check_coco, arguments.check_images)
    score, rows = {}, []
    for kind in KINDS[:1] if manifest["bundle"]["model"] == "lofr" else KINDS:
        if len(seen[kind]) == 0 or len(check[kind]) == 0:
            print(
                f"{kind}: nothing was measured; the scores stay as they are",
                file=sys.stderr,
            )
            continue
        knots = fit(seen[kind][:, 0], seen[kind][:, 1], arguments.knots, arguments.prior)
        before, after = (calibration_error(*of.T) for of in (check[kind], apply(knots, check[kind])))
        rows.append({"of": kind, "count": len(check[kind]), "before": before, "after": after})
        if after < before:
            score[kind] = knots
    if arguments.json:
        print(json.dumps({"bundle": arguments.bundle.name, "score": score, "ece": rows}, indent=2))
    else:
        for row in rows:
            better = "" if row["of"] in score else ": not better, left as it is"
            errors = f"ECE {row['before']:.4f} -> {row['after']:.4f}"
            print(f"{row['of']}: {errors} ({row['count']} scores){better}")
        print("[score]")
        for kind, knots in score.items():
            print(f"{kind} = {knots}")
    if not score:
        return 1
    if not arguments.dry_run:
        install(arguments.bundle, score)
    return 0


if __name__ == "__main__":
    sys.exit(main())
