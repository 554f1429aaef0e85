"""The held-out set `tests/data/objects`: fifteen kinds of drawn objects, six images each, in COCO's format.

    python -m models.data.objects.heldout --output tests/data/objects

Training sees none of these kinds. Everything is drawn, so the images are published under the project's
licence.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.data.objects.episodes import Shot, Style, compose
from models.data.objects.families import Family, families
from models.data.people import drawn, photometry

SEED = 20_261_121
IMAGES = 6
SIDE = 256
STYLE = Style(side=SIDE, margin=1.5, loose=0.35, turn=1.4, tilt=0.1, mirrored=0.4, clutter=2)
"""Smaller in the image than a crop has it, so that the box matters.

Objects are turned so far that copying the places of another image is of little use.
"""


def background(generator: np.random.Generator, side: int) -> np.ndarray:
    """Drawn rooms and textures, and blends of them."""
    image = drawn.room(generator, side) if generator.random() < 0.6 else drawn.texture(generator, side)
    gain = generator.uniform(0.5, 1.0)
    return (image - 128) * np.float32(gain) + np.float32(128 + generator.normal(0, 20))


def box_inside(box: tuple[float, float, float, float], side: int) -> list[float]:
    """`[x, y, width, height]`, cut to an image of `side` pixels."""
    x, y, width, height = box
    left, top = max(0.0, x), max(0.0, y)
    return [left, top, min(side, x + width) - left, min(side, y + height) - top]


def make(output: Path, seed: int = SEED) -> int:
    """Writes images and `annotations.json`; how many images."""
    output.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: list[dict[str, Any]] = []
    for number, family in enumerate(families(), start=1):
        edges = [[a + 1, b + 1] for a, b in family.edges]
        categories.append(
            {"id": number, "name": family.name, "keypoints": list(family.keypoints), "skeleton": edges}
        )
        for index in range(IMAGES):
            generator = np.random.default_rng([seed, number, index])
            shot = shown(family, generator)
            name = f"{family.name}-{index + 1}.jpg"
            cv2.imwrite(str(output / name), shot.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
            identity = len(images) + 1
            images.append({"id": identity, "file_name": name, "width": SIDE, "height": SIDE})
            flags = [2 if seen else 0 for seen in shot.visible]
            points = [
                value for (x, y), flag in zip(shot.keypoints.round(1).tolist(), flags)
                for value in ((x, y, flag) if flag else (0, 0, 0))
            ]  # fmt: skip
            box = box_inside(shot.box, SIDE)
            annotations.append({
                "id": identity, "image_id": identity, "category_id": number, "bbox": box,
                "area": round(box[2] * box[3], 1), "iscrowd": 0,
                "num_keypoints": sum(flag > 0 for flag in flags), "keypoints": points,
            })  # fmt: skip
    contents = {"images": images, "annotations": annotations, "categories": categories}
    (output / "annotations.json").write_text(json.dumps(contents, separators=(",", ":")) + "\n")
    return len(images)


def shown(family: Family, generator: np.random.Generator) -> Shot:
    """One image in which nearly all keypoints can be seen."""
    while True:
        shot = compose(family, generator, background, STYLE, photometry.soften)
        if shot.visible.mean() > 0.7:
            return shot


def main() -> None:
    """Writes the held-out set."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=Path("tests/data/objects"))
    parser.add_argument(
        "--seed", type=int, default=SEED, help="another one gives new images of the same kinds"
    )
    arguments = parser.parse_args()
    print(f"{make(arguments.output, arguments.seed)} images")


if __name__ == "__main__":
    main()
