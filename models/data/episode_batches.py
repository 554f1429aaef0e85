"""Batches of generated episodes for CapeFormer: a few images of one kind of object, each looked for with the
others as examples.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from models.data.objects.episodes import Style, episode
from models.data.objects.training_kinds import Kinds
from models.reference import capeformer as reference

MOST_KEYPOINTS = 16
IMAGES = 3
"""Of every kind in a batch; each is looked for with the others as examples."""
STYLE = Style(distant=0.35)
"""Users mostly give no box: then a crop is the whole image."""


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
            one = episode(kind, generator, self.kinds.background, STYLE, IMAGES, MOST_KEYPOINTS)
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
