"""Simulated people for the tracker: who is who is known, and a detector finds them badly in chosen ways.

    python tests/data/track/scenes.py /tmp/scenes 0 60     # scenes drawn at random, as result lines
    python tests/data/track/scenes.py /tmp/scenes 0 60 --straight    # milder ones: people walk straight on
    python tests/data/track/scenes.py --clip                # writes clip.jsonl, which tests/track.rs reads

The scenes differ from those of tests/track_support/scenes.rs: other ways of walking, other noise, no one
leaves. A tracker that was fitted to one of the two is found out by the other. Every pose has a `person`
besides, null where it is false.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
# A standing person in heights: across from the middle, and up from the feet.
ACROSS = [
    0.0,
    0.02,
    -0.02,
    0.045,
    -0.045,
    0.11,
    -0.11,
    0.14,
    -0.14,
    0.15,
    -0.15,
    0.07,
    -0.07,
    0.075,
    -0.075,
    0.08,
    -0.08,
]
UP = [0.93, 0.95, 0.95, 0.94, 0.94, 0.82, 0.82, 0.64, 0.64, 0.48, 0.48, 0.52, 0.52, 0.28, 0.28, 0.04, 0.04]
STANDING = np.array([ACROSS, UP]).T
# How far a keypoint swings while walking, heights.
SWING = np.array([0, 0, 0, 0, 0, 0.01, -0.01, -0.05, 0.05, -0.11, 0.11, 0, 0, 0.09, -0.09, 0.17, -0.17])
STYLES = ["bounce", "goal", "drift", "sway"]
PAIRS = ["eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
KEYPOINTS = ["nose", *(f"{side}_{part}" for part in PAIRS for side in ("left", "right"))]


@dataclass(frozen=True)
class Conditions:
    """What is wrong with a scene, and how much."""

    width: float = 640.0
    height: float = 480.0
    people: int = 5
    rate: float = 10.0
    frames: int = 80
    missed: float = 0.15
    gaps: float = 0.1
    false_poses: float = 0.1
    shake: float = 2.0
    is_shake_slow: bool = False
    dropped: float = 0.1
    noise: float = 0.01
    hides: bool = True
    scores: str = "noisy"
    style: str = "mix"


class Person:
    """A person who walks in one of four ways."""

    def __init__(self, number: int, style: str, conditions: Conditions, rng: np.random.Generator) -> None:
        self.number, self.style, self.rng = number, style, rng
        self.size = np.array([conditions.width, conditions.height])
        self.height = rng.uniform(0.12, 0.5) * conditions.height
        self.place = self.somewhere()
        self.speed = rng.uniform(0.05, 0.6) * self.height
        angle = rng.uniform(0.0, 2.0 * np.pi)
        self.velocity = np.array([np.cos(angle), 0.4 * np.sin(angle)]) * self.speed
        self.goal, self.pause = self.somewhere(), 0.0
        self.middle = self.place.copy()
        self.reach = rng.uniform(0.5, 2.0, 2) * self.height * np.array([1.0, 0.3])
        self.turn, self.begin = rng.uniform(0.2, 0.7, 2), rng.uniform(0.0, 6.3, 2)
        self.time, self.phase, self.gap = 0.0, rng.uniform(0.0, 6.3), 0

    def somewhere(self) -> Points:
        """Feet anywhere in the image, but for its upper part."""
        return np.array([self.rng.uniform(0.0, self.size[0]), self.rng.uniform(0.3, 1.0) * self.size[1]])

    def step(self, seconds: float) -> None:
        """Walks on."""
        self.time += seconds
        if self.style == "sway":
            place = self.middle + self.reach * np.sin(self.turn * self.time + self.begin)
            self.velocity = (place - self.place) / seconds if self.time > 1.5 * seconds else np.zeros(2)
            self.place = place
        else:
            if self.style == "goal":
                self.seek(seconds)
            elif self.style == "drift":
                push = self.rng.normal(size=2) * np.array([1.0, 0.4]) * 0.5 * self.height
                self.velocity = self.velocity * (1.0 - 0.3 * seconds) + push * np.sqrt(seconds)
            self.place = self.place + self.velocity * seconds
            low, high = np.array([0.0, 0.3 * self.size[1]]), self.size * np.array([1.0, 1.05])
            outside = ((self.place < low) & (self.velocity < 0)) | ((self.place > high) & (self.velocity > 0))
            self.velocity = np.where(outside, -self.velocity, self.velocity)
        self.phase += seconds * 6.3 * (0.3 + 1.4 * abs(self.velocity[0]) / self.height)

    def seek(self, seconds: float) -> None:
        """Walks to a goal, stands there for a while, and chooses the next."""
        way = self.goal - self.place
        distance = float(np.hypot(*way))
        if self.pause > 0.0:
            self.pause -= seconds
            way = np.zeros(2)
        elif distance < 0.2 * self.height:
            self.goal, self.pause = self.somewhere(), self.rng.choice([0.0, self.rng.uniform(0.0, 3.0)])
        self.velocity = self.velocity + (way / max(distance, 1e-6) * self.speed - self.velocity) * min(
            seconds / 0.3, 1.0
        )

    def keypoints(self) -> Points:
        """All of them, pixels."""
        pace = min(abs(self.velocity[0]) / self.height / 0.5, 1.0)
        across = STANDING[:, 0] * (1.0 - 0.6 * pace) + pace * SWING * np.sin(self.phase)
        return np.stack(
            [self.place[0] + self.height * across, self.place[1] - self.height * STANDING[:, 1]], 1
        )

    def is_hidden_by(self, other: Person) -> bool:
        """Whether the other stands before this person."""
        near = abs(other.place[0] - self.place[0]) < 0.15 * other.height
        front = other.place[1] > self.place[1] and other.height > 0.6 * self.height
        return near and front and other.place[1] - other.height < self.place[1] - 0.5 * self.height


def score(kind: str, is_false: bool, rng: np.random.Generator) -> float:
    """Of a pose: the same for all, of little use, or good."""
    if kind == "none":
        return 0.9
    if kind == "noisy":
        return float(rng.uniform(0.1, 0.7) if is_false else rng.uniform(0.2, 0.9))
    return float(np.clip(rng.normal(0.35 if is_false else 0.75, 0.12), 0.05, 1.0))


def pose(person: int | None, points: Points, value: float) -> dict[str, object]:
    """As in a line of results."""
    keypoints = [[round(float(x), 1), round(float(y), 1), round(value, 3)] for x, y in points]
    left, top = points.min(0)
    width, height = points.max(0) - points.min(0)
    box = [round(float(side), 1) for side in (left, top, width, height)]
    return {"person": person, "score": round(value, 4), "keypoints": keypoints, "box": box}


def play(conditions: Conditions, seed: int) -> list[dict[str, object]]:
    """The lines of a scene."""
    rng = np.random.default_rng(seed)
    styles = STYLES if conditions.style == "mix" else [conditions.style]
    people = [Person(number + 1, rng.choice(styles), conditions, rng) for number in range(conditions.people)]
    seconds, camera = 1.0 / conditions.rate, np.zeros(2)
    hidden = max(0.8, conditions.missed) if conditions.hides else conditions.missed
    lines: list[dict[str, object]] = []
    for sequence in range(conditions.frames):
        for person in people:
            person.step(seconds)
        camera = (0.9 * camera if conditions.is_shake_slow else 0.0) + rng.normal(size=2) * conditions.shake
        poses = []
        for person in people:
            if person.gap > 0:
                person.gap -= 1
            elif rng.random() < conditions.gaps * seconds:
                person.gap = int(rng.integers(5, 21))
            elif rng.random() >= (hidden if any(map(person.is_hidden_by, people)) else conditions.missed):
                noise = rng.normal(size=(17, 2)) * conditions.noise * person.height
                value = score(conditions.scores, False, rng)
                poses.append(pose(person.number, person.keypoints() + camera + noise, value))
        for _ in range(rng.poisson(conditions.false_poses)):
            ghost = Person(0, "bounce", conditions, rng)
            points = ghost.keypoints() + rng.normal(size=(17, 2)) * 0.03 * ghost.height
            poses.append(pose(None, points, score(conditions.scores, True, rng)))
        if rng.random() < conditions.dropped:
            continue
        order = rng.permutation(len(poses))[:30]
        captured = round(10.0 + sequence * seconds, 6)
        lines.append({"sequence": sequence, "captured": captured, "poses": [poses[place] for place in order]})
    return lines


def drawn(seed: int) -> Conditions:
    """Conditions drawn at random from all that is foreseen."""
    rng = np.random.default_rng(10_000 + seed)
    width, height = [(640.0, 480.0), (1280.0, 720.0), (1920.0, 1080.0)][rng.integers(3)]
    return Conditions(
        width=width,
        height=height,
        people=int(rng.choice([1, 2, 3, 5, 8, 12, 20, 30])),
        rate=float(rng.choice([5, 10, 15, 25, 30])),
        frames=int(rng.choice([150, 300])),
        missed=float(rng.choice([0.0, 0.1, 0.2, 0.3, 0.4])),
        gaps=float(rng.choice([0.0, 0.05, 0.2])),
        false_poses=float(rng.choice([0.0, 0.1, 0.3, 1.0])),
        shake=float(rng.choice([0.0, 0.0, 0.003, 0.008])) * width,
        is_shake_slow=bool(rng.integers(2)),
        dropped=float(rng.choice([0.0, 0.0, 0.1, 0.3])),
        noise=float(rng.choice([0.005, 0.01, 0.02])),
        hides=bool(rng.integers(2)),
        scores=str(rng.choice(["none", "noisy", "good"])),
        style=str(rng.choice([*STYLES, "mix"])),
    )


def straight(seed: int) -> Conditions:
    """Milder ones, which suit a plain tracker of constant velocity: people walk straight to the border."""
    rng = np.random.default_rng(20_000 + seed)
    width, height = [(640.0, 480.0), (1280.0, 720.0), (1920.0, 1080.0)][rng.integers(3)]
    return Conditions(
        width=width,
        height=height,
        people=int(rng.choice([1, 2, 3, 5, 8, 12, 20, 30])),
        rate=float(rng.choice([5, 10, 15, 25, 30])),
        frames=int(rng.choice([150, 300])),
        missed=float(rng.choice([0.1, 0.2, 0.3, 0.4])),
        gaps=float(rng.choice([0.0, 0.05])),
        false_poses=float(rng.choice([0.0, 0.1, 0.3])),
        shake=float(rng.choice([0.0, 0.0, 0.003])) * width,
        is_shake_slow=bool(rng.integers(2)),
        dropped=float(rng.choice([0.0, 0.0, 0.1])),
        noise=float(rng.choice([0.005, 0.01, 0.02])),
        hides=bool(rng.integers(2)),
        scores=str(rng.choice(["none", "noisy", "good"])),
        style="bounce",
    )


def write(path: Path, conditions: Conditions, seed: int) -> None:
    """Plays a scene into a file."""
    header = {"sinew": "simulated", "keypoints": KEYPOINTS, "conditions": asdict(conditions)}
    lines = [header, *play(conditions, seed)]
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def main() -> None:
    """Writes scenes, or the clip."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="where the scenes go")
    parser.add_argument("first", type=int, nargs="?", default=0, help="seed of the first scene")
    parser.add_argument("end", type=int, nargs="?", default=60, help="seed after the last scene")
    parser.add_argument("--straight", action="store_true", help="the milder scenes")
    parser.add_argument("--clip", action="store_true", help="write clip.jsonl beside this file")
    arguments = parser.parse_args()
    if arguments.clip:
        write(Path(__file__).parent / "clip.jsonl", replace(Conditions(), style="goal"), 4)
    elif arguments.folder is None:
        parser.error("give a folder, or --clip")
    else:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        name, conditions = ("straight ways", straight) if arguments.straight else ("drawn in python", drawn)
        for seed in range(arguments.first, arguments.end):
            write(arguments.folder / f"{name}-{seed}.jsonl", conditions(seed), seed)


if __name__ == "__main__":
    main()
