"""IDF1 of the tracker beside ByteTrack's matching and OC-SORT's, over the simulated scenes of the tests.

    cargo build --release
    SINEW_SCENES=/tmp/scenes cargo test --release --test track -- --ignored write_scenes
    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install supervision==0.27.0 trackers==2.6.1
    /tmp/venv/bin/python tests/data/track/scenes.py /tmp/scenes 0 60
    /tmp/venv/bin/python tests/data/track/scenes.py /tmp/scenes 0 60 --straight
    /tmp/venv/bin/python benches/compare_track.py /tmp/scenes [--json] [--detected]

Every tracker gets the same boxes, those around the keypoints. A scene's scores are scaled so that its usual
score is 0.9: both others have fixed thresholds, and scores here are not calibrated. IDF1 is over the poses
that were detected: each is known to be of a person, or false. An identity that a false pose gets counts
against it, or with `--detected` not at all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

Frame = dict
Ids = list[list[int | None]]


def of_people(frames: list[Frame], ids: Ids) -> Ids:
    """The same without the identities of false poses."""
    return [
        [identity if pose["person"] is not None else None for pose, identity in zip(frame["poses"], row)]
        for frame, row in zip(frames, ids, strict=True)
    ]


def identification(frames: list[Frame], ids: Ids) -> tuple[float, int]:
    """IDF1 (Ristani et al., 2016) and identity switches."""
    people: dict[int, int] = {}
    identities: dict[int, int] = {}
    shared: dict[tuple[int, int], int] = {}
    last: dict[int, int] = {}
    truths = given = switches = 0
    for frame, row in zip(frames, ids, strict=True):
        for pose, identity in zip(frame["poses"], row, strict=True):
            person = pose["person"]
            truths += person is not None
            given += identity is not None
            if person is None or identity is None:
                continue
            pair = (people.setdefault(person, len(people)), identities.setdefault(identity, len(identities)))
            shared[pair] = shared.get(pair, 0) + 1
            switches += last.get(person, identity) != identity
            last[person] = identity
    counts = np.zeros((max(len(people), 1), max(len(identities), 1)))
    for pair, count in shared.items():
        counts[pair] = count
    matched = counts[linear_sum_assignment(-counts)].sum()
    return 2.0 * matched / max(truths + given, 1), switches


def boxes(frame: Frame) -> np.ndarray:
    """Left, top, right, bottom of every pose."""
    found = [np.asarray(pose["keypoints"])[:, :2] for pose in frame["poses"]]
    corners = [np.concatenate([points.min(0), points.max(0)]) for points in found]
    return np.asarray(corners, dtype=np.float32).reshape(-1, 4)


def scores(frames: list[Frame]) -> list[np.ndarray]:
    """Scores of every frame's poses; the usual one of the scene becomes 0.9."""
    usual = np.median([pose["score"] for frame in frames for pose in frame["poses"]] or [1.0])
    if usual <= 0.0:
        return [np.full(len(frame["poses"]), 0.9, dtype=np.float32) for frame in frames]
    scale = 0.9 / usual
    return [
        np.clip([pose["score"] * scale for pose in frame["poses"]], 0.0, 1.0).astype(np.float32)
        for frame in frames
    ]


def with_updates(frames: list[Frame], update: Callable) -> Ids:
    """Identities from a tracker that takes supervision's detections and returns some of them."""
    import supervision as sv

    ids: Ids = []
    for frame, confidence in zip(frames, scores(frames), strict=True):
        count = len(frame["poses"])
        row: list[int | None] = [None] * count
        detections = sv.Detections(
            xyxy=boxes(frame),
            confidence=confidence,
            class_id=np.zeros(count, dtype=int),
            data={"place": np.arange(count)},
        )
        tracked = update(detections)
        if len(tracked) > 0 and tracked.tracker_id is not None:
            for place, identity in zip(tracked.data["place"], tracked.tracker_id, strict=True):
                # -1 is no identity yet.
                row[int(place)] = int(identity) if identity >= 0 else None
        ids.append(row)
    return ids


def rate(frames: list[Frame]) -> float:
    """Frames a second."""
    return 1.0 / float(np.median(np.diff([frame["captured"] for frame in frames])))


def bytetrack(frames: list[Frame]) -> Ids:
    """ByteTrack's matching, from supervision; tracks live through 30 frames as ours do."""
    import supervision as sv

    return with_updates(frames, sv.ByteTrack(lost_track_buffer=30, frame_rate=30).update_with_detections)


def ocsort(frames: list[Frame]) -> Ids:
    """OC-SORT, from trackers; tracks live through 30 frames as ours do."""
    from trackers import OCSORTTracker

    return with_updates(frames, OCSORTTracker(lost_track_buffer=30, frame_rate=30.0).update)


def nearest(frames: list[Frame]) -> Ids:
    """The nearest centre of the frame before, up to 50 pixels away."""
    ids: Ids = []
    before: list[tuple[np.ndarray, int]] = []
    count = 0
    for frame in frames:
        row: list[int | None] = []
        now = []
        free = list(before)
        for box in boxes(frame):
            centre = (box[:2] + box[2:]) / 2.0
            free.sort(key=lambda known: float(np.hypot(*(known[0] - centre))))
            if free and np.hypot(*(free[0][0] - centre)) < 50.0:
                identity = free.pop(0)[1]
            else:
                count += 1
                identity = count
            row.append(identity)
            now.append((centre, identity))
        before = now
        ids.append(row)
    return ids


def plain(frames: list[Frame]) -> Ids:
    """Constant velocity, the least sum of distances up to half a height, 30 frames of patience."""
    ids: Ids = []
    known: list[dict] = []
    count = 0
    for frame in frames:
        now = frame["captured"]
        found = [
            ((box[:2] + box[2:]) / 2.0, max(float(np.max(box[2:] - box[:2])), 1.0)) for box in boxes(frame)
        ]
        row: list[int | None] = [None] * len(found)
        known = [one for one in known if one["missing"] <= 30]
        for one in known:
            one["expected"] = one["place"] + one["velocity"] * (now - one["time"])
            one["missing"] += 1
        costs = np.array(
            [[np.hypot(*(one["expected"] - place)) / one["size"] for one in known] for place, _ in found]
        ).reshape(len(found), len(known))
        for index, column in zip(*linear_sum_assignment(np.minimum(costs, 9.0)), strict=True):
            if costs[index, column] < 0.5:
                (place, size), one = found[index], known[column]
                velocity = (place - one["place"]) / max(now - one["time"], 1e-3)
                one["velocity"] += 0.3 * (velocity - one["velocity"])
                one.update(place=place, time=now, missing=0, size=size)
                row[index] = one["id"]
        for index, (place, size) in enumerate(found):
            if row[index] is None:
                count += 1
                row[index] = count
                one = {
                    "id": count,
                    "place": place,
                    "velocity": np.zeros(2),
                    "time": now,
                    "missing": 0,
                    "size": size,
                }
                known.append(one)
        ids.append(row)
    return ids


def ours(path: Path, sinew: str) -> Ids:
    """What `sinew track` gives."""
    command = [sinew, "track", str(path), "--quiet"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [[pose.get("id") for pose in json.loads(line)["poses"]] for line in lines if '"poses"' in line]


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", type=Path, help="folder that write_scenes filled")
    parser.add_argument("--sinew", default="target/release/sinew", help="the program")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--detected", action="store_true", help="leave identities of false poses out")
    arguments = parser.parse_args()
    paths = sorted(arguments.scenes.glob("*.jsonl"))
    if not paths:
        parser.error(f"{arguments.scenes}: no scene in it; run write_scenes first")
    table: dict[str, dict[str, list[float]]] = {}
    for number, path in enumerate(paths):
        if sys.stderr.isatty():
            print(f"\r{number}/{len(paths)} scenes", end="", file=sys.stderr)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        frames = [line for line in lines if "poses" in line]
        row = table.setdefault(path.stem.rsplit("-", 1)[0], {})
        for name, ids in (
            ("ours", ours(path, arguments.sinew)),
            ("bytetrack", bytetrack(frames)),
            ("ocsort", ocsort(frames)),
            ("plain", plain(frames)),
            ("nearest", nearest(frames)),
        ):
            counted = of_people(frames, ids) if arguments.detected else ids
            row.setdefault(name, []).append(identification(frames, counted)[0])
    names = ["ours", "bytetrack", "ocsort", "plain", "nearest"]
    means = {scene: {name: float(np.mean(row[name])) for name in names} for scene, row in table.items()}
    means["mean"] = {name: float(np.mean([row[name] for row in means.values()])) for name in names}
    if arguments.json:
        print(json.dumps(means, indent=1))
        return 0
    print(f"{'scene':32}" + "".join(f"{name:>10}" for name in names))
    for scene, mean in means.items():
        print(f"{scene:32}" + "".join(f"{mean[name]:10.3f}" for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
