"""What the trainer needs to know of each network: `TASKS`, by the bundle's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.centergroup import CenterGroup, CenterGroupConfig
from models.logocap import LogoCap, LogoCapConfig
from models.people.labels import Person
from models.people.targets import make_heatmaps, make_targets
from models.training import centergroup_objective, evaluation, objective
from models.training.batches import Batch


class Task(Protocol):
    """One kind of network."""

    def network(self) -> nn.Module:
        """A new one, with random weights."""

    def make_targets(self, people: Sequence[Person], side: int) -> dict[str, np.ndarray]:
        """What a scene teaches, by name."""

    def objective(
        self, model: Any, batch: Batch, second_stage: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The sum to minimise, and its parts; at most `second_stage` people in the second stage, 0 for
        none."""

    def levels(self, second_stage: bool) -> Sequence[str]:
        """The ways of decoding that are worth a measurement."""

    def predict(self, model: Any, images: Tensor, level: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Poses `[n, 17, 2]` and scores `[n]` of each of the u8 pictures."""


class LogoCapTask:
    """LOGO-CAP."""

    def __init__(self, config: LogoCapConfig) -> None:
        self.config = config

    def network(self) -> LogoCap:
        return LogoCap(self.config)

    def make_targets(self, people: Sequence[Person], side: int) -> dict[str, np.ndarray]:
        return vars(make_targets(people, side))

    def objective(
        self, model: LogoCap, batch: Batch, second_stage: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        return objective.objective(model, batch, objective.Weights(), second_stage, generator)

    def levels(self, second_stage: bool) -> Sequence[str]:
        return evaluation.LEVELS if second_stage else evaluation.LEVELS[:2]

    def predict(self, model: LogoCap, images: Tensor, level: str) -> list[tuple[np.ndarray, np.ndarray]]:
        return evaluation.predict(model, images, level)


class CenterGroupTask:
    """CenterGroup."""

    def __init__(self, config: CenterGroupConfig) -> None:
        self.config = config

    def network(self) -> CenterGroup:
        return CenterGroup(self.config)

    def make_targets(self, people: Sequence[Person], side: int) -> dict[str, np.ndarray]:
        # The decoder adds half a pixel at the end, as the reference does: pixel `p` is found half a pixel
        # before, at cell `p / stride - 0.5`. The finer map is sharper in pixels.
        return {
            "coarse": make_heatmaps(people, side, 4, 2.0),
            "fine": make_heatmaps(people, side, 2, 1.0, widen=1.5),
        }

    def objective(
        self, model: CenterGroup, batch: Batch, second_stage: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        return centergroup_objective.objective(
            model, batch, centergroup_objective.Weights(), second_stage > 0, generator
        )

    def levels(self, second_stage: bool) -> Sequence[str]:
        return ("attention",) if second_stage else ()

    def predict(self, model: CenterGroup, images: Tensor, level: str) -> list[tuple[np.ndarray, np.ndarray]]:
        return centergroup_objective.predict(model, images)


TASKS: dict[str, Task] = {
    "logocap-tiny": LogoCapTask(LogoCapConfig.tiny()),
    "centergroup-tiny": CenterGroupTask(CenterGroupConfig.tiny()),
}
