"""The held-out sets `tests/data/people`, `people-crowd` and `people-hard`.

    python -m models.data.people.heldout

Made once from fixed seeds that training never uses, from bodies that training never sees, over backgrounds
and objects that are drawn here. Bodies come from `anny` (Apache-2.0; its mesh data CC0), so the images
carry no other licence.

Labels, in COCO's format: `keypoints` with the first pixel's centre at (0, 0); a keypoint outside the image
has flag 0, as has one that something covers together with everything it is joined to; `area` is the number of
the person's pixels that show, which takes the place of COCO's segment; `bbox` encloses them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from models import skeleton
from models.data.people import drawn, labels, photometry
from models.data.people.bodies import BodyLibrary, build_library
from models.data.people.canvas import Canvas
from models.data.people.labels import Person
from models.data.people.render import Renderer
from models.paths import ROOT, state_directory

SIDE = 256
BODY_SEED, BODIES = 77, 60
JPEG_QUALITY = 92


@dataclass(frozen=True)
class Recipe:
    """How one set is drawn."""

    name: str
    seed: int
    count: int
    counts: tuple[float, ...]
    """Chance of 1, 2, ... people."""
    smallest: float
    largest: float
    """Pixels of a figure's longer side."""
    disturbed: float
    """Chance that a person is cut by the border or partly behind something."""
    objects_behind: int
    objects_in_front: int
    crowding: float
    """Share of a person's pixels that another person may cover where neither is meant to be disturbed."""


RECIPES = (
    Recipe("people", 20261, 200, (0.4, 0.3, 0.2, 0.1), 80, 230, 0.30, 4, 0, 0.12),
    Recipe("people-crowd", 20263, 80, (0, 0, 0, 0, *([1 / 8] * 8)), 80, 150, 0.15, 4, 0, 0.6),
    Recipe("people-hard", 20262, 50, (0.15, 0.2, 0.2, 0.2, 0.15, 0.1), 50, 230, 0.45, 12, 3, 0.5),
)


def draw_image(recipe: Recipe, renderer: Renderer, number: int) -> tuple[np.ndarray, list[Person]]:
    """Image `number` of a set, u8 RGB, and its people; drawn anew until all people in it can be labelled."""
    for attempt in range(200):
        generator = np.random.default_rng([recipe.seed, number, attempt])
        canvas = Canvas(drawn.background(generator, SIDE))
        for _ in range(generator.integers(0, recipe.objects_behind + 1)):
            foot = np.array([generator.uniform(0, SIDE), generator.uniform(0.4, 1.05) * SIDE])
            drawn.put_object(
                canvas, generator, foot, exp(generator.uniform(log(25), log(130))), in_front=False
            )
        people = _put_people(recipe, renderer, generator, canvas)
        for _ in range(generator.integers(0, recipe.objects_in_front + 1)):
            foot = np.array([generator.uniform(0, SIDE), generator.uniform(0.6, 1.1) * SIDE])
            drawn.put_object(canvas, generator, foot, exp(generator.uniform(log(20), log(90))), in_front=True)
        if people is None:
            continue
        labelled = [labels.label_person(*person, canvas.owner, index) for index, person in enumerate(people)]
        if all(person is not None for person in labelled):
            return photometry.soften(canvas.colour, generator), [p for p in labelled if p is not None]
    raise RuntimeError(f"{recipe.name}, image {number}: no person could be placed in 200 attempts")


def _put_people(
    recipe: Recipe, renderer: Renderer, generator: np.random.Generator, canvas: Canvas
) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Place all people, far ones first; nothing if a person found no room."""
    count = 1 + int(generator.choice(len(recipe.counts), p=recipe.counts))
    sizes = sorted(exp(generator.uniform(log(recipe.smallest), log(recipe.largest))) for _ in range(count))
    people = []
    for index, size in enumerate(sizes):
        sprite = renderer.whole_figure(generator, size)
        rgba = sprite.rgba.astype(np.float32)
        height, width = rgba.shape[:2]
        disturbance = generator.random()
        cut, covered = (
            disturbance < recipe.disturbed / 2,
            recipe.disturbed / 2 <= disturbance < recipe.disturbed,
        )
        for _ in range(30):
            if cut:
                x = int(generator.uniform(-0.45 * width, SIDE - 0.55 * width))
                y = int(generator.uniform(-0.3 * height, SIDE - 0.45 * height))
                if x >= 0 and y >= 0 and x + width <= SIDE and y + height <= SIDE:
                    continue
            else:
                x = int(generator.uniform(0, max(1, SIDE - width)))
                y = int(generator.uniform(0, max(1, SIDE - height)))
            hidden = _share_hidden(canvas, rgba, x, y)
            if hidden <= recipe.crowding:
                break
        else:
            return None
        gain = generator.uniform(0.6, 1.05) * (1 + 0.04 * generator.normal(size=3))
        canvas.paste(rgba, x, y, gain.astype(np.float32), index)
        keypoints = sprite.keypoints + np.array([x, y], np.float32)
        if covered:
            _cover(canvas, generator, keypoints, size)
        people.append((keypoints, sprite.visible))
    return people


def _share_hidden(canvas: Canvas, rgba: np.ndarray, x: int, y: int) -> float:
    """The largest share of anybody's pixels that pasting `rgba` at (x, y) would cover."""
    height, width = rgba.shape[:2]
    left, top, right, bottom = max(0, x), max(0, y), min(SIDE, x + width), min(SIDE, y + height)
    under = canvas.owner[top:bottom, left:right][rgba[top - y : bottom - y, left - x : right - x, 3] > 127]
    shares = [
        (under == other).sum() / max(1, (canvas.owner == other).sum())
        for other in range(canvas.owner.max() + 1)
    ]
    return float(max(shares, default=0.0))


def _cover(canvas: Canvas, generator: np.random.Generator, keypoints: np.ndarray, size: float) -> None:
    """Something in front of one part of a person: mostly the legs, sometimes the trunk or an arm."""
    part = keypoints[generator.choice([7, 9, 11, 12, 13, 14, 15, 16])]
    foot = part + np.array([generator.normal(0, 0.1), generator.uniform(0.05, 0.3)]) * size
    drawn.put_object(canvas, generator, foot, size * generator.uniform(0.25, 0.55), in_front=True)


def annotation(person: Person, number: int, image: int) -> dict[str, object]:
    """One person in COCO's format."""
    keypoints: list[float] = []
    for (x, y), flag in zip(person.keypoints, person.visibility):
        keypoints += [round(float(x), 2), round(float(y), 2), int(flag)] if flag else [0, 0, 0]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "area": person.area,
        "bbox": list(person.box),
        "num_keypoints": int(person.labelled.sum()),
        "keypoints": keypoints,
    }


def make(recipe: Recipe, renderer: Renderer, directory: Path) -> None:
    """Draw a set into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in tqdm(range(recipe.count), desc=recipe.name, disable=None):
        image, people = draw_image(recipe, renderer, number)
        name = f"{number:03}.jpg"
        cv2.imwrite(str(directory / name), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        annotations += [
            annotation(person, len(annotations) + i, number) for i, person in enumerate(people, 1)
        ]
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.NAMES),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.EDGES],
    }
    content = {
        "info": {
            "description": f"{recipe.name}: generated people over drawn backgrounds, seed {recipe.seed}"
        },
        "images": images,
        "annotations": annotations,
        "categories": [category],
    }
    (directory / "annotations.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.data.people.heldout", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--bodies", type=Path, default=state_directory() / "bodies-held-out.npz")
    parser.add_argument("--output", type=Path, default=ROOT / "tests/data")
    parser.add_argument("--force", action="store_true", help="draw sets anew that exist already")
    options = parser.parse_args()
    if not options.bodies.exists():
        build_library(options.bodies, BODIES, BODY_SEED)
    renderer = Renderer(BodyLibrary.open(options.bodies))
    for recipe in RECIPES:
        directory = options.output / recipe.name
        if options.force or not (directory / "annotations.json").exists():
            make(recipe, renderer, directory)


if __name__ == "__main__":
    main()
