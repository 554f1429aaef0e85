"""Poses of MoveNet MultiPose, decoded as its published graph does it.

    people = decode(maps)                  # maps of one image, from models.networks.movenet.MoveNet

Each keypoint is the cell of its heatmap with the highest value times a bell around the place that the
centre's regression names, inside the person's box; its local offset is added. Coordinates are continuous:
the corner of the first pixel is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.networks.movenet import KEYPOINTS, STRIDE

BELL = float(torch.tensor(0.3).half())
"""The graph's constant: the variance of the bell over the shorter side, in cells."""
LEAST_KEYPOINT_SCORE = 0.126953125
"""Keypoints below it do not count towards a person's score."""
PEAK_SIDE = 5


@dataclass(frozen=True)
class People:
    """`keypoints [n, 17, 2]` (x, y), `keypoint_scores [n, 17]`, `boxes [n, 4]` (x0, y0, x1, y1), `scores
    [n]`, best first."""

    keypoints: Tensor
    keypoint_scores: Tensor
    boxes: Tensor
    scores: Tensor


@torch.no_grad()
def decode(maps: dict[str, Tensor], most: int = 6) -> People:
    """The `most` best candidates of one image; `center` and `heatmap` are probabilities or raw values."""
    center, heat = probabilities(maps["center"])[0, 0], probabilities(maps["heatmap"])[0]
    height, width = center.shape
    highest = functional.max_pool2d(center[None, None], PEAK_SIDE, 1, PEAK_SIDE // 2)[0, 0]
    peaks = torch.where((center - highest).abs() < 1e-6, center, 0.0).flatten()
    values, places = peaks.topk(min(most, peaks.numel()))
    rows, columns = places // width, places % width
    cells = torch.stack([rows, columns], 1)

    def at(name: str) -> Tensor:
        return maps[name][0][:, rows, columns].T

    half = at("box_scale").clamp(min=0) / 2
    middle = cells + at("box_offset")
    limit = torch.tensor([height, width])
    low, high = ((middle + sign * half).clamp(min=0).minimum(limit) for sign in (-1, 1))
    guess = cells[:, None] + at("regress").unflatten(1, (KEYPOINTS, 2))
    y, x = torch.arange(height)[:, None], torch.arange(width)[None]
    low_y, low_x, high_y, high_x = (side[:, None, None] for side in (*low.T, *high.T))
    inside = (y >= low_y) & (y < high_y) & (x >= low_x) & (x < high_x)
    distance = (y - guess[..., 0, None, None]) ** 2 + (x - guess[..., 1, None, None]) ** 2
    weighted = (heat * torch.exp(-distance / (BELL * min(height, width))) * inside[:, None]).flatten(2)
    cell = weighted.argmax(2)
    # A cell's score is that of the person it suits best.
    score = weighted.amax(0).gather(1, cell.T).T
    row, column = cell // width, cell % width
    local = maps["offset"][0].unflatten(0, (KEYPOINTS, 2))[torch.arange(KEYPOINTS), :, row, column]
    keypoints = STRIDE * torch.stack([column + local[..., 1], row + local[..., 0]], 2)
    sure = score > LEAST_KEYPOINT_SCORE
    scores = values * (score * sure).sum(1) / sure.sum(1).clamp(min=1)
    return People(keypoints, score, STRIDE * torch.cat([low.flip(1), high.flip(1)], 1), scores)


def probabilities(maps: Tensor) -> Tensor:
    """Sigmoid of raw maps; maps that lie within 0 to 1 are probabilities already."""
    return maps if maps.min() >= 0 and maps.max() <= 1 else maps.sigmoid()
