"""Episodes for CapeFormer's training, the sum that it minimises, and how good a network is on unseen kinds.

Equation numbers are those of the paper "Matching Is Not Enough: A Two-Stage Framework for Category-Agnostic
Pose Estimation", section numbers those of the description of the reference implementation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from models.networks.capeformer import CELLS, CapeFormer, identifiers
from models.export.capeformer_graphs import SIDE
from models.reference import capeformer as reference
from models.data.objects import heldout
from models.data.objects.episodes import Style, episode
from models.data.objects.families import families
from models.data.objects.training_kinds import Kinds
from models.losses.objective import normalise, reduced_precision

SLOTS = 100
MOST_KEYPOINTS = 16
PICTURES = 3
"""Of every kind in a batch; each is looked for with the others as examples."""
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25)
HIDDEN = -1e4
HEATMAP_SIGMA = 0.75
"""Of the bell that similarities should have, in cells."""
STYLE = Style(distant=0.35)
"""Users mostly give no box: then a crop is the whole picture."""


@dataclass
class EpisodeBatch:
    """`images` u8 [E, PICTURES, side, side, 3], `keypoints` [E, PICTURES, K, 2] in pixels, `visible` bool [E,
    PICTURES, K] (false also for rows without a keypoint), `weights` [E, PICTURES, K, 64]: how much each token
    counts in a keypoint's features."""

    images: Tensor
    keypoints: Tensor
    visible: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> EpisodeBatch:
        return EpisodeBatch(
            *(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self))
        )


class EpisodeBatches(Dataset):
    """Batch number `step` of process `rank`: always the same episodes for the same assets and run seed."""

    def __init__(self, assets: Path, bank: Path, batch_size: int, run_seed: int, rank: int) -> None:
        self.directories = (assets, bank)
        self.batch_size, self.run_seed, self.rank = batch_size, run_seed, rank
        self.kinds: Kinds | None = None

    def __getitem__(self, step: int) -> EpisodeBatch:
        if self.kinds is None:
            # Opened in the process that uses it: memory maps need not travel.
            cv2.setNumThreads(1)
            self.kinds = Kinds(*self.directories)
        generator = np.random.default_rng([self.run_seed, self.rank, step, 5])
        images, keypoints, visible, weights = [], [], [], []
        for _ in range(self.batch_size):
            kind = self.kinds.any(generator)
            one = episode(kind, generator, self.kinds.background, STYLE, PICTURES, MOST_KEYPOINTS)
            missing = MOST_KEYPOINTS - one.keypoints.shape[1]
            images.append(one.images)
            keypoints.append(np.pad(one.keypoints, ((0, 0), (0, missing), (0, 0))))
            visible.append(np.pad(one.visible, ((0, 0), (0, missing))))
            pairs = zip(keypoints[-1], visible[-1])
            weights.append(np.stack([reference.support_weights(points, seen)[0] for points, seen in pairs]))
        return EpisodeBatch(
            images=torch.from_numpy(np.stack(images)),
            keypoints=torch.from_numpy(np.stack(keypoints).astype(np.float32)),
            visible=torch.from_numpy(np.stack(visible)),
            weights=torch.from_numpy(np.stack(weights)),
        )


@dataclass(frozen=True)
class Weights:
    """Weights of the losses: the paper's."""

    heatmap: float = 2.0
    expectation: float = 1.0
    offset: float = 1.0


NEAR = 0.08
"""In the offset term, in parts of the picture's side: from this distance on, being further off matters less
and less."""
PULL = 0.1
"""How much of the paper's own term is left in it."""


class Matched(NamedTuple):
    """What the first stage says of `A` pictures, each looked at with others as examples, and what is true."""

    similarity: Tensor
    """`[A, K, 64]`"""
    memory: Tensor
    """`[A, 64, width]`"""
    refined: Tensor
    """`[A, K, width]`"""
    slots: Tensor
    """`[A, K]`: each keypoint's place among the identifiers."""
    enrolled: Tensor
    """bool `[A, K]`: whether an example shows it."""
    target: Tensor
    """`[A, K, 2]`, 0 to 1."""
    counted: Tensor
    """bool `[A, K]`: enrolled, and to be seen in the picture."""

    def identity(self) -> Tensor:
        """`[A, K, width]`: the identifiers."""
        return _identifiers(self.memory.shape[-1]).to(self.memory.device)[self.slots]

    def bias(self) -> Tensor:
        """`[A, K]`: keypoints that are not enrolled take part, hidden, so that all have as many."""
        return torch.where(self.enrolled, 0.0, HIDDEN)


@lru_cache
def _identifiers(width: int) -> Tensor:
    return identifiers(width)


def cell_places(device: torch.device) -> Tensor:
    """`[64, 2]`: the cells' middles, 0 to 1, row by row."""
    along = (torch.arange(CELLS, device=device) + 0.5) / CELLS
    rows, columns = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([columns.flatten(), rows.flatten()], -1)


def propose(similarity: Tensor) -> Tensor:
    """`[..., K, 64]` -> `[..., K, 2]`: the mean of the best cell and its neighbours by their softmax (eq. 2
    and 3)."""
    best = similarity.argmax(-1, keepdim=True)
    number = torch.arange(CELLS * CELLS, device=similarity.device)
    near_row = (number // CELLS - best // CELLS).abs() <= 1
    near_column = (number % CELLS - best % CELLS).abs() <= 1
    window = similarity.masked_fill(~(near_row & near_column), -torch.inf).softmax(-1)
    return window @ cell_places(similarity.device)


def similarity_loss(similarity: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The heatmap and the expectation term (eq. 5 to 7) of each keypoint: `similarity [..., K, 64]` with
    keypoints at `target [..., K, 2]`, 0 to 1."""
    places = cell_places(similarity.device)
    distance = ((places - target[..., None, :]) * CELLS).square().sum(-1)
    bell = torch.exp(-distance / (2 * HEATMAP_SIGMA**2))
    heatmap = (similarity.sigmoid() - bell).square().mean(-1)
    expectation = (similarity.softmax(-1) @ places - target).abs().sum(-1)
    return heatmap, expectation


def offset_loss(answers: Sequence[Tensor], target: Tensor) -> Tensor:
    """How far off every layer's answer `[..., K, 2]` is, in the mean over the layers `[..., K]`.

    The paper's term (eq. 8), the sum of both absolute differences, only keeps a hand in it: a match that is
    wrong altogether can mostly be guessed at, and the best guess by that term is the middle of all
    possibilities. Most of this one saturates (Welsch's loss), so that being near counts.
    """
    errors = []
    for answer in answers:
        away = answer - target
        near = 1 - torch.exp(-away.square().sum(-1) / (2 * NEAR**2))
        errors.append(near + PULL * away.abs().sum(-1))
    return torch.stack(errors).mean(0)


def tokens_of(model: CapeFormer, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
    """`[E, PICTURES, 64, width]` each: of the pictures as those that are looked at, and as examples."""
    shape = batch.images.shape[:2]
    with reduced_precision(batch.images.device):
        query, support = model.features(normalise(batch.images.flatten(0, 1), model.config))
    return query.float().unflatten(0, shape), support.float().unflatten(0, shape)


def first_stage(
    model: CapeFormer, batch: EpisodeBatch, tokens: tuple[Tensor, Tensor], generator: torch.Generator
) -> Matched:
    """Every picture of every episode, looked at with one or all of the others as examples; all at once."""
    episodes, pictures = batch.images.shape[:2]
    query, support = tokens
    device = query.device
    # `[E, answers, examples, K]`: which example shows which keypoint.
    shown = _examples(episodes, pictures, generator).to(device)[..., None] & batch.visible[:, None]
    features = torch.einsum("eaxk,exkw->eakw", shown.float(), batch.weights @ support)
    features = features / shown.sum(2).clamp(min=1)[..., None]
    enrolled = shown.any(2).flatten(0, 1)
    slots = _slots(enrolled, generator)
    bias = torch.where(enrolled, 0.0, HIDDEN)
    identity = _identifiers(model.config.width).to(device)[slots]
    match = torch.vmap(model.match)(query.flatten(0, 1), features.flatten(0, 1), identity, bias)
    return Matched(
        *match,
        slots=slots,
        enrolled=enrolled,
        target=batch.keypoints.flatten(0, 1) / SIDE,
        counted=enrolled & batch.visible.flatten(0, 1),
    )


def second_stage(model: CapeFormer, matched: Matched) -> Tensor:
    """The offset term, a mean over keypoints as the other terms."""
    start = propose(matched.similarity.detach())
    answers = torch.vmap(model.refine_all)(
        matched.memory, matched.refined, matched.identity(), matched.bias(), start
    )
    return _mean(offset_loss(answers, matched.target), matched.counted.float())


def objective(
    model: CapeFormer, batch: EpisodeBatch, weights: Weights, refine: bool, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """The total and its parts; without `refine`, of the similarities alone."""
    matched = first_stage(model, batch, tokens_of(model, batch), generator)
    counted = matched.counted.float()
    heatmap, expectation = similarity_loss(matched.similarity, matched.target)
    parts = {"heatmap": _mean(heatmap, counted), "expectation": _mean(expectation, counted)}
    if refine:
        parts["offset"] = second_stage(model, matched)
    total = sum(getattr(weights, name) * value for name, value in parts.items())
    return total, {name: value.item() for name, value in parts.items()}


def _mean(errors: Tensor, counted: Tensor) -> Tensor:
    """Of `[answers, K]` over the keypoints that count, then over the answers that have any."""
    each = (errors * counted).sum(1) / counted.sum(1).clamp(min=1)
    return each.sum() / counted.any(1).sum().clamp(min=1)


def _examples(episodes: int, pictures: int, generator: torch.Generator) -> Tensor:
    """`[episodes, answers, examples]` bool: for every picture one of the others, or all of them."""
    others = ~torch.eye(pictures, dtype=torch.bool).expand(episodes, -1, -1)
    chance = torch.rand((episodes, pictures, pictures), generator=generator).masked_fill(~others, -1.0)
    single = chance == chance.amax(-1, keepdim=True)
    alone = torch.rand((episodes, pictures, 1), generator=generator) < 0.6
    return torch.where(alone, single, others)


def _slots(enrolled: Tensor, generator: torch.Generator) -> Tensor:
    """Indices of the enrolled keypoints `[answers, K]` bool: mostly the first ones, as users enrol them,
    sometimes any."""
    answers, most = enrolled.shape
    number = (enrolled.cumsum(1) - 1).clamp(min=0).cpu()
    anywhere = torch.rand((answers, SLOTS), generator=generator).topk(most).indices.sort().values
    first = torch.rand((answers, 1), generator=generator) < 0.7
    return torch.where(first, number, anywhere.gather(1, number)).to(enrolled.device)


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
        codes, bias = _identifiers(model.config.width)[slots], torch.zeros(len(rows))
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
