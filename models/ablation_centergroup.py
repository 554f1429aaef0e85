"""Attention grouping against offset matching on the same peaks (the paper's Table 1, rows 1 and 7).

    python -m models.ablation_centergroup STATE/centergroup-tiny/weights.pt STATE/logocap-tiny/weights.pt \\
        --data tests/data/people --data tests/data/people-crowd [--json]

Both begin with CenterGroup's peaks. Attention grouping is CenterGroup. Offset matching has no grouping
network: every centre predicts where its keypoints lie (by the offsets of LOGO-CAP, which was trained on the
same scenes) and takes the nearest peak of each type; where none is near, the prediction itself. A pose scores
by its centre times the mean of its peaks, as such methods do.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.centergroup import CenterGroup, CenterGroupConfig
from models.export import load_weights
from models.logocap import LogoCap, LogoCapConfig
from models.reference import centergroup as reference
from models.reference.logocap import upsample
from models.training import centergroup_objective
from models.training.evaluation import HeldOut, suppress
from models.training.objective import normalise

NEAR = 0.2
"""A peak is taken if it is nearer to the prediction than this part of the predicted pose's extent."""


@torch.no_grad()
def match_offsets(
    grouping: CenterGroup, offsets_of: LogoCap, images: Tensor
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses [n, 17, 2] and scores [n] of each of the u8 pictures [B, H, W, 3]."""
    heat_half, _ = grouping.forward_backbone(normalise(images, grouping.config))
    _, offsets, _ = offsets_of.forward_backbone(normalise(images, offsets_of.config))
    settings = reference.Settings(least_score=0.05, least_tokens=0)
    mask = np.ones(images.shape[1:3], np.uint8)
    answers = []
    for picture, half in enumerate(heat_half.cpu().numpy()):
        full = upsample(half, 2)
        found = reference.find_peaks(full, mask, settings)
        alive = found.keep[-1]
        centers = found.xy[-1][alive].astype(np.float32)
        if len(centers) == 0:
            answers.append((np.zeros((0, 17, 2)), np.zeros(0)))
            continue
        index = torch.full((len(centers),), picture, dtype=torch.long)
        predicted = offsets_of.initial_poses(offsets, index, torch.from_numpy(centers)).numpy()
        poses, strength = nearest_peaks(predicted, found)
        poses = reference.shift(poses, full)
        answers.append(suppress(poses, found.score[-1][alive] * strength.mean(1)))
    return answers


def nearest_peaks(predicted: np.ndarray, found: reference.Peaks) -> tuple[np.ndarray, np.ndarray]:
    """`predicted [n, 17, 2]` moved to the nearest peak of each type, where one is near, and the heights of
    these peaks `[n, 17]`, 0 where none is."""
    poses, strength = predicted.copy(), np.zeros(predicted.shape[:2], np.float32)
    span = np.maximum(np.ptp(predicted, axis=1), 12)
    reach = NEAR * np.sqrt(span[:, 0] * span[:, 1])
    for kind in range(predicted.shape[1]):
        keep = found.keep[kind]
        if not keep.any():
            continue
        peaks, heights = found.xy[kind][keep].astype(np.float32), found.score[kind][keep]
        distance = np.linalg.norm(predicted[:, kind, None] - peaks[None], axis=-1)
        best = distance.argmin(axis=1)
        near = distance.min(axis=1) < reach
        poses[near, kind] = peaks[best[near]]
        strength[near, kind] = heights[best[near]]
    return poses, strength


def main() -> None:
    """Prints AP, AP50 and AP75 of both on every set."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("centergroup", type=Path, help="weights of centergroup-tiny")
    parser.add_argument("logocap", type=Path, help="weights of logocap-tiny, for its offsets")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="a held-out set; repeatable"
    )
    parser.add_argument("--pictures", type=int, help="only the first so many of each set")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    grouping, offsets = CenterGroup(CenterGroupConfig.tiny()).eval(), LogoCap(LogoCapConfig.tiny()).eval()
    load_weights(grouping, arguments.centergroup)
    load_weights(offsets, arguments.logocap)
    methods = {
        "attention": partial(centergroup_objective.predict, grouping),
        "offsets": partial(match_offsets, grouping, offsets),
    }
    for folder in arguments.data:
        held_out = HeldOut(folder, arguments.pictures)
        for name, predict in methods.items():
            figures = held_out.average_precision(predict, torch.device("cpu"))
            if arguments.json:
                print(json.dumps({"data": str(folder), "grouping": name} | figures))
            else:
                print(
                    f"{folder}  {name:9}  "
                    + "  ".join(f"{key} {value:.4f}" for key, value in figures.items())
                )


if __name__ == "__main__":
    main()
