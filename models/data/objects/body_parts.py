"""Faces, hands and whole people with keypoints anywhere on them: vertices of the rendered bodies.

    python -m models.data.objects.body_parts --count 3000

The same vertex is the same place on every body, in whatever pose and seen from wherever, which makes as many
kinds as there are choices of vertices. Sprites are kept with the places of `ANCHORS` vertices.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from models.data.objects.kind import ObjectImage
from models.data.people.bodies import BodyLibrary
from models.data.people.poses import sample_pose
from models.data.people.ragged import Images, write_images
from models.data.people.render import SUPERSAMPLING, Camera, Renderer, view
from models.data.people.rotations import X, Y, Z, about
from models.paths import state_directory

PARTS = ("face", "hand", "body")
ANCHORS = 40
"""Vertices of a part, far from each other."""
SIDE = 220
SLACK = {"face": 0.012, "hand": 0.012, "body": 0.06}
"""Metres behind what is drawn, within which a vertex is to be seen; clothes are over it."""
REACH = {"face": 0.14, "hand": 0.11}
"""Metres from the part's middle to the window's border."""
FEWEST, MOST = 6, 18


def anchors(library: BodyLibrary) -> dict[str, np.ndarray]:
    """Vertex numbers `[ANCHORS]` of each part: each the farthest from those before it, on the first body."""
    rest = library.vertices[0].astype(np.float32)
    skin = library.part_vertices["body"]
    head = skin & library.region("Head")
    nose = library.keypoint_weights[0] @ rest
    front = head & (rest[:, 1] < nose[1] + 0.13) & (np.abs(rest[:, 2] - nose[2]) < 0.13)
    regions = {"face": front, "hand": skin & library.region("LeftHand"), "body": skin}
    chosen = {}
    for part, region in regions.items():
        numbers = np.flatnonzero(region)
        points = rest[numbers]
        order = [int(np.argmin(points[:, 1]))]
        distance = np.full(len(points), np.inf)
        for _ in range(ANCHORS - 1):
            distance = np.minimum(distance, np.linalg.norm(points - points[order[-1]], axis=1))
            order.append(int(np.argmax(distance)))
        chosen[part] = numbers[order]
    return chosen


class PartRenderer:
    """Draws parts of people of one library."""

    def __init__(self, library: BodyLibrary) -> None:
        self.renderer = Renderer(library)
        self.library = library
        self.anchors = anchors(library)

    def draw(self, generator: np.random.Generator, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RGBA u8 premultiplied, places `[ANCHORS, 2]` and which of them are to be seen."""
        renderer, library = self.renderer, self.library
        index = int(generator.integers(len(library)))
        dressed = renderer.wardrobe.dress(generator, index)
        pose = sample_pose(generator, library, library.heads[index], close=part != "body")
        posed, normals, _, faces, colours = renderer.posed(generator, dressed, index, pose)
        points = posed[self.anchors[part]]
        if part == "hand":
            turn = about(X, generator.uniform(-180, 180)) @ about(Z, generator.uniform(-180, 180))
            turn = about(Y, generator.uniform(-180, 180)) @ turn
        else:
            facing = generator.normal(0, 35) if part == "face" else generator.normal(0, 60)
            turn = view(generator, facing, "stand" if part == "face" else pose.kind)
        middle = points.mean(0)
        camera = Camera(
            turn, generator.uniform(0.8, 2.5) if part != "body" else generator.uniform(2.2, 6), middle
        )
        seen, places = camera.see(posed), camera.see(points)
        used = np.unique(faces)
        if part == "body":
            low, high = seen[used, :2].min(0), seen[used, :2].max(0)
        else:
            reach = REACH[part] / camera.distance * generator.uniform(0.85, 1.15)
            low, high = -np.full(2, reach), np.full(2, reach)
        if part == "hand":
            # Nothing but the hand and what of the arm is near it.
            near = np.linalg.norm(posed - middle, axis=1) < 0.17
            faces = faces[near[faces].all(1)]
        scale = SUPERSAMPLING * SIDE / float((high - low).max())
        size = np.maximum(8, np.ceil((high - low) * scale / SUPERSAMPLING)).astype(int)
        sprite = renderer.drawn(
            generator,
            camera,
            seen,
            normals,
            places,
            faces,
            colours,
            low,
            scale,
            size,
            part,
            True,
            SLACK[part],
        )
        return sprite.rgba, sprite.keypoints, sprite.visible


@dataclass(frozen=True)
class PartBank:
    """Sprites of one part, read from a folder."""

    images: Images
    places: np.ndarray
    visible: np.ndarray

    @staticmethod
    def open(folder: Path, part: str) -> PartBank:
        path = folder / f"{part}.npz"
        if not path.exists():
            raise FileNotFoundError(f"{path}: no sprites; make them with `python -m {__spec__.name}`")
        with np.load(path) as table:
            return PartBank(Images(folder / f"{part}.bin"), table["places"], table["visible"])


class BodyPart:
    """The kind of some vertices of a part."""

    handed = True
    edges = ()

    def __init__(self, bank: PartBank, part: str, seed: int) -> None:
        self.bank, self.name = bank, f"{part} {seed}"
        generator = np.random.default_rng([9, seed])
        count = int(generator.integers(FEWEST, MOST + 1))
        self.rows = np.sort(generator.permutation(ANCHORS)[:count])
        self.keypoints = tuple(f"vertex {row}" for row in self.rows)

    def draw(self, generator: np.random.Generator) -> ObjectImage:
        index = int(generator.integers(len(self.bank.images)))
        rgba = self.bank.images[index].astype(np.float32)
        return ObjectImage(rgba, self.bank.places[index][self.rows], self.bank.visible[index][self.rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bodies", type=Path, default=state_directory() / "bodies.npz")
    parser.add_argument("--out", type=Path, default=state_directory() / "parts")
    parser.add_argument("--count", type=int, default=2000, help="sprites of each part")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    renderer = PartRenderer(BodyLibrary.open(options.bodies))
    options.out.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(PARTS):
        places, visible, images = [], [], []
        for seed in tqdm(range(options.count), desc=part, disable=None):
            image, where, seen = renderer.draw(np.random.default_rng([number, seed]), part)
            if seen.sum() >= FEWEST:
                images.append(image)
                places.append(where)
                visible.append(seen)
        write_images(options.out / f"{part}.bin", images)
        np.savez(options.out / f"{part}.npz", places=np.array(places, np.float32), visible=np.array(visible))


if __name__ == "__main__":
    main()
