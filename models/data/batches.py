"""Batches of generated scenes, each named by a seed, so that a resumed run continues with scenes it has not
seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.data.people.assets import Assets
from models.data.people.labels import Person
from models.data.people.scenes import SceneSampler, SceneStyle
from models.data.people.sprites import Bank

TargetMaker = Callable[[Sequence[Person], int], dict[str, np.ndarray]]
"""What a network is trained towards in a scene with these people, of so many pixels a side."""


@dataclass(frozen=True)
class People:
    """The labelled people of a batch, one row each: `P` rows in all."""

    batch_index: Tensor
    """`[P]`, the image that each stands in."""
    keypoints: Tensor
    """`[P, 17, 2]`, network pixels."""
    labelled: Tensor
    """`[P, 17]` bool."""
    area: Tensor
    """`[P]`, square network pixels, as COCO counts a person's area."""


@dataclass
class Batch:
    """`images` u8 [B, side, side, 3], what the maker of targets made of each scene, stacked by name, and the
    labelled people.
    """

    images: Tensor
    targets: dict[str, Tensor]
    batch_index: Tensor
    keypoints: Tensor
    labelled: Tensor
    area: Tensor

    def to(self, device: torch.device) -> Batch:
        def moved(value: Tensor | dict[str, Tensor]) -> Any:
            if isinstance(value, dict):
                return {name: moved(tensor) for name, tensor in value.items()}
            return value.to(device, non_blocking=True)

        return Batch(*(moved(getattr(self, field.name)) for field in fields(self)))

    @property
    def people(self) -> People:
        return People(self.batch_index, self.keypoints, self.labelled, self.area)


class SceneBatches(Dataset):
    """Batch number `step` of process `rank`: always the same scenes for the same bank and run seed."""

    def __init__(
        self,
        assets: Path,
        bank: Path,
        style: SceneStyle,
        make_targets: TargetMaker,
        batch_size: int,
        run_seed: int,
        rank: int,
    ) -> None:
        self.directories = (assets, bank)
        self.make_targets = make_targets
        self.style = style
        self.batch_size, self.run_seed, self.rank = batch_size, run_seed, rank
        self.sampler: SceneSampler | None = None

    def __getitem__(self, step: int) -> Batch:
        if self.sampler is None:
            # Opened in the process that uses it: memory maps need not travel.
            cv2.setNumThreads(1)
            self.sampler = SceneSampler(
                Assets.open(self.directories[0]), Bank(self.directories[1]), self.style
            )
        generator = np.random.default_rng([self.run_seed, self.rank, step])
        scenes = [self.sampler.sample(generator) for _ in range(self.batch_size)]
        targets = [self.make_targets(scene.people, scene.image.shape[0]) for scene in scenes]
        people = [person for scene in scenes for person in scene.people]
        index = [number for number, scene in enumerate(scenes) for _ in scene.people]
        return Batch(
            images=torch.from_numpy(np.stack([scene.image for scene in scenes])),
            targets={
                name: torch.from_numpy(np.stack([target[name] for target in targets])) for name in targets[0]
            },
            batch_index=torch.tensor(index, dtype=torch.long),
            keypoints=torch.from_numpy(
                np.array([p.keypoints for p in people], np.float32).reshape(-1, 17, 2)
            ),
            labelled=torch.from_numpy(np.array([p.labelled for p in people], bool).reshape(-1, 17)),
            area=torch.tensor([p.area for p in people], dtype=torch.float32),
        )


class _StepsFrom:
    """The endless sequence of steps from `start` on."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        step = self.start
        while True:
            yield step
            step += 1


def stream(batches: Dataset, start: int, workers: int) -> Iterator[Any]:
    """Batches from step `start` on, made in `workers` processes, or in this one if there are none."""
    loader = DataLoader(batches, batch_size=None, sampler=_StepsFrom(start), num_workers=workers)
    return iter(loader)
