"""People drawn once and kept, so that many short runs share the cost of drawing them.

    python -m models.data.stored_people --out STATE/people --count 24000

A folder holds `images.npy` u8 [n, SIDE, SIDE, 3], `keypoints.npy` f32 [n, 17, 2], `labelled.npy` bool [n, 17]
and `boxes.npy` f32 [n, 4]: one person in each image, with room around the box for crops that are turned or
moved.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from models.data.crops import GeneratedPeople, Instance, InstanceSource
from models.paths import state_directory

SIDE = 160
"""Pixels of a kept image."""
ROOM = 1.6
"""Sides of a kept image by the longer side of the box."""


def shrink(instance: Instance) -> Instance:
    """A person alone in an image of `SIDE` pixels; what lies outside the image is black, as in crops."""
    x, y, width, height = instance.box
    scale = SIDE / (ROOM * max(width, height))
    shift = (SIDE - 1) / 2 - scale * np.array([x + width / 2, y + height / 2])
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    image = cv2.warpAffine(instance.image, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA)
    corner = scale * np.array([x, y]) + shift
    box = (corner[0], corner[1], scale * width, scale * height)
    return Instance(image, instance.keypoints * scale + shift, instance.labelled, box)


def store(source: InstanceSource, folder: Path, count: int, seed: int) -> None:
    """Draws `count` people into a folder. A folder that is whole has `boxes.npy`, which is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.lib.format.open_memmap(
        folder / "images.npy", mode="w+", dtype=np.uint8, shape=(count, SIDE, SIDE, 3)
    )
    keypoints, labelled, boxes = [], [], []
    people = source.instances(np.random.default_rng([seed, 7]))
    for index, instance in enumerate(tqdm(islice(people, count), total=count, desc="people", disable=None)):
        small = shrink(instance)
        images[index] = small.image
        keypoints.append(small.keypoints)
        labelled.append(small.labelled)
        boxes.append(small.box)
    images.flush()
    np.save(folder / "keypoints.npy", np.array(keypoints, np.float32))
    np.save(folder / "labelled.npy", np.array(labelled))
    np.save(folder / "boxes.npy", np.array(boxes, np.float32))


class StoredPeople:
    """People of a folder that `store` wrote, in any order."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "boxes.npy").exists():
            raise FileNotFoundError(
                f"{folder / 'boxes.npy'}: missing; draw people with `python -m models.data.stored_people`"
            )
        self.folder = folder
        self.images: np.ndarray | None = None

    def instances(self, generator: np.random.Generator) -> Iterator[Instance]:
        if self.images is None:
            # Opened in the process that uses it: memory maps need not travel.
            cv2.setNumThreads(1)
            self.images = np.load(self.folder / "images.npy", mmap_mode="r")
            self.keypoints = np.load(self.folder / "keypoints.npy")
            self.labelled = np.load(self.folder / "labelled.npy")
            self.boxes = np.load(self.folder / "boxes.npy")
        while True:
            index = int(generator.integers(len(self.boxes)))
            image, box = np.ascontiguousarray(self.images[index]), tuple(self.boxes[index])
            yield Instance(image, self.keypoints[index], self.labelled[index], box, index)


def main() -> None:
    """Draws people."""
    home = state_directory()
    parser = argparse.ArgumentParser(prog="python -m models.data.stored_people", description=main.__doc__)
    parser.add_argument("--assets", type=Path, default=home / "assets", help="backgrounds and cut-outs")
    parser.add_argument("--bank", type=Path, default=home / "bank", help="rendered people")
    parser.add_argument("--out", type=Path, default=home / "people")
    parser.add_argument("--count", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    store(GeneratedPeople(arguments.assets, arguments.bank), arguments.out, arguments.count, arguments.seed)


if __name__ == "__main__":
    main()
