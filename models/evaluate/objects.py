"""PCK of a CapeFormer network on kinds of objects that training never saw.

    python -m models.evaluate.objects tests/data/photos/objects
    python -m models.evaluate.objects tests/data/photos/objects --network lite0 --checkpoint both.pt

prints what copying the example's places reaches on a folder in COCO's format, and a network beside it; a
bundle is measured by `sinew eval --metric pck --shots 1`. What does not beat copying has not learnt to look.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from models.data.images import read_image
from models.data.objects import heldout
from models.data.objects.families import families
from models.losses.capeformer import fixed_identifiers, propose
from models.networks.capeformer import SIDE, CapeFormer, CapeFormerConfig
from models.networks.inputs import normalise
from models.networks.weights import load_weights
from models.reference import capeformer as reference

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25)


@dataclass(frozen=True)
class View:
    """One image of the held-out set, as the network sees it."""

    category: int
    image: np.ndarray
    points: np.ndarray
    """`[K, 2]`, crop pixels."""
    visible: np.ndarray
    box_share: float
    """The box's longer side, as a part of the crop's."""

    @staticmethod
    def of(
        category: int,
        image: np.ndarray,
        box: tuple[float, float, float, float],
        keypoints: np.ndarray,
        visible: np.ndarray,
    ) -> View:
        """The crop of a box `(x, y, width, height)` of `image` u8 [h, w, 3] with keypoints `[K, 2]`."""
        clean = reference.clean_box(box, (image.shape[1], image.shape[0]))
        if clean is None:
            raise ValueError(f"the box {box} lies outside its image")
        crop = reference.crop_of(clean)
        scale = SIDE / crop.side
        matrix = np.array([[scale, 0, 0], [0, scale, 0]])
        matrix[:, 2] = SIDE / 2 - scale * crop.center
        return View(
            category=category,
            image=cv2.warpAffine(np.ascontiguousarray(image), matrix, (SIDE, SIDE)),
            points=crop.to_crop(keypoints).astype(np.float32),
            visible=visible,
            box_share=float(max(clean[2:]) / crop.side),
        )


class HeldOutObjects:
    """Images of one object each, of several kinds."""

    def __init__(self, views: list[View]) -> None:
        self.views = views

    @classmethod
    def read(cls, directory: Path) -> HeldOutObjects:
        """Those of a folder with `annotations.json` in COCO's format."""
        contents = json.loads((directory / "annotations.json").read_text())
        names = {image["id"]: image["file_name"] for image in contents["images"]}
        views = []
        for entry in contents["annotations"]:
            image = read_image(directory / names[entry["image_id"]])
            rows = np.array(entry["keypoints"], np.float32).reshape(-1, 3)
            if not (rows[:, 2] > 0).any():
                continue
            box = tuple(entry["bbox"])
            views.append(View.of(entry["category_id"], image, box, rows[:, :2], rows[:, 2] > 0))
        return cls(views)

    @classmethod
    def drawn(cls, seed: int, views: int, kinds: int | None = None) -> HeldOutObjects:
        """So many new images of each of the families of the held-out set, or of the first `kinds` of
        them."""
        made = []
        for number, family in enumerate(families()[:kinds]):
            for view in range(views):
                shot = heldout.shown(family, np.random.default_rng([seed, number, view]))
                x, y, width, height = heldout.box_inside(shot.box, heldout.SIDE)
                made.append(View.of(number, shot.image, (x, y, width, height), shot.keypoints, shot.visible))
        return cls(made)

    @torch.no_grad()
    def maps(self, model: CapeFormer) -> Tensor:
        """What the backbone makes of all images, `[images, channels, 8, 8]`."""
        images = torch.from_numpy(np.stack([view.image for view in self.views]))
        backbone = model.encoder_query
        return torch.cat([backbone(normalise(part, model.config)) for part in images.split(10)])

    @torch.no_grad()
    def measure(
        self, model: CapeFormer, shots: int = 1, identity: bool = True, maps: Tensor | None = None
    ) -> dict[str, dict[str, float]]:
        """PCK of the proposals alone (`one-stage`) and of the results (`two-stage`), over all episodes of
        `shots` neighbours in a circle.

        Without `identity` all keypoints have the same identifier; `maps` are those of a backbone that stays
        as it is.
        """
        query, support = model.tokens(self.maps(model) if maps is None else maps)
        sums = {level: np.zeros(len(THRESHOLDS)) for level in ("one-stage", "two-stage")}
        results = 0
        for category in sorted({view.category for view in self.views}):
            members = [index for index, view in enumerate(self.views) if view.category == category]
            for first in range(len(members)):
                enrolled = [members[(first + step) % len(members)] for step in range(shots)]
                features, counts = self._enrol(support, enrolled)
                for index in members:
                    if index in enrolled:
                        continue
                    results += 1
                    found = self._find(model, query[index], features, counts, identity)
                    for level, places in found.items():
                        sums[level] += self._correct(self.views[index], places, counts)
        return {
            level: {f"pck@{threshold}": float(value) for threshold, value in zip(THRESHOLDS, total / results)}
            | {"mpck": float(total.mean() / results)}
            for level, total in sums.items()
        }

    def _enrol(self, support: Tensor, shots: list[int]) -> tuple[Tensor, np.ndarray]:
        parts, counts = [], []
        for index in shots:
            view = self.views[index]
            weights, seen = reference.support_weights(view.points, view.visible)
            parts.append(torch.from_numpy(weights) @ support[index] / len(shots))
            counts.append(seen)
        return torch.stack(parts).sum(0), np.all(counts, axis=0)

    @staticmethod
    def _find(
        model: CapeFormer, query: Tensor, features: Tensor, counts: np.ndarray, identity: bool
    ) -> dict[str, np.ndarray]:
        rows = torch.from_numpy(np.flatnonzero(counts))
        slots = rows if identity else torch.zeros_like(rows)
        codes, bias = fixed_identifiers(model.config.width)[slots], torch.zeros(len(rows))
        similarity, memory, refined = model.match(query, features[rows], codes, bias)
        start = propose(similarity)
        return {
            "one-stage": start.numpy(),
            "two-stage": model.refine(memory, refined, codes, bias, start).numpy(),
        }

    @staticmethod
    def _correct(view: View, places: np.ndarray, counts: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(counts)
        counted = view.visible[rows]
        distance = np.linalg.norm(places - view.points[rows] / SIDE, axis=1)[counted] / view.box_share
        correct = [(distance < threshold).sum() for threshold in THRESHOLDS]
        return np.array(correct) / max(1, counted.sum())

    def copied(self, shots: int = 1) -> dict[str, float]:
        """What copying the first example's places would reach: how far one gets without looking."""
        sums, results = np.zeros(len(THRESHOLDS)), 0
        for category in {view.category for view in self.views}:
            members = [view for view in self.views if view.category == category]
            for first, example in enumerate(members):
                for other in (members[(first + step) % len(members)] for step in range(shots, len(members))):
                    sums += self._correct(other, example.points[example.visible] / SIDE, example.visible)
                    results += 1
        return {f"pck@{threshold}": float(value) for threshold, value in zip(THRESHOLDS, sums / results)}


def main() -> None:
    """Measures copying, and a network if one is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="images and annotations.json")
    parser.add_argument("--network", choices=["lite0", "tiny", "r50"], default="lite0")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5])
    arguments = parser.parse_args()
    held_out = HeldOutObjects.read(arguments.folder)
    model = None
    if arguments.checkpoint:
        model = CapeFormer(getattr(CapeFormerConfig, arguments.network)()).eval()
        load_weights(model, arguments.checkpoint)
    for shots in arguments.shots:
        figures = {"copied": held_out.copied(shots)}
        if model:
            figures |= held_out.measure(model, shots)
        for name, row in figures.items():
            print(f"shots={shots} {name}", " ".join(f"{key}={value:.4f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
