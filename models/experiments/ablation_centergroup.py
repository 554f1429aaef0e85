"""Attention grouping against offset matching on the same peaks (the paper's Table 1, rows 1 and 7).

    python -m models.experiments.ablation_centergroup STATE/centergroup-tiny/weights.pt \\
        --data tests/data/people --data tests/data/people-crowd [--model centergroup-movenet] [--json]

All begin with CenterGroup's peaks. Attention grouping is CenterGroup. Offset matching leaves the attention
out: every centre predicts where its keypoints lie, by the same network's prior, which is trained for that.
Either every peak goes to the nearest centre ("offsets"), or every centre takes its nearest peaks, which two
centres may then share ("shared offsets"); where none is near, the prediction itself stands. A pose scores by
its centre times the mean of its peaks, as such methods do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from models.evaluate import decode_centergroup
from models.evaluate.decode_logocap import suppress
from models.evaluate.people import HeldOut, Predict
from models.losses.centergroup import STRIDE
from models.networks import centergroup_movenet
from models.networks.centergroup import CenterGroup, CenterGroupConfig, Grouper
from models.networks.centergroup_movenet import MoveNetCenterGroup
from models.networks.inputs import normalise
from models.networks.weights import load_weights
from models.reference import centergroup as reference
from models.reference.logocap import upsample

NEAR = 0.2
"""A peak is taken if it is nearer to the prediction than this part of the predicted pose's extent."""


@torch.no_grad()
def match_offsets(model: Grouper, shared: bool, images: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses [n, 17, 2] and scores [n] of each of the u8 images [B, H, W, 3]."""
    heat_half, rows = model.forward_backbone(normalise(images, model.config))
    settings = reference.Settings(least_score=0.05, least_tokens=0)
    height, width = images.shape[1:3]
    mask = np.ones((height, width), np.uint8)
    results = []
    for half, row in zip(heat_half.cpu().numpy(), rows.cpu()):
        full = upsample(half, 2)
        found = reference.find_peaks(full, mask, settings)
        alive = found.keep[-1]
        if not alive.any():
            results.append((np.zeros((0, 17, 2)), np.zeros(0)))
            continue
        index, weight, _ = reference.tokens(found, (height // STRIDE, width // STRIDE))
        taps = row[torch.from_numpy(index.astype(np.int64))] * torch.from_numpy(weight)[..., None]
        centers = taps.sum(1).reshape(len(found.keep), -1, row.shape[1])[-1, torch.from_numpy(alive)]
        offsets = model.group_model.prior.offsets(centers).numpy() * STRIDE
        predicted = found.xy[-1][alive].astype(np.float32)[:, None] + offsets
        poses, strength = nearest_peaks(predicted, found, shared)
        # A prediction without a peak may lie outside, where there is nothing to shift towards.
        inside = np.clip(poses, 0, (width - 1, height - 1))
        poses = np.where(strength[..., None] > 0, reference.shift(inside, full), poses + 0.5)
        results.append(suppress(poses, found.score[-1][alive] * strength.mean(1)))
    return results


def nearest_peaks(
    predicted: np.ndarray, found: reference.Peaks, shared: bool
) -> tuple[np.ndarray, np.ndarray]:
    """`predicted [n, 17, 2]` moved to the nearest peak of each type, where one is near, and the heights of
    these peaks `[n, 17]`, 0 where none is.

    Unless peaks are shared, each is only for the pose nearest to it.
    """
    poses, strength = predicted.copy(), np.zeros(predicted.shape[:2], np.float32)
    span = np.maximum(np.ptp(predicted, axis=1), 12)
    reach = NEAR * np.sqrt(span[:, 0] * span[:, 1])
    for kind in range(predicted.shape[1]):
        keep = found.keep[kind]
        if not keep.any():
            continue
        peaks, heights = found.xy[kind][keep].astype(np.float32), found.score[kind][keep]
        distance = np.linalg.norm(predicted[:, kind, None] - peaks[None], axis=-1)
        if not shared:
            others = np.arange(len(predicted))[:, None] != distance.argmin(axis=0)[None]
            distance[others] = np.inf
        best = distance.argmin(axis=1)
        near = distance.min(axis=1) < reach
        poses[near, kind] = peaks[best[near]]
        strength[near, kind] = heights[best[near]]
    return poses, strength


def at_side(predict: Predict, side: int, images: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """What `predict` says of square images when they are `side` pixels a side, in their own pixels."""
    enlarged = np.stack([cv2.resize(image, (side, side)) for image in images.numpy()])
    scale = images.shape[1] / side
    return [(poses * scale, scores) for poses, scores in predict(torch.from_numpy(enlarged))]


NETWORKS: dict[str, Callable[[], Grouper]] = {
    "centergroup-tiny": lambda: CenterGroup(CenterGroupConfig.tiny()),
    "centergroup-movenet": lambda: MoveNetCenterGroup(centergroup_movenet.config()),
}


def main(given: list[str] | None = None) -> None:
    """Prints AP, AP50 and AP75 of both on every set."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("weights", type=Path, help="of training")
    parser.add_argument("--model", choices=sorted(NETWORKS), default="centergroup-tiny")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="a held-out set; repeatable"
    )
    parser.add_argument("--side", type=int, help="pixels of the network's input (default: the bundle's)")
    parser.add_argument("--images", type=int, help="only the first so many of each set")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(given)
    model = NETWORKS[arguments.model]().eval()
    load_weights(model, arguments.weights)
    methods = {
        "attention": partial(decode_centergroup.predict, model),
        "offsets": partial(match_offsets, model, False),
        "shared offsets": partial(match_offsets, model, True),
    }
    for folder in arguments.data:
        held_out = HeldOut(folder, arguments.images)
        for name, predict in methods.items():
            sized = partial(at_side, predict, arguments.side or model.config.short_side)
            figures = held_out.average_precision(sized, torch.device("cpu"))
            if arguments.json:
                print(json.dumps({"data": str(folder), "grouping": name} | figures))
            else:
                print(
                    f"{folder}  {name:14}  "
                    + "  ".join(f"{key} {value:.4f}" for key, value in figures.items())
                )


if __name__ == "__main__":
    main()
