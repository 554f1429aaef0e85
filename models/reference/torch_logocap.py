"""LOGO-CAP after the network as the reference implementation organises it, in PyTorch: what the runtime's
speed is compared to.

    python -m models.reference.torch_logocap --people 5 --threads 1

It upsamples all heatmaps, gathers whole 97x97 windows from them and convolves them densely. The results equal
those of `models.reference.logocap`.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models import skeleton
from models.networks import adaptation
from models.reference import geometry
from models.reference.logocap import Decoded, Settings, pose_nms


def find_centers(center_map: Tensor, settings: Settings) -> Tensor:
    """`center_map [H, W]` (upsampled) -> `[n, 3]`: x, y, value, best first."""
    pooled = functional.max_pool2d(center_map.clamp(min=0)[None], 3, stride=1, padding=1)[0]
    survivors = torch.where(center_map == pooled, center_map, 0.0).flatten()
    values, index = survivors.topk(settings.candidates)
    mask = values >= settings.center_threshold
    mask[0] = True
    width = center_map.shape[1]
    return torch.stack([index % width, index // width, values], dim=1)[mask]


def sample_windows(heatmaps: Tensor, mesh: Tensor) -> Tensor:
    """`heatmaps [17, H, W]` read at `mesh [n, 17, a, a, 2]`, each keypoint from its own map -> `[n, 17, a,
    a]`."""
    keypoints, height, width = heatmaps.shape
    x0, x1, wx0, wx1 = adaptation.border_taps(mesh[..., 0], width)
    y0, y1, wy0, wy1 = adaptation.border_taps(mesh[..., 1], height)
    base = (torch.arange(keypoints) * (height * width))[None, :, None, None]
    flat = heatmaps.flatten()
    return (
        wx0 * wy0 * flat[base + y0 * width + x0]
        + wx1 * wy0 * flat[base + y0 * width + x1]
        + wx0 * wy1 * flat[base + y1 * width + x0]
        + wx1 * wy1 * flat[base + y1 * width + x1]
    )


@torch.no_grad()
def decode(
    heatmaps: Tensor, offsets: Tensor, kam: Tensor, image_size: tuple[int, int], settings: Settings
) -> Decoded:
    """The whole post-processing at level `full`; see `models.reference.logocap.decode` for the shapes."""
    height, width = heatmaps.shape[1] * settings.stride, heatmaps.shape[2] * settings.stride
    large = functional.interpolate(
        heatmaps[None], scale_factor=settings.stride, mode="bilinear", align_corners=False
    )[0]
    centers = find_centers(large[-1], settings)
    first = torch.zeros(len(centers), dtype=torch.long)
    initial = adaptation.initial_poses(offsets[None], first, centers[:, :2], settings.stride)
    if len(kam) != len(centers):
        raise ValueError(f"{len(kam)} attraction maps for {len(centers)} centres")
    mesh = adaptation.mesh(initial, settings.window_radius)
    steps = torch.arange(-settings.window_radius, settings.window_radius + 1.0)
    prior = torch.exp(-(steps[:, None].square() + steps.square()) / (2 * settings.prior_sigma**2))
    maps = sample_windows(large[:-1], mesh) * prior
    refined = adaptation.adapt(maps, kam, settings.kernel_divisor)
    side = refined.shape[-1]
    values, index = refined.flatten(2).topk(2)
    weights = torch.tensor(settings.top2_weights)
    cell = torch.stack([index % side, index // side], dim=-1).float()
    position = initial - settings.window_radius + (weights[:, None] * cell).sum(2)
    score = (weights * values).sum(-1) * centers[:, None, 2]
    result = torch.cat([position, score[..., None]], dim=-1)
    scores = score.mean(1)
    poses = result[scores > 0].numpy()
    alive = scores[scores > 0].numpy()
    to_image = geometry.invert(geometry.network_from_image(image_size, (width, height)))
    in_image = poses.copy()
    in_image[..., :2] = geometry.apply(to_image, poses[..., :2])
    keep = pose_nms(in_image, alive, settings)
    return Decoded(centers.numpy(), initial.numpy(), result.numpy(), alive, in_image[keep], keep)


def synthetic_scene(people: int, cells: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Heatmaps, offsets and attraction maps with `people` well separated centres, for timing."""
    generator = np.random.default_rng(seed)
    keypoints = len(skeleton.NAMES)
    columns = int(np.ceil(np.sqrt(people)))
    step = cells / columns
    y, x = np.mgrid[0:cells, 0:cells].astype(np.float32)
    heatmaps = generator.normal(0, 0.002, (keypoints + 1, cells, cells)).astype(np.float32)
    # Below zero, so that noise makes no candidate.
    heatmaps[-1] = -np.abs(heatmaps[-1])
    offsets = np.zeros((2 * keypoints, cells, cells), np.float32)
    for person in range(people):
        center = (np.array([person % columns, person // columns]) + 0.5) * step + generator.uniform(
            -0.4, 0.4, 2
        )
        points = center + generator.uniform(-0.45, 0.45, (keypoints, 2)) * step
        for channel, point in enumerate([*points, center]):
            sigma = min(4.0 if channel == keypoints else 2.0, step / 6)
            blob = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * sigma**2))
            # Cut off: a tail that reaches the border ties with itself there and makes one more candidate.
            blob = np.where(blob > 0.1, (0.9 - 0.01 * person) * blob, -1)
            heatmaps[channel] = np.maximum(heatmaps[channel], blob)
        near = (np.abs(x - center[0]) < step / 2) & (np.abs(y - center[1]) < step / 2)
        for keypoint, point in enumerate(points + generator.normal(0, 0.5, points.shape)):
            offsets[2 * keypoint][near] = (x - point[0])[near]
            offsets[2 * keypoint + 1][near] = (y - point[1])[near]
    large = functional.interpolate(
        torch.from_numpy(heatmaps)[None], scale_factor=4, mode="bilinear", align_corners=False
    )[0]
    count = len(find_centers(large[-1], Settings()))
    steps = np.arange(-5, 6)
    bell = np.exp(-(steps[:, None] ** 2 + steps**2) / 8).astype(np.float32)
    kam = bell + generator.normal(0, 0.03, (count, keypoints, 11, 11)).astype(np.float32)
    return torch.from_numpy(heatmaps), torch.from_numpy(offsets), torch.from_numpy(kam)


def main() -> None:
    """Times `decode` on a synthetic scene and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--size", type=int, default=512, help="side of the network's input, pixels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--write", help="also write the scene (heatmaps, offsets, kam) to this npz")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    heatmaps, offsets, kam = synthetic_scene(arguments.people, arguments.size // 4)
    if arguments.write:
        np.savez(arguments.write, heatmaps=heatmaps.numpy(), offsets=offsets.numpy(), kam=kam.numpy())
    wall, processor = [], []
    for _ in range(arguments.repeat + 1):
        begin = time.perf_counter(), time.process_time()
        result = decode(heatmaps, offsets, kam, (arguments.size, arguments.size), Settings())
        wall.append(1e3 * (time.perf_counter() - begin[0]))
        processor.append(1e3 * (time.process_time() - begin[1]))
    print(
        json.dumps(
            {
                "people": arguments.people,
                "candidates": len(kam),
                "poses": len(result.poses),
                "threads": arguments.threads,
                "median_ms": round(float(np.median(wall[1:])), 3),
                "min_ms": round(min(wall[1:]), 3),
                "processor_ms": round(float(np.median(processor[1:])), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
