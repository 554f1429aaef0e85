"""LOGO-CAP after the network, in NumPy: what `sinew decode --exact` must return.

Everything is done the plain way (whole upsampled maps, dense convolution), in float32 like the reference
implementation. Positions are `(x, y)` in network pixels unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from models import skeleton
from models.reference import geometry

Level = Literal["none", "partial", "full"]


@dataclass(frozen=True)
class Settings:
    """The constants of the post-processing; the defaults are the reference implementation's."""

    stride: int = 4
    candidates: int = 30
    center_threshold: float = 0.01
    mesh_radius: int = 5
    kernel_divisor: float = 121.0
    window_radius: int = 48
    prior_sigma: float = 16.0
    top2_weights: tuple[float, float] = (0.75, 0.25)
    nms_distance: float = 0.05
    nms_keypoints: int = 8


@dataclass(frozen=True)
class Decoded:
    """Everything `sinew decode --dump` writes, under the same names."""

    centers: np.ndarray
    """`[n, 3]`: x, y, value, best first."""
    initial_poses: np.ndarray
    """`[n, 17, 2]`."""
    refined_poses: np.ndarray
    """`[n, 17, 3]`: x, y, keypoint score; before any person is dropped."""
    scores: np.ndarray
    """`[m]`: of the people whose mean score is above 0, before pose NMS."""
    poses: np.ndarray
    """`[r, 17, 3]`, image pixels, after pose NMS."""
    keep: np.ndarray
    """`[r]`: rows of the `m` that stay."""


def merge_flipped(heatmaps: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Averages an image's maps with those of its mirror image.

    `heatmaps [2, 18, h, w]`, `offsets [2, 34, h, w]`, the mirrored image second -> `[18, h, w]`, `[34, h,
    w]`.
    """
    order = skeleton.flip_order()
    back = heatmaps[1, [*order, len(order)], :, ::-1]
    vectors = offsets[1].reshape(len(order), 2, *offsets.shape[2:])[order][..., ::-1]
    vectors = vectors * np.array([-1, 1], np.float32)[None, :, None, None]
    half = np.float32(0.5)
    return half * heatmaps[0] + half * back, half * offsets[0] + half * vectors.reshape(offsets.shape[1:])


def upsample(maps: np.ndarray, factor: int) -> np.ndarray:
    """`[..., h, w]` -> `[..., h * factor, w * factor]`, bilinear, half-pixel centres, the border repeated.

    Equal to PyTorch's to the last bit: along x, then along y, each as `fma(v0, w0, v1 * w1)`. That matters at
    the border, where both taps are the same cell and the rounding alone decides whether neighbouring pixels
    tie.
    """

    def taps(cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        position = np.arange(cells * factor, dtype=np.float32) + np.float32(0.5)
        position = np.maximum(position / np.float32(factor) - np.float32(0.5), 0)
        first = position.astype(np.int64)
        return first, np.minimum(first + 1, cells - 1), position - first.astype(np.float32)

    def blend(near: np.ndarray, far: np.ndarray, fraction: np.ndarray) -> np.ndarray:
        # The product is exact in f64, so this rounds once, as a fused multiply-add does.
        product = near.astype(np.float64) * (1 - fraction).astype(np.float64)
        return (product + (far * fraction).astype(np.float64)).astype(np.float32)

    y0, y1, fy = taps(maps.shape[-2])
    x0, x1, fx = taps(maps.shape[-1])
    rows = blend(maps[..., x0], maps[..., x1], fx)
    return blend(rows[..., y0, :], rows[..., y1, :], fy[:, None])


def sample(plane: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`plane [..., h, w]` at positions `x`, `y` (cells of the plane, any common shape) by the sampling rule.

    Per axis: `i0 = clamp(floor p, 0, n-1)`, `i1 = min(i0+1, n-1)`, weights `clamp(i1-p, 0, 1)`, `clamp(p-i0,
    0, 1)`.
    """

    def taps(position: np.ndarray, cells: int) -> tuple[np.ndarray, ...]:
        first = np.clip(np.floor(position), 0, cells - 1).astype(np.int64)
        second = np.minimum(first + 1, cells - 1)
        near = np.clip(second.astype(np.float32) - position, 0, 1)
        return first, second, near, np.clip(position - first.astype(np.float32), 0, 1)

    x0, x1, wx0, wx1 = taps(x, plane.shape[-1])
    y0, y1, wy0, wy1 = taps(y, plane.shape[-2])
    return (
        wx0 * wy0 * plane[..., y0, x0]
        + wx1 * wy0 * plane[..., y0, x1]
        + wx0 * wy1 * plane[..., y1, x0]
        + wx1 * wy1 * plane[..., y1, x1]
    )


def find_centers(center_map: np.ndarray, settings: Settings) -> np.ndarray:
    """`center_map [H, W]` (upsampled) -> `[n, 3]`: the pixels that equal the maximum of their 3x3
    neighbourhood.

    Every pixel of a tie stays; nothing negative does. The best `candidates` that reach the threshold, best
    first, ties in reading order; if none does, the best one alone.
    """
    height, width = center_map.shape
    padded = np.pad(np.maximum(center_map, 0), 1)
    shifts = [padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    survivors = np.where(center_map == np.max(shifts, axis=0), center_map, 0).ravel()
    order = np.argsort(-survivors, kind="stable")[: settings.candidates]
    values = survivors[order]
    count = max(int((values >= settings.center_threshold).sum()), 1)
    return np.stack([order % width, order // width, values], axis=1)[:count].astype(np.float32)


def initial_poses(offsets: np.ndarray, centers: np.ndarray, settings: Settings) -> np.ndarray:
    """`offsets [34, h, w]`, `centers [n, 3]` -> `[n, 17, 2]`: read at the centre's cell, taken off the centre
    itself."""
    position = centers[:, :2] / np.float32(settings.stride)
    column, row = position.astype(np.int64).T
    vectors = offsets[:, row, column].T.reshape(len(centers), -1, 2)
    return (position[:, None] - vectors) * np.float32(settings.stride)


def local_mesh(poses: np.ndarray, settings: Settings) -> np.ndarray:
    """`[n, 17, 2]` -> `[n, 17, 11, 11, 2]`, rows first; spacing grows with the keypoint's sigma."""
    steps = np.arange(-settings.mesh_radius, settings.mesh_radius + 1, dtype=np.float32)
    spacing = np.array(skeleton.SIGMAS, np.float32) / np.float32(min(skeleton.SIGMAS))
    mesh = np.stack(np.meshgrid(steps, steps), axis=-1)
    return poses[:, :, None, None] + spacing[:, None, None, None] * mesh


def local_maps(embedding: np.ndarray, mesh: np.ndarray, settings: Settings) -> np.ndarray:
    """`embedding [C, h, w]`, `mesh [n, 17, 11, 11, 2]` -> the local expansion maps `[n, 17 * C, 11, 11]`."""
    position = mesh / np.float32(settings.stride)
    values = sample(embedding, position[..., 0], position[..., 1])
    return np.moveaxis(values, 0, 2).reshape(len(mesh), -1, *mesh.shape[2:4])


def global_maps(heatmaps: np.ndarray, poses: np.ndarray, settings: Settings) -> np.ndarray:
    """`heatmaps [17, H, W]` (upsampled), `poses [n, 17, 2]` -> windows times the Gaussian prior `[n, 17, 97,
    97]`."""
    steps = np.arange(-settings.window_radius, settings.window_radius + 1, dtype=np.float32)
    prior = np.exp(-(steps[:, None] ** 2 + steps**2) / np.float32(2 * settings.prior_sigma**2))
    maps = np.empty((*poses.shape[:2], len(steps), len(steps)), np.float32)
    for person, pose in enumerate(poses):
        for keypoint, (x, y) in enumerate(pose):
            window = sample(heatmaps[keypoint], (x + steps)[None, :], (y + steps)[:, None])
            maps[person, keypoint] = window * prior
    return maps


def kernels(kam: np.ndarray, settings: Settings) -> np.ndarray:
    """Raw attraction maps -> the kernels that are correlated with the windows: clamped, divided, turned
    round."""
    return (np.clip(kam, 0, 1) / np.float32(settings.kernel_divisor))[..., ::-1, ::-1]


def convolve(maps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlates every map `[n, 17, a, a]` with its own `weights [n, 17, l, l]`, zero outside."""
    side, size = maps.shape[-1], weights.shape[-1]
    padded = np.pad(maps, ((0, 0), (0, 0), (size // 2, size // 2), (size // 2, size // 2)))
    total = np.zeros_like(maps)
    for dy in range(size):
        for dx in range(size):
            total += weights[..., dy, dx, None, None] * padded[..., dy : dy + side, dx : dx + side]
    return total


def top2(refined: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two largest cells of every map `[n, 17, a, a]`: values and `row * a + column`, `[n, 17, 2]` each.

    Equal cells are taken in reading order; the reference implementation leaves that open.
    """
    flat = refined.reshape(*refined.shape[:2], -1)
    index = np.argsort(-flat, axis=-1, kind="stable")[..., :2]
    return np.take_along_axis(flat, index, axis=-1), index


def refine(
    heatmaps: np.ndarray, kam: np.ndarray | None, poses: np.ndarray, settings: Settings, level: Level
) -> np.ndarray:
    """`[n, 17, 3]`: positions and values before the centre's value is multiplied in.

    `none` scores the initial poses by the upsampled heatmap, `partial` moves to the largest cell of the
    clamped attraction map, `full` to the weighted mean of the two largest cells of the refined window.
    """
    if level == "none":
        x, y = poses[..., 0], poses[..., 1]
        value = np.stack([sample(heatmaps[k], x[:, k], y[:, k]) for k in range(poses.shape[1])], axis=1)
        return np.concatenate([poses, value[..., None]], axis=-1)
    if kam is None:
        raise ValueError(f"level {level!r} needs the attraction maps")
    if level == "partial":
        flat = np.clip(kam, 0, 1).reshape(*kam.shape[:2], -1)
        best = flat.argmax(axis=-1)[..., None]
        points = local_mesh(poses, settings).reshape(*flat.shape, 2)
        position = np.take_along_axis(points, best[..., None], axis=2)[:, :, 0]
        return np.concatenate([position, np.take_along_axis(flat, best, axis=-1)], axis=-1)
    maps = global_maps(heatmaps, poses, settings)
    values, index = top2(convolve(maps, kernels(kam, settings)))
    side = maps.shape[-1]
    weights = np.array(settings.top2_weights, np.float32)
    cell = np.stack([index % side, index // side], axis=-1).astype(np.float32)
    position = poses - np.float32(settings.window_radius) + (weights[:, None] * cell).sum(axis=2)
    return np.concatenate([position, (weights * values).sum(axis=-1, keepdims=True)], axis=-1)


def pose_nms(poses: np.ndarray, scores: np.ndarray, settings: Settings) -> np.ndarray:
    """`poses [m, 17, >=2]` (image pixels, best centre first), `scores [m]` -> rows to keep, in the order of
    keeping.

    Two poses are one if more than `nms_keypoints` keypoints lie closer than `nms_distance` of the first one's
    diagonal. The best score of such a cluster stays, unless it was already set aside, in which case the
    cluster is left for later.
    """
    points = poses[..., :2]
    extent = points.max(axis=1) - points.min(axis=1) if len(poses) else np.zeros((0, 2))
    diagonal = np.sqrt((extent**2).sum(axis=-1))
    ignored = np.zeros(len(poses), bool)
    keep: list[int] = []
    for row in range(len(poses)):
        if ignored[row]:
            continue
        distance = np.sqrt(((points[row] - points) ** 2).sum(axis=-1))
        close = (distance < settings.nms_distance * diagonal[row]).sum(axis=-1)
        cluster = np.flatnonzero(close > settings.nms_keypoints)
        if not len(cluster):
            continue
        best = cluster[scores[cluster].argmax()]
        if ignored[best]:
            continue
        keep.append(int(best))
        ignored[cluster] = True
    return np.array(keep[: settings.candidates], np.int64)


def decode(
    heatmaps: np.ndarray,
    offsets: np.ndarray,
    kam: np.ndarray | None,
    image_size: tuple[int, int],
    settings: Settings | None = None,
    level: Level = "full",
) -> Decoded:
    """The whole post-processing.

    `heatmaps [18, h, w]`, `offsets [34, h, w]`, `kam [n, 17, 11, 11]` (raw, in the order of the centres; not
    needed for level `none`), `image_size = (width, height)`.
    """
    settings = settings or Settings()
    network = (heatmaps.shape[2] * settings.stride, heatmaps.shape[1] * settings.stride)
    large = upsample(heatmaps, settings.stride)
    centers = find_centers(large[-1], settings)
    initial = initial_poses(offsets, centers, settings)
    if kam is not None and len(kam) != len(centers):
        raise ValueError(f"{len(kam)} attraction maps for {len(centers)} centres")
    refined = refine(large[:-1], kam, initial, settings, level)
    refined[..., 2] *= centers[:, None, 2]
    person_scores = refined[..., 2].mean(axis=1)
    alive = person_scores > 0
    scores = person_scores[alive]
    to_image = geometry.invert(geometry.network_from_image(image_size, network))
    poses = refined[alive].copy()
    poses[..., :2] = geometry.apply(to_image, poses[..., :2])
    keep = pose_nms(poses, scores, settings)
    return Decoded(centers, initial, refined, scores, poses[keep], keep)
