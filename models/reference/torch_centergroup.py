"""CenterGroup after its networks as the reference implementation organises it, in PyTorch: what the runtime's
speed is compared to.

It enlarges all heatmaps and both feature maps to the network's full size, looks for peaks there, and reads
token features from them; positions are encoded anew for every frame. Then come assignment, scores, shift and
image coordinates. The grouping network itself is skipped. The results equal those of
`models.reference.centergroup`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.networks.centergroup import position_rows
from models.reference import centergroup, geometry
from models.reference.centergroup import Decoded, Peaks, Settings


def enlarge(maps: Tensor, factor: int) -> Tensor:
    """`[C, h, w]`, bilinear with half-pixel centres."""
    return functional.interpolate(maps[None], scale_factor=factor, mode="bilinear", align_corners=False)[0]


def find_peaks(full: Tensor, mask: Tensor, settings: Settings) -> Peaks:
    """`full [types, H, W]`, `mask [H, W]`."""
    masked = full * mask
    windows = [(masked[:-1], settings.keypoint_window), (masked[-1:], settings.center_window)]
    highest = torch.cat([functional.max_pool2d(part, side, 1, side // 2) for part, side in windows])
    values = masked * (masked == highest)
    best = values.flatten(1).topk(settings.tokens, dim=1)
    width = full.shape[2]
    x, y = best.indices % width, best.indices // width
    keep = (best.values >= settings.least_score) | (torch.arange(settings.tokens) < settings.least_tokens)
    keep &= mask[y, x] > 0
    return Peaks(torch.stack([x, y], -1).numpy(), best.values.numpy(), keep.numpy())


def token_features(maps: tuple[Tensor, Tensor], mask_quarter: Tensor, peaks: Peaks) -> tuple[Tensor, Tensor]:
    """Features and positions of all tokens, each `[types * tokens, width]`; `maps` are those of keypoints and
    centres, `[width, h, w]`."""
    x, y = (torch.from_numpy(peaks.xy[..., axis]) for axis in (0, 1))
    width, height, columns = maps[0].shape
    encoded = position_rows(mask_quarter > 0, width).T.reshape(width, height, columns)
    positions = enlarge(encoded, 4)
    keypoints, centers = (enlarge(part, 4) for part in maps)
    features = torch.cat([keypoints[:, y[:-1], x[:-1]].flatten(1), centers[:, y[-1], x[-1]]], 1)
    return features.T, positions[:, y, x].flatten(1).T


@torch.no_grad()
def decode(
    heat_half: Tensor,
    maps: tuple[Tensor, Tensor],
    attention: Tensor,
    visible: Tensor,
    center: Tensor,
    image_size: tuple[int, int],
    settings: Settings,
) -> Decoded:
    """Everything around the grouping network for an image without padding: `heat_half [types, H/2, W/2]`,
    the feature maps `[width, H/4, W/4]`, and what that network returns."""
    full = enlarge(heat_half, 2)
    height, width = full.shape[1:]
    peaks = find_peaks(full, torch.ones(height, width), settings)
    token_features(maps, torch.ones(height // 4, width // 4), peaks)

    weights = attention.softmax(-1)
    ties = (weights == weights.amax(-1, keepdim=True)).float()
    places = torch.from_numpy(peaks.xy[:-1].reshape(-1, 2)).float()
    mean = (ties @ places / ties.sum(-1, keepdim=True)).transpose(0, 1)
    alive = torch.from_numpy(peaks.keep[-1])
    seen = visible.sigmoid().T[alive].numpy()
    shifted = centergroup.shift(mean[alive].numpy(), full.numpy())
    to_image = centergroup.image_from_network(image_size, (width, height))
    image = geometry.apply(to_image, shifted).astype(np.float32)
    return Decoded(
        network_poses=np.concatenate([mean[alive].numpy(), seen[..., None]], -1),
        shifted_poses=np.concatenate([shifted, seen[..., None]], -1),
        poses=np.concatenate([image, seen[..., None], seen[..., None]], -1),
        scores=centergroup.score_people(seen, center.sigmoid()[alive].numpy(), settings),
    )


def synthetic_scene(people: int, half: int, width: int = 128, seed: int = 0) -> dict[str, Tensor]:
    """Made-up network outputs of `people` strewn over `half` x `half` cells: blobs over faint noise."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(half), torch.arange(half), indexing="ij")
    types, tokens = 18, 30
    heat_half = torch.randn(types, half, half, generator=generator) * 0.002
    for person in range(people):
        middle = torch.rand(2, generator=generator) * 0.8 * half + 0.1 * half
        for kind in range(types):
            spread = 0.0 if kind == types - 1 else 0.07 * half
            x, y = middle + spread * torch.randn(2, generator=generator)
            bell = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.0**2))
            heat_half[kind] = torch.maximum(heat_half[kind], (0.9 - 0.01 * person) * bell)
    keypoints = types - 1
    attention = torch.randn(keypoints, tokens, keypoints * tokens, generator=generator)
    peaks = find_peaks(enlarge(heat_half, 2), torch.ones(2 * half, 2 * half), Settings())
    attention += torch.where(torch.from_numpy(peaks.keep[:-1].reshape(-1)), 0.0, float(centergroup.MASKED))
    return {
        "heat_half": heat_half,
        "keypoint_map": torch.randn(width, half // 2, half // 2, generator=generator),
        "center_map": torch.randn(width, half // 2, half // 2, generator=generator),
        "attn": attention,
        "vis": torch.randn(keypoints, tokens, generator=generator),
        "center": torch.randn(tokens, generator=generator),
    }
