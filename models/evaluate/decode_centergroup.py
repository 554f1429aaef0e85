"""Poses of a CenterGroup network under training, as the runtime decodes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.evaluate.decode_logocap import suppress
from models.losses.centergroup import unpadded_positions
from models.networks.centergroup import Grouper
from models.networks.inputs import normalise
from models.reference import centergroup as reference
from models.reference.logocap import upsample


@torch.no_grad()
def predict(model: Grouper, images: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses [n, 17, 2] and scores [n] of each of the u8 images [B, H, W, 3]."""
    heat_half, rows = model.forward_backbone(normalise(images, model.config))
    height, width = images.shape[1:3]
    mask = np.ones((height, width), np.uint8)
    positions = unpadded_positions(height // 4, width // 4, model.config.width).to(rows.device)
    results = []
    for half, row in zip(heat_half.cpu().numpy(), rows):
        settings = reference.Settings(least_score=0.05, least_tokens=0, score="evidence")
        found = reference.find_peaks(upsample(half, 2), mask, settings)
        index, weight, bias = reference.tokens(found, (height // 4, width // 4))
        inputs = (torch.from_numpy(array).to(rows.device) for array in (index.astype(np.int64), weight, bias))
        if not (found.keep[-1].any() and found.keep[:-1].any()):
            results.append((np.zeros((0, 17, 2)), np.zeros(0)))
            continue
        attention, visible, center = (
            logits.cpu().numpy() for logits in model.grouping(row, positions, *inputs)
        )
        people = reference.decode(half, mask, attention, visible, center, (width, height), found, settings)
        results.append(suppress(people.poses[..., :2], people.scores))
    return results
