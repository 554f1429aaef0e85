"""Crops of one person each, labelled only with which keypoints they show.

Where a keypoint lies is needed to draw a crop and to know what it shows. It leaves this module for the share
of crops that count as located; of every other crop places are NaN, so that a loss that looked at one would
be NaN, and the trainer takes no step by such a loss.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from models import skeleton
from models.data.images import read_image
from models.data.people.assets import Assets
from models.data.people.scenes import SceneSampler, SceneStyle
from models.data.people.sprites import Bank


@dataclass
class CropBatch:
    """`images` u8 [B, H, W, 3], `present` bool [B, J], `places` f32 [B, J, 2] in crop pixels, NaN for crops
    that are not located and for absent keypoints."""

    images: Tensor
    present: Tensor
    places: Tensor

    def to(self, device: torch.device) -> CropBatch:
        return CropBatch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


@dataclass(frozen=True)
class Instance:
    """A person in an image: `image` u8 RGB, `keypoints` [17, 2] in its pixels, `labelled` bool [17], `box`
    (x, y, width, height)."""

    image: np.ndarray
    keypoints: np.ndarray
    labelled: np.ndarray
    box: tuple[float, float, float, float]
    number: int | None = None
    """Which of a fixed set of people, where they come again."""


@dataclass(frozen=True)
class CropStyle:
    """How crops are cut; the defaults are for training."""

    height: int = 128
    width: int = 96
    margin: float = 1.25
    scale: tuple[float, float] = (0.65, 1.35)
    """The paper's range of scales."""
    part_probability: float = 0.5
    """Probability that a crop shows only a part of the person: if every crop showed everything, presence
    would teach nothing about places."""
    erase_probability: float = 0.4
    """Probability that a rectangle of a crop is painted over."""
    turn: float = 20.0
    """Degrees, at most."""
    window: int | None = None
    """Pixels a side: a window from anywhere on the person, in place of the whole crop, of a part of a person
    and of painting over. Only what the window shows is known, not where it was."""


def cut(
    instance: Instance, style: CropStyle, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A crop u8 [H, W, 3], the keypoints in it [17, 2] and which of them it shows."""
    x, y, width, height = instance.box
    out_width, out_height = (style.window, style.window) if style.window else (style.width, style.height)
    if not style.window and generator.random() < style.part_probability:
        share_x, share_y = generator.uniform(0.4, 1.0), generator.uniform(0.25, 0.8)
        x, width = x + generator.uniform(0, 1 - share_x) * width, share_x * width
        y, height = y + generator.uniform(0, 1 - share_y) * height, share_y * height
    center = np.array([x + width / 2, y + height / 2])
    # Pixels of the image for each pixel of the crop.
    step = max(width / style.width, height / style.height, 1e-3) * style.margin
    step /= generator.uniform(*style.scale)
    if style.window:
        center = np.array([x, y]) + generator.uniform(-0.05, 1.05, 2) * (width, height)
    else:
        center = center + generator.normal(0, 0.04, 2) * (width, height)
    angle = np.deg2rad(np.clip(generator.normal(0, style.turn / 2), -style.turn, style.turn))
    mirrored = generator.random() < 0.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / step
    if mirrored:
        turn = np.diag([-1.0, 1.0]) @ turn
    middle = np.array([(out_width - 1) / 2, (out_height - 1) / 2])
    matrix = np.concatenate([turn, (middle - turn @ center)[:, None]], 1)
    image = cv2.warpAffine(instance.image, matrix, (out_width, out_height), flags=cv2.INTER_LINEAR)
    places = instance.keypoints @ turn.T + matrix[:, 2]
    shown = instance.labelled.copy()
    if mirrored:
        order = skeleton.flip_order()
        places, shown = places[order], shown[order]
    shown &= ((places >= 0) & (places <= (out_width - 1, out_height - 1))).all(1)
    if not style.window and generator.random() < style.erase_probability:
        _erase(image, places, shown, generator)
    return image, places, shown


def _erase(image: np.ndarray, places: np.ndarray, shown: np.ndarray, generator: np.random.Generator) -> None:
    """Paints a rectangle over; what lay under it is not shown any more."""
    size = np.array(image.shape[1::-1])
    sides = generator.uniform(0.15, 0.5, 2) * size
    low = generator.uniform(0, 1, 2) * (size - sides)
    left, top, right, bottom = np.round([*low, *(low + sides)]).astype(int)
    patch = image[top:bottom, left:right]
    if generator.random() < 0.5:
        patch[:] = generator.integers(0, 256, 3)
    else:
        patch[:] = generator.integers(0, 256, patch.shape)
    shown &= ~((places >= low) & (places <= low + sides)).all(1)


class InstanceSource(Protocol):
    """Where people come from."""

    def instances(self, generator: np.random.Generator) -> Iterator[Instance]:
        """People without end."""


class GeneratedPeople:
    """People of generated scenes."""

    def __init__(self, assets: Path, bank: Path) -> None:
        self.directories = (assets, bank)
        self.sampler: SceneSampler | None = None

    def instances(self, generator: np.random.Generator) -> Iterator[Instance]:
        if self.sampler is None:
            # Opened in the process that uses it: memory maps need not travel.
            cv2.setNumThreads(1)
            assets, bank = self.directories
            self.sampler = SceneSampler(Assets.open(assets), Bank(bank), SceneStyle.of_side(192))
        while True:
            scene = self.sampler.sample(generator)
            for person in scene.people:
                if max(person.box[2:]) >= 40:
                    yield Instance(scene.image, person.keypoints, person.labelled, person.box)


class CocoPeople:
    """People of a folder in COCO's format, `annotations.json` beside the images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.people = read_people(folder)
        if not self.people:
            raise ValueError(f"{folder / 'annotations.json'}: no annotation with keypoints")

    def instances(self, generator: np.random.Generator) -> Iterator[Instance]:
        while True:
            number = int(generator.integers(len(self.people)))
            one = self.people[number]
            yield Instance(read_image(self.folder / one.name), one.keypoints, one.labelled, one.box, number)


class CropBatches(Dataset):
    """Batch number `step` of process `rank`: always the same crops for the same source and run seed."""

    CROPS = 2
    """Of every person."""

    def __init__(
        self,
        source: InstanceSource,
        style: CropStyle,
        batch_size: int,
        run_seed: int,
        rank: int,
        located: float = 0.0,
    ) -> None:
        self.source, self.style = source, style
        self.batch_size, self.run_seed, self.rank = batch_size, run_seed, rank
        self.located = located

    def __getitem__(self, step: int) -> CropBatch:
        generator = np.random.default_rng([self.run_seed, self.rank, step, 6])
        images, present, places = [], [], []
        for instance in self.source.instances(generator):
            # A person is located or not, in all crops alike, however often they come.
            number = instance.number
            rng = generator if number is None else np.random.default_rng([number, 8])
            located = rng.random() < self.located
            for _ in range(self.CROPS):
                image, points, shown = cut(instance, self.style, generator)
                images.append(image)
                present.append(shown)
                places.append(np.where(shown[:, None] & located, points, np.nan).astype(np.float32))
            if len(images) >= self.batch_size:
                break
        chosen = slice(0, self.batch_size)
        return CropBatch(
            images=torch.from_numpy(np.stack(images[chosen])),
            present=torch.from_numpy(np.stack(present[chosen])),
            places=torch.from_numpy(np.stack(places[chosen])),
        )


@dataclass(frozen=True)
class Labelled:
    """An annotation of a COCO file."""

    name: str
    keypoints: np.ndarray
    labelled: np.ndarray
    box: tuple[float, float, float, float]


def read_people(folder: Path) -> list[Labelled]:
    """All people with at least one labelled keypoint; crowds are skipped."""
    contents = json.loads((folder / "annotations.json").read_text())
    names = {image["id"]: image["file_name"] for image in contents["images"]}
    people = []
    for entry in contents["annotations"]:
        rows = np.array(entry.get("keypoints", []), np.float32).reshape(-1, 3)
        if entry.get("iscrowd") or not (rows[:, 2] > 0).any():
            continue
        people.append(Labelled(names[entry["image_id"]], rows[:, :2], rows[:, 2] > 0, tuple(entry["bbox"])))
    return people
