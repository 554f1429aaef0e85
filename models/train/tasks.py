"""What the trainer needs to know of each network: `TASKS`, by the bundle's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from models.data.batches import Batch, SceneBatches
from models.data.crops import CocoPeople, CropBatch, CropBatches, CropStyle, GeneratedPeople, InstanceSource
from models.data.episode_batches import EpisodeBatch, EpisodeBatches
from models.data.people.labels import Person
from models.data.people.scenes import SceneStyle
from models.data.people.targets import make_heatmaps, make_targets
from models.data.stored_people import StoredPeople
from models.evaluate import decode_centergroup, decode_logocap
from models.evaluate.crops import HeldOutCrops
from models.evaluate.objects import HeldOutObjects
from models.evaluate.people import HeldOut
from models.losses import capeformer as capeformer_loss
from models.losses import centergroup as centergroup_loss
from models.losses import lofr as lofr_loss
from models.losses import logocap as logocap_loss
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.networks.centergroup import CenterGroup, CenterGroupConfig
from models.networks.lofr import Lofr, LofrConfig
from models.networks.logocap import LogoCap, LogoCapConfig
from models.train.centergroup_start import begin_from_logocap
from models.train.state import load_backbone, load_matching

Measure = Callable[[Any, bool], dict[str, dict[str, float]]]
"""A network in eval mode, and whether its second stage is trained -> figures after decoding."""


@dataclass(frozen=True)
class DataOptions:
    """What batches are drawn from."""

    assets: Path
    bank: Path
    side: int
    """Pixels of a scene, where the network leaves a choice."""
    crowd_fraction: float
    """Of the scenes, those that are a crowd."""
    batch: int
    seed: int
    rank: int
    coco: Path | None = None
    """A folder of labelled images in place of generated ones, for networks that learn from crops."""
    people: Path | None = None
    """A folder of people drawn beforehand, for the same networks."""


class Task(Protocol):
    """One kind of network."""

    held_out: str
    """Folder of images that training never sees, in the project."""

    def network(self) -> nn.Module:
        """A new one, with random weights."""

    def begin_from(self, model: Any, values: dict[str, Tensor]) -> int:
        """Copies what fits of another network's weights into a new one; how many tensors."""

    def batches(self, data: DataOptions) -> Dataset:
        """Batch by batch what it learns from, named by a number."""

    def objective(
        self, model: Any, batch: Any, second_stage: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The sum to minimise, and its parts; at most `second_stage` people in the second stage, 0 for
        none."""

    def measure(self, held_out: Path, limit: int, device: torch.device) -> Measure:
        """How good a network is on the images of a folder, the first `limit` of them."""


class PeopleTask:
    """What the two bottom-up networks share: scenes of people, and average precision."""

    held_out = "tests/data/people"

    def begin_from(self, model: Any, values: dict[str, Tensor]) -> int:
        return load_backbone(model, values)

    def make_targets(self, people: Sequence[Person], side: int) -> dict[str, np.ndarray]:
        """What a scene teaches, by name."""
        raise NotImplementedError

    def levels(self, second_stage: bool) -> Sequence[str]:
        """The ways of decoding that are worth a measurement."""
        raise NotImplementedError

    def predict(self, model: Any, images: Tensor, level: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Poses `[n, 17, 2]` and scores `[n]` of each of the u8 images."""
        raise NotImplementedError

    def batches(self, data: DataOptions) -> SceneBatches:
        style = replace(SceneStyle.of_side(data.side), crowd_fraction=data.crowd_fraction)
        directories = (data.assets, data.bank)
        return SceneBatches(*directories, style, self.make_targets, data.batch, data.seed, data.rank)

    def measure(self, held_out: Path, limit: int, device: torch.device) -> Measure:
        held = HeldOut(held_out, limit)

        def measured(model: Any, second_stage: bool) -> dict[str, dict[str, float]]:
            return {
                level: held.average_precision(partial(self.predict, model, level=level), device)
                for level in self.levels(second_stage)
            }

        return measured


class LogoCapTask(PeopleTask):
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
        return logocap_loss.objective(model, batch, logocap_loss.Weights(), second_stage, generator)

    def levels(self, second_stage: bool) -> Sequence[str]:
        return decode_logocap.LEVELS if second_stage else decode_logocap.LEVELS[:2]

    def predict(self, model: LogoCap, images: Tensor, level: str) -> list[tuple[np.ndarray, np.ndarray]]:
        return decode_logocap.predict(model, images, level)


class CenterGroupTask(PeopleTask):
    """CenterGroup."""

    def __init__(self, config: CenterGroupConfig) -> None:
        self.config = config

    def network(self) -> CenterGroup:
        model = CenterGroup(self.config)
        model.group_model.begin_nearby()
        return model

    def begin_from(self, model: CenterGroup, values: dict[str, Tensor]) -> int:
        return begin_from_logocap(model, values)

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
        return centergroup_loss.objective(
            model, batch, centergroup_loss.Weights(), second_stage > 0, generator
        )

    def levels(self, second_stage: bool) -> Sequence[str]:
        return ("attention",) if second_stage else ()

    def predict(self, model: CenterGroup, images: Tensor, level: str) -> list[tuple[np.ndarray, np.ndarray]]:
        return decode_centergroup.predict(model, images)


class CapeFormerTask:
    """CapeFormer."""

    SECOND_STAGE = ("keypoint_head.transformer.decoder.", "keypoint_head.kpt_branch.")
    held_out = "tests/data/objects"

    def __init__(self, config: CapeFormerConfig) -> None:
        self.config = config

    def network(self) -> CapeFormer:
        model = CapeFormer(self.config)
        model.begin_alike()
        return model

    def begin_from(self, model: CapeFormer, values: dict[str, Tensor]) -> int:
        if not any(name.startswith("keypoint_head.") for name in values):
            return load_backbone(model, values)
        # Another CapeFormer: its first stage, while the second begins with results that do not move.
        first = {name: value for name, value in values.items() if not name.startswith(self.SECOND_STAGE)}
        model.load_state_dict(first, strict=False)
        return len(first)

    def batches(self, data: DataOptions) -> EpisodeBatches:
        return EpisodeBatches(data.assets, data.bank, data.batch, data.seed, data.rank)

    def objective(
        self,
        model: CapeFormer,
        batch: EpisodeBatch,
        second_stage: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, float]]:
        return capeformer_loss.objective(model, batch, capeformer_loss.Weights(), second_stage > 0, generator)

    def measure(self, held_out: Path, limit: int, device: torch.device) -> Measure:
        objects = HeldOutObjects.read(held_out)
        # Few enough for a CPU, and the network is small.
        return lambda model, second_stage: objects.measure(model.cpu())


class LofrTask:
    """LOFR."""

    held_out = "tests/data/people"

    def __init__(
        self,
        config: LofrConfig,
        weights: lofr_loss.Weights | None = None,
        located: float = 0.0,
        window: int | None = None,
    ) -> None:
        self.config, self.weights = config, weights or lofr_loss.Weights()
        self.located = located
        """Share of people whose keypoints' places are taught as well."""
        self.window = window
        """Pixels a side, where windows of crops are learnt from (`CropStyle.window`)."""

    def network(self) -> Lofr:
        model = Lofr(self.config)
        if self.config.peak_nodes:
            model.begin_alike()
        return model

    def begin_from(self, model: Lofr, values: dict[str, Tensor]) -> int:
        first = {
            name: value for name, value in values.items() if name.startswith(("pyramid.", "activation."))
        }
        if not first and self.located:
            # A network that is taught some places may as well begin with one that was taught them.
            return load_backbone(model.pyramid, values, part="body.")
        if not first:
            raise ValueError(
                "LOFR must not begin with another kind of network: all of them have been taught places"
            )
        return len(set(first) - set(load_matching(model, first)))

    def batches(self, data: DataOptions) -> CropBatches:
        style = CropStyle(self.config.height, self.config.network_width, window=self.window)
        source: InstanceSource
        if data.coco is not None:
            source = CocoPeople(data.coco)
        elif data.people is not None:
            source = StoredPeople(data.people)
        else:
            source = GeneratedPeople(data.assets, data.bank)
        return CropBatches(source, style, data.batch, data.seed, data.rank, self.located)

    def objective(
        self, model: Lofr, batch: CropBatch, second_stage: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        return lofr_loss.objective(model, batch, self.weights)

    def measure(self, held_out: Path, limit: int, device: torch.device) -> Measure:
        network = (self.config.network_width, self.config.height)
        crops = HeldOutCrops.read(held_out, network)
        return lambda model, second_stage: {"crops": crops.measure(model, device)}


WINDOW = 48
"""Pixels: about half a person that fills crops of 96x64."""


class PresenceTask(LofrTask):
    """LOFR's backbone and classifier alone, taught by presence: what rows of the ablation begin with, as the
    paper's begin with a backbone trained on ImageNet."""

    def objective(
        self, model: Lofr, batch: CropBatch, second_stage: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        return lofr_loss.presence_objective(model, batch)

    def measure(self, held_out: Path, limit: int, device: torch.device) -> Measure:
        network = (self.config.network_width, self.config.height)
        crops = HeldOutCrops.read(held_out, network)
        return lambda model, second_stage: {"activation": crops.measure(model, device, activation=True)}


TASKS: dict[str, Task] = {
    "logocap-tiny": LogoCapTask(LogoCapConfig.tiny()),
    "centergroup-tiny": CenterGroupTask(CenterGroupConfig.tiny()),
    "capeformer-tiny": CapeFormerTask(CapeFormerConfig.tiny()),
    "lofr-tiny": LofrTask(LofrConfig.tiny(), located=0.25),
    "lofr-small": PresenceTask(LofrConfig.small(), window=WINDOW),
    "lofr-r50": LofrTask(LofrConfig.r50()),
    "lofr-w32": LofrTask(LofrConfig.w32()),
    "lofr-w48": LofrTask(LofrConfig.w48()),
}
