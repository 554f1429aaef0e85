"""Small MOT files, and what TrackEval and motmetrics say of them.

python3 -m venv /tmp/venv && /tmp/venv/bin/pip install trackeval==1.3.0 motmetrics==1.4.0
/tmp/venv/bin/python tests/data/track/make.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from trackeval import metrics

HERE = Path(__file__).parent
Rows = dict[int, dict[int, tuple[float, float, float, float]]]


def scene(
    seed: int, people: int, frames: int, missed: float, false_boxes: float, switches: float
) -> tuple[Rows, Rows]:
    """People that walk, and what a tracker may have made of them."""
    chance = np.random.default_rng(seed)
    place = chance.uniform(0, 600, (people, 2))
    speed = chance.normal(0, 6, (people, 2))
    identity = list(range(1, people + 1))
    fresh = people
    truth: Rows = {}
    found: Rows = {}
    for frame in range(1, frames + 1):
        place += speed
        here = truth.setdefault(frame, {})
        there = found.setdefault(frame, {})
        for person in range(people):
            if person * 3 > frame:
                continue
            box = (*place[person].round(1), 60.0, 140.0)
            here[person + 1] = tuple(map(float, box))
            if chance.random() < switches:
                fresh += 1
                identity[person] = fresh
            if chance.random() >= missed:
                shift = chance.normal(0, 9, 4).round(1)
                there[identity[person]] = tuple(float(a + b) for a, b in zip(box, shift, strict=True))
        if chance.random() < false_boxes:
            fresh += 1
            there[fresh] = (*map(float, chance.uniform(0, 600, 2).round(1)), 50.0, 120.0)
    return truth, found


def write(path: Path, rows: Rows) -> None:
    """MOTChallenge's lines."""
    lines = [
        f"{frame},{identity}," + ",".join(f"{value:g}" for value in box) + ",1,-1,-1,-1"
        for frame, boxes in rows.items()
        for identity, box in boxes.items()
    ]
    path.write_text("\n".join(lines) + "\n")


def read(path: Path) -> Rows:
    """What was written, digit for digit."""
    rows: Rows = {}
    for line in path.read_text().splitlines():
        frame, identity, *box = line.split(",")[:6]
        rows.setdefault(int(frame), {})[int(identity)] = tuple(map(float, box))
    return rows


def overlap(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of boxes."""
    low = np.maximum(truth[:, None, :2], found[None, :, :2])
    high = np.minimum(truth[:, None, :2] + truth[:, None, 2:], found[None, :, :2] + found[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    return common / (truth[:, None, 2:].prod(-1) + found[None, :, 2:].prod(-1) - common)


def trackeval(truth: Rows, found: Rows) -> dict[str, float]:
    """TrackEval's figures."""
    truth_ids = {
        identity: index for index, identity in enumerate(sorted({i for row in truth.values() for i in row}))
    }
    found_ids = {
        identity: index for index, identity in enumerate(sorted({i for row in found.values() for i in row}))
    }
    frames = sorted(set(truth) | set(found))
    data = {
        "num_timesteps": len(frames),
        "num_gt_ids": len(truth_ids),
        "num_tracker_ids": len(found_ids),
        "num_gt_dets": sum(map(len, truth.values())),
        "num_tracker_dets": sum(map(len, found.values())),
        "gt_ids": [np.array([truth_ids[i] for i in truth.get(f, {})], dtype=int) for f in frames],
        "tracker_ids": [np.array([found_ids[i] for i in found.get(f, {})], dtype=int) for f in frames],
        "similarity_scores": [
            overlap(
                np.array(list(truth.get(f, {}).values()), dtype=float).reshape(-1, 4),
                np.array(list(found.get(f, {}).values()), dtype=float).reshape(-1, 4),
            )
            for f in frames
        ],
    }
    hota = metrics.HOTA().eval_sequence(data)
    clear = metrics.CLEAR().eval_sequence(data)
    identity = metrics.Identity().eval_sequence(data)
    return {
        "hota": float(np.mean(hota["HOTA"])),
        "det_a": float(np.mean(hota["DetA"])),
        "ass_a": float(np.mean(hota["AssA"])),
        "mota": float(clear["MOTA"]),
        "idf1": float(identity["IDF1"]),
        "switches": int(clear["IDSW"]),
        "misses": int(clear["CLR_FN"]),
        "false_positives": int(clear["CLR_FP"]),
    }


def motmetrics(truth: Rows, found: Rows) -> dict[str, float]:
    """motmetrics' figures, of those that it has."""
    if not hasattr(np, "asfarray"):
        # motmetrics 1.4.0 calls what NumPy 2 no longer has.
        setattr(np, "asfarray", lambda values: np.asarray(values, dtype=float))  # noqa: B010
    import motmetrics as mm

    accumulator = mm.MOTAccumulator(auto_id=True)
    for frame in sorted(set(truth) | set(found)):
        here, there = truth.get(frame, {}), found.get(frame, {})
        distance = 1.0 - overlap(
            np.array(list(here.values()), dtype=float).reshape(-1, 4),
            np.array(list(there.values()), dtype=float).reshape(-1, 4),
        )
        accumulator.update(list(here), list(there), np.where(distance > 0.5, np.nan, distance))
    names = ["mota", "idf1", "num_switches"]
    row = mm.metrics.create().compute(accumulator, metrics=names).iloc[0]
    return {"mota": float(row["mota"]), "idf1": float(row["idf1"]), "switches": int(row["num_switches"])}


def main() -> None:
    """Writes all files."""
    expected = {}
    for name, arguments in {
        "clean": (1, 4, 30, 0.0, 0.0, 0.0),
        "mixed": (2, 7, 50, 0.2, 0.3, 0.02),
        "poor": (3, 10, 40, 0.5, 0.8, 0.1),
    }.items():
        truth, found = scene(*arguments)
        if name == "mixed":
            # A frame without truth, one without tracks.
            truth.pop(20)
            found.pop(30)
        write(HERE / f"{name}-gt.txt", truth)
        write(HERE / f"{name}-tracks.txt", found)
        truth, found = read(HERE / f"{name}-gt.txt"), read(HERE / f"{name}-tracks.txt")
        expected[name] = trackeval(truth, found)
        other = motmetrics(truth, found)
        for key, value in other.items():
            if abs(value - expected[name][key]) > 1e-9:
                print(f"{name}: {key} is {expected[name][key]} of TrackEval, {value} of motmetrics")
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
