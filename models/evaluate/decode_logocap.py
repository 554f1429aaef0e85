"""Poses of a LOGO-CAP network under training, as the runtime decodes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.networks.inputs import normalise
from models.networks.logocap import LogoCap

LEVELS = ("none", "peak", "full")
"""Initial poses; keypoints moved to the peak of the prior-weighted heatmap; keypoints moved by the second
stage.
"""
MOST_CENTERS = 12
CENTER_THRESHOLD = 0.03


@torch.no_grad()
def predict(model: LogoCap, images: Tensor, level: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses [n, 17, 2] and scores [n] of each of the u8 images [B, H, W, 3], without a flip test."""
    heatmaps, offsets, embedding = model.forward_backbone(normalise(images, model.config))
    index, centers, values = find_centers(heatmaps[:, 17], model.config.stride)
    if len(index) == 0:
        return [(np.zeros((0, 17, 2)), np.zeros(0))] * len(images)
    poses = model.initial_poses(offsets, index, centers)
    if level == "none":
        points = model.sample(_upsample(heatmaps, model.config.stride), index, poses)
        scores = torch.stack([points[:, k, k] for k in range(17)], 1).mean(1) * values
    else:
        if level == "full":
            kernels = model.attraction_maps(embedding, index, poses)
        else:
            kernels = torch.zeros(len(poses), 17, 11, 11, device=poses.device)
            kernels[..., 5, 5] = 1
        refined = model.adapt(heatmaps, index, poses, kernels)
        poses, strength = best_cells(refined, poses)
        scores = strength.mean(1) * values
    results = []
    for image in range(len(images)):
        rows = (index == image).cpu()
        results.append(suppress(poses.cpu()[rows].numpy(), scores.cpu()[rows].numpy()))
    return results


def _upsample(maps: Tensor, stride: int) -> Tensor:
    return functional.interpolate(maps, scale_factor=stride, mode="bilinear", align_corners=False)


def find_centers(center_map: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """`center_map [B, h, w]` -> image index [N], centres [N, 2] in pixels, values [N]; one per plateau."""
    high = _upsample(center_map[:, None], stride)[:, 0]
    peak = (high == functional.max_pool2d(high[:, None].clamp(min=0), 3, 1, 1)[:, 0]) & (
        high >= CENTER_THRESHOLD
    )
    indices, centers, values = [], [], []
    for image in range(len(high)):
        rows, columns = torch.nonzero(peak[image], as_tuple=True)
        value, order = high[image, rows, columns].sort(descending=True)
        point = torch.stack([columns[order], rows[order]], 1).float()[:MOST_CENTERS]
        indices.append(torch.full((len(point),), image, device=high.device))
        centers.append(point)
        values.append(value[:MOST_CENTERS])
    return torch.cat(indices), torch.cat(centers), torch.cat(values)


def best_cells(refined: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted mean of the two highest cells of each refined map [N, 17, a, a]: positions, values."""
    side = refined.shape[-1]
    values, cells = refined.flatten(2).topk(2, dim=2)
    points = torch.stack([cells % side, cells // side], -1).float() - side // 2
    share = torch.tensor([0.75, 0.25], device=refined.device)
    return poses + (points * share[:, None]).sum(2), (values * share).sum(2)


def suppress(
    poses: np.ndarray, scores: np.ndarray, distance: float = 0.05, keypoints: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Drop poses that share more than `keypoints` keypoints with a better one, and those without a score."""
    kept: list[int] = []
    for row in np.argsort(-scores):
        if scores[row] <= 0:
            continue
        reach = distance * np.linalg.norm(np.ptp(poses[row], axis=0))
        if all(
            (np.linalg.norm(poses[row] - poses[other], axis=1) < reach).sum() <= keypoints for other in kept
        ):
            kept.append(int(row))
    return poses[kept], scores[kept]
