"""What training `logocap-movenet` begins with: features of generated scenes and of unlabelled photographs.

    python -m models.train.movenet_bank scenes --shards 14
    python -m models.train.movenet_bank photographs --photographs FOLDER --shards 2

The first layers of MoveNet are never trained, so their outputs are computed once and kept in float16; a
training step then costs about half. Of every image a shard holds those features, the teacher's maps, and
its people: the true ones of a scene, those that `movenet_teacher` finds in a photograph. Shards that exist
are kept, so that the command may be interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.data.people.assets import Assets
from models.data.people.scenes import SceneSampler, SceneStyle
from models.data.people.sprites import Bank
from models.networks.movenet import MoveNet, MoveNetConfig, normalise
from models.paths import state_directory
from models.train.movenet_teacher import FLIP, PseudoPerson, averaged, find_people
from models.train.state import save

SIDE = 256
PER_SHARD = 200
LARGE_SIDE = 192
"""At which the teacher sees images of large people: MoveNet places those better than at `SIDE`."""
LARGE_PERSON = 100
"""Pixels from which on a person is large."""
LEAST_KEYPOINT_SCORE = 0.3
"""Of pseudo-labels that are learnt from."""
LONGEST_PHOTOGRAPH = 900
SUFFIXES = (".jpg", ".jpeg", ".webp", ".png")

Labels = list[tuple[np.ndarray, np.ndarray, float]]
"""Of each person keypoints `[17, 2]` (pixel centres at whole numbers), labelled `[17]`, and the area."""
Sample = Callable[[np.random.Generator], tuple[np.ndarray, Labels, bool]]
"""An image, its people, and whether they are large."""


def scene_style(generator: np.random.Generator) -> SceneStyle:
    """Ordinary scenes, scenes of large people, and groups or crowds."""
    kind = generator.random()
    if kind < 0.45:
        return SceneStyle(side=SIDE)
    if kind < 0.75:
        return SceneStyle(
            side=SIDE,
            counts=(0.03, 0.6, 0.3, 0.07),
            smallest=130,
            window_probability=0.35,
            overflow_probability=0.2,
        )
    style = SceneStyle(side=SIDE, counts=(0.1, 0.1, 0.2, 0.2, 0.2, 0.1, 0.1), smallest=40, largest=250)
    return replace(style, crowd_fraction=1.0 if generator.random() < 0.5 else 0.0)


def scene(assets: Assets, bank: Bank, generator: np.random.Generator) -> tuple[np.ndarray, Labels, bool]:
    """A generated scene."""
    style = scene_style(generator)
    made = SceneSampler(assets, bank, style).sample(generator)
    people = [(person.keypoints, person.labelled, person.area) for person in made.people]
    return made.image, people, style.smallest > LARGE_PERSON


def degraded(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Changes of exposure, colour, sharpness and compression."""
    changed = image.astype(np.float32)
    if generator.random() < 0.6:
        changed = (changed - 128) * generator.uniform(0.6, 1.25) + 128 + generator.normal(0, 18)
    if generator.random() < 0.3:
        changed *= generator.uniform(0.85, 1.15, 3).astype(np.float32)
    if generator.random() < 0.15:
        changed = np.repeat(changed.mean(2, keepdims=True), 3, 2)
    if generator.random() < 0.25:
        changed = cv2.GaussianBlur(changed, (0, 0), generator.uniform(0.4, 1.3))
    if generator.random() < 0.25:
        changed += generator.normal(0, generator.uniform(2, 9), changed.shape)
    result = np.clip(changed, 0, 255).astype(np.uint8)
    if generator.random() < 0.3:
        _, packed = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(35, 90))])
        result = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    return result


def crop(
    photographs: list[tuple[np.ndarray, list[PseudoPerson]]], generator: np.random.Generator
) -> tuple[np.ndarray, Labels, bool]:
    """A crop of a photograph around one of its people: turned, scaled, perhaps mirrored."""
    image, people = photographs[generator.integers(len(photographs))]
    main = people[generator.integers(len(people))]
    sure = main.scores > LEAST_KEYPOINT_SCORE
    if sure.sum() < 3:
        sure = main.scores > np.median(main.scores)
    low, high = main.keypoints[sure].min(0), main.keypoints[sure].max(0)
    large = generator.random() < 0.75
    smallest, largest = (90, 270) if large else (45, 120)
    wanted = float(np.exp(generator.uniform(np.log(smallest), np.log(largest))))
    scale = min(wanted / max((high - low).max(), 24), 2.5)
    angle = np.deg2rad(generator.normal(0, 9))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = generator.random() < 0.5
    if flip:
        turn = turn @ np.diag([-1, 1])
    slack = 0.8 * max(10, (SIDE - wanted) / 2 + 30)
    shift = SIDE / 2 + generator.uniform(-slack, slack, 2) - turn @ ((low + high) / 2)
    border = cv2.BORDER_CONSTANT if generator.random() < 0.6 else cv2.BORDER_REFLECT
    source, matrix = image, turn
    if scale < 0.7:
        # Shrunk beforehand, so that warping does not skip pixels.
        source = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        matrix = turn @ np.diag([image.shape[1] / source.shape[1], image.shape[0] / source.shape[0]])
    # Continuous coordinates to whole pixel centres.
    moved = (shift - 0.5 + matrix @ np.array([0.5, 0.5]))[:, None]
    seen = cv2.warpAffine(
        source, np.concatenate([matrix, moved], 1), (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=border
    )
    labels = []
    for person in people:
        keypoints, scores = person.keypoints @ turn.T + shift - 0.5, person.scores
        if flip:
            keypoints, scores = keypoints[FLIP], scores[FLIP]
        labelled = (scores > LEAST_KEYPOINT_SCORE) & ((keypoints >= 0) & (keypoints < SIDE)).all(1)
        if labelled.sum() >= 2:
            span = np.maximum(np.ptp(keypoints[labelled], axis=0), 12)
            labels.append((keypoints, labelled, float(0.8 * span[0] * span[1])))
    return degraded(seen, generator), labels, wanted > LARGE_PERSON


def photographs_in(folder: Path, model: MoveNet) -> list[tuple[np.ndarray, list[PseudoPerson]]]:
    """The photographs under `folder` in which the teacher finds people, and those people."""
    found = []
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    for path in tqdm(files, desc="photographs", disable=None):
        image = cv2.imread(str(path))
        if image is None or min(image.shape[:2]) < 100:
            continue
        scale = LONGEST_PHOTOGRAPH / max(image.shape[:2])
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = np.ascontiguousarray(image[..., ::-1])
        if people := find_people(model, image):
            found.append((image, people))
    if not found:
        raise FileNotFoundError(f"{folder}: no photograph in which MoveNet finds a person")
    return found


@torch.no_grad()
def record(model: MoveNet, image: np.ndarray, sides: tuple[int, ...]) -> dict[str, Tensor]:
    """Features and the teacher's maps of one image, without the batch axis; offsets as LOGO-CAP counts
    them."""
    seen = normalise(torch.from_numpy(image)[None])
    fine, middle = model.backbone.early(seen)
    maps = averaged(model, seen, sides)
    order = torch.arange(maps["regress"].shape[1]) ^ 1
    return {
        "fine": fine[0].half(),
        "middle": middle[0].half(),
        "heatmaps": (torch.cat([maps["heatmap"], maps["center"]], 1)[0] * 255).round().to(torch.uint8),
        "offsets": (0.5 - maps["regress"])[0, order].half(),
    }


def make_shard(model: MoveNet, sample: Sample, seed: list[int]) -> dict[str, Tensor]:
    """`PER_SHARD` images as one dictionary of tensors."""
    rows, people = [], []
    for number in range(PER_SHARD):
        image, labels, large = sample(np.random.default_rng([*seed, number]))
        rows.append(record(model, image, (LARGE_SIDE if large else SIDE,)))
        people += [(number, *label) for label in labels]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]} | {
        "index": torch.tensor([row[0] for row in people]),
        "keypoints": torch.from_numpy(np.array([row[1] for row in people], np.float32)),
        "labelled": torch.from_numpy(np.array([row[2] for row in people], bool)),
        "area": torch.tensor([row[3] for row in people], dtype=torch.float32),
    }


def main() -> None:
    """Makes shards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    state = state_directory()
    parser.add_argument("kind", choices=["scenes", "photographs"])
    parser.add_argument(
        "--movenet", type=Path, default=state / "movenet.pt", help="see models.checkpoints.movenet"
    )
    parser.add_argument("--photographs", type=Path, help="a folder of photographs without annotations")
    parser.add_argument("--assets", type=Path, default=state / "assets")
    parser.add_argument("--bank", type=Path, default=state / "bank")
    parser.add_argument("--out", type=Path, default=state / "logocap-movenet" / "shards")
    parser.add_argument("--shards", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.kind == "photographs" and options.photographs is None:
        parser.error("--photographs: name the folder")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = MoveNet(MoveNetConfig.multipose()).eval()
    model.load_state_dict(torch.load(options.movenet, weights_only=True))
    sample: Sample
    if options.kind == "scenes":
        sample = partial(scene, Assets.open(options.assets), Bank(options.bank))
    else:
        sample = partial(crop, photographs_in(options.photographs, model))
    for number in tqdm(range(options.shards), unit="shard", disable=None):
        path = options.out / f"{options.kind}-{options.seed:02}-{number:03}.pt"
        if not path.exists():
            save(path, make_shard(model, sample, [options.seed, number, len(options.kind)]))


if __name__ == "__main__":
    main()
