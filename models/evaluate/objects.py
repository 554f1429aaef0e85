"""PCK of a CapeFormer network on kinds of objects that training never saw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from models.data.objects import heldout
from models.data.objects.families import families
from models.losses.capeformer import fixed_identifiers, propose
from models.networks.capeformer import SIDE, CapeFormer
from models.networks.inputs import normalise
from models.reference import capeformer as reference

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25)


@dataclass(frozen=True)
class Picture:
    """One picture of the held-out set, as the network sees it."""

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
    ) -> Picture:
        """The crop of a box `(x, y, width, height)` of `image` u8 [h, w, 3] with keypoints `[K, 2]`."""
        clean = reference.clean_box(box, (image.shape[1], image.shape[0]))
        crop = reference.crop_of(clean)
        scale = SIDE / crop.side
        matrix = np.array([[scale, 0, 0], [0, scale, 0]])
        matrix[:, 2] = SIDE / 2 - scale * crop.center
        return Picture(
            category=category,
            image=cv2.warpAffine(np.ascontiguousarray(image), matrix, (SIDE, SIDE)),
            points=crop.to_crop(keypoints).astype(np.float32),
            visible=visible,
            box_share=float(max(clean[2:]) / crop.side),
        )


class HeldOutThings:
    """Pictures of one thing each, of several kinds."""

    def __init__(self, pictures: list[Picture]) -> None:
        self.pictures = pictures

    @classmethod
    def read(cls, directory: Path) -> HeldOutThings:
        """Those of a folder with `annotations.json` in COCO's format."""
        contents = json.loads((directory / "annotations.json").read_text())
        names = {image["id"]: image["file_name"] for image in contents["images"]}
        pictures = []
        for entry in contents["annotations"]:
            image = cv2.imread(str(directory / names[entry["image_id"]]))[..., ::-1]
            rows = np.array(entry["keypoints"], np.float32).reshape(-1, 3)
            box = tuple(entry["bbox"])
            pictures.append(Picture.of(entry["category_id"], image, box, rows[:, :2], rows[:, 2] > 0))
        return cls(pictures)

    @classmethod
    def drawn(cls, seed: int, pictures: int, kinds: int | None = None) -> HeldOutThings:
        """So many new pictures of each of the families of the held-out set, or of the first `kinds` of
        them."""
        made = []
        for number, family in enumerate(families()[:kinds]):
            for picture in range(pictures):
                shot = heldout.shown(family, np.random.default_rng([seed, number, picture]))
                box = tuple(heldout.box_inside(shot.box, heldout.SIDE))
                made.append(Picture.of(number, shot.image, box, shot.keypoints, shot.visible))
        return cls(made)

    @torch.no_grad()
    def measure(
        self, model: CapeFormer, shots: int = 1, identity: bool = True
    ) -> dict[str, dict[str, float]]:
        """PCK of the proposals alone (`one-stage`) and of the answers (`two-stage`), over all episodes of
        `shots` neighbours in a circle (section 1.10).

        Without `identity` all keypoints have the same identifier.
        """
        images = torch.from_numpy(np.stack([picture.image for picture in self.pictures]))
        tokens = [model.features(normalise(part, model.config)) for part in images.split(10)]
        query, support = (torch.cat(parts) for parts in zip(*tokens))
        sums = {level: np.zeros(len(THRESHOLDS)) for level in ("one-stage", "two-stage")}
        answers = 0
        for category in sorted({picture.category for picture in self.pictures}):
            members = [index for index, picture in enumerate(self.pictures) if picture.category == category]
            for first in range(len(members)):
                enrolled = [members[(first + step) % len(members)] for step in range(shots)]
                features, counts = self._enrol(support, enrolled)
                for index in members:
                    if index in enrolled:
                        continue
                    answers += 1
                    found = self._find(model, query[index], features, counts, identity)
                    for level, places in found.items():
                        sums[level] += self._correct(self.pictures[index], places, counts)
        return {
            level: {f"pck@{threshold}": float(value) for threshold, value in zip(THRESHOLDS, total / answers)}
            | {"mpck": float(total.mean() / answers)}
            for level, total in sums.items()
        }

    def _enrol(self, support: Tensor, shots: list[int]) -> tuple[Tensor, np.ndarray]:
        features, counts = 0, True
        for index in shots:
            picture = self.pictures[index]
            weights, seen = reference.support_weights(picture.points, picture.visible)
            features = features + torch.from_numpy(weights) @ support[index] / len(shots)
            counts = counts & seen
        return features, counts

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
    def _correct(picture: Picture, places: np.ndarray, counts: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(counts)
        counted = picture.visible[rows]
        distance = np.linalg.norm(places - picture.points[rows] / SIDE, axis=1)[counted] / picture.box_share
        correct = [(distance < threshold).sum() for threshold in THRESHOLDS]
        return np.array(correct) / max(1, counted.sum())

    def copied(self, shots: int = 1) -> dict[str, float]:
        """What copying the first example's places would reach: how far one gets without looking."""
        sums, answers = np.zeros(len(THRESHOLDS)), 0
        for category in {picture.category for picture in self.pictures}:
            members = [picture for picture in self.pictures if picture.category == category]
            for first, example in enumerate(members):
                for other in (members[(first + step) % len(members)] for step in range(shots, len(members))):
                    sums += self._correct(other, example.points[example.visible] / SIDE, example.visible)
                    answers += 1
        return {f"pck@{threshold}": float(value) for threshold, value in zip(THRESHOLDS, sums / answers)}
