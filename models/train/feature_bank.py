"""Episodes' images as a frozen backbone sees them, drawn once: what `matcher_training` learns from.

    python -m models.train.feature_bank --shards 12

A shard holds groups of images of one kind each, with the backbone's maps in half precision. The backbone is
EfficientNet-Lite0 with its ImageNet weights, `lite0.pt` of the training state (`models.checkpoints.lite0`).
Half of the groups are mostly upright, as photographs are; the others are turned and mirrored, so that where
a keypoint lay in the example is not all there is to learn. An interrupted run goes on with the next shard.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from models.data.episode_batches import STYLE
from models.data.objects.body_parts import PARTS, BodyPart, PartBank
from models.data.objects.episodes import Style, episode
from models.data.objects.kind import Kind
from models.data.objects.stamps import animals
from models.data.objects.training_kinds import Kinds
from models.networks.capeformer import CapeFormerConfig
from models.networks.efficientnet_lite import CellFeatures
from models.networks.inputs import normalise
from models.paths import state_directory

GROUPS, IMAGES = 60, 5
"""Groups of a shard, and images of a group."""
MOST_KEYPOINTS = 24
UPRIGHT = replace(STYLE, turn=0.3, mirrored=0.08, tilt=0.08, distant=0.15)
TURNED = replace(STYLE, turn=1.2, mirrored=0.3, distant=0.35)
ANIMALS, BODY_PARTS = 0.38, 0.27
"""Shares of the groups that are photographed animals of one kind, and parts of rendered people; the rest are
cut-outs and invented creatures, which `capeformer-tiny` learns from too."""


@dataclass(frozen=True)
class Sources:
    """Folders that kinds are made from."""

    assets: Path
    packages: Path
    parts: Path


class Mixture:
    """Draws kinds; `without_people` those that need no rendered bodies."""

    def __init__(self, sources: Sources, without_people: bool = False) -> None:
        self.kinds = Kinds(sources.assets, None)
        self.animals = animals(sources.packages)
        counts = np.sqrt([len(kind.images) for kind in self.animals])
        self.shares = counts / counts.sum()
        self.parts = {} if without_people else {part: PartBank.open(sources.parts, part) for part in PARTS}

    def any(self, generator: np.random.Generator) -> Kind:
        draw = generator.random()
        if draw < ANIMALS:
            return self.animals[int(generator.choice(len(self.animals), p=self.shares))]
        if self.parts and draw < ANIMALS + BODY_PARTS:
            part = str(generator.choice(PARTS))
            return BodyPart(self.parts[part], part, int(generator.integers(2**31)))
        return self.kinds.any(generator)


def style(generator: np.random.Generator) -> Style:
    """Of one group."""
    return UPRIGHT if generator.random() < 0.5 else TURNED


def shard(mixture: Mixture, backbone: CellFeatures, seed: int) -> dict[str, np.ndarray]:
    """One file's arrays: `maps` f16 [GROUPS, IMAGES, channels, 8, 8], `keypoints` f32 [.., MOST_KEYPOINTS,
    2] in parts of the crop, `visible` bool."""
    generator = np.random.default_rng([11, seed])
    config = CapeFormerConfig.lite0()
    columns: dict[str, list[np.ndarray]] = {"maps": [], "keypoints": [], "visible": []}
    for _ in range(GROUPS):
        kind = mixture.any(generator)
        background = mixture.kinds.background
        one = episode(kind, generator, background, style(generator), IMAGES, MOST_KEYPOINTS)
        missing = MOST_KEYPOINTS - one.keypoints.shape[1]
        maps = backbone(normalise(torch.from_numpy(one.images), config))
        columns["maps"].append(maps.half().numpy())
        columns["keypoints"].append(
            np.pad(one.keypoints, ((0, 0), (0, missing), (0, 0))).astype(np.float32) / STYLE.side
        )
        columns["visible"].append(np.pad(one.visible, ((0, 0), (0, missing))))
    return {name: np.stack(values) for name, values in columns.items()}


@torch.no_grad()
def main() -> None:
    """Draws shards that are not there yet."""
    home = state_directory()
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--assets", type=Path, default=home / "assets")
    parser.add_argument("--packages", type=Path, default=home / "packages/unpacked")
    parser.add_argument(
        "--parts", type=Path, default=home / "parts", help="of models.data.objects.body_parts"
    )
    parser.add_argument("--weights", type=Path, default=home / "lite0.pt")
    parser.add_argument("--out", type=Path, default=home / "capeformer-lite0/features")
    parser.add_argument("--shards", type=int, default=12)
    parser.add_argument("--first", type=int, default=0, help="number of the first shard")
    parser.add_argument(
        "--without-people", action="store_true", help="only kinds that need no rendered bodies"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    backbone = CellFeatures().eval()
    backbone.body.load_state_dict(torch.load(arguments.weights, weights_only=True), strict=False)
    sources = Sources(arguments.assets, arguments.packages, arguments.parts)
    mixture = Mixture(sources, arguments.without_people)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number in tqdm(
        range(arguments.first, arguments.first + arguments.shards), unit="shard", disable=None
    ):
        path = arguments.out / f"{number:04}.npz"
        if path.exists():
            continue
        partial = path.with_suffix(".partial")
        with open(partial, "wb") as file:
            np.savez(file, **shard(mixture, backbone, number))
        os.replace(partial, path)


if __name__ == "__main__":
    main()
