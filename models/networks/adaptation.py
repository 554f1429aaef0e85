"""LOGO-CAP's geometry: sampling meshes, the sampling rule, and the local-global adaptation, all
differentiable.

Positions are `(x, y)`. "Network pixels" are pixels of the network's input; heatmaps, offsets and the
embedding have `stride` (4) of them to a cell. Section numbers below are those of the paper "Learning
Local-Global Contextual Adaptation for Fully End-to-End Bottom-Up Human Pose Estimation"; where its released
code does something else, imported weights need what the code does, and that is what stands here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def initial_poses(offsets: Tensor, batch_index: Tensor, centers: Tensor, stride: int = 4) -> Tensor:
    """Poses by the centre-offset rule (eq. 5).

    `offsets [B, 2K, h, w]` in cells, channels 2k = x and 2k+1 = y, holding centre minus keypoint;
    `batch_index [N]` and `centers [N, 2]` (network pixels) -> `[N, K, 2]` network pixels. The offset is
    read at the cell that holds the centre but subtracted from the centre itself.
    """
    height, width = offsets.shape[-2:]
    cell = (centers / stride).long()
    column, row = cell[:, 0].clamp(0, width - 1), cell[:, 1].clamp(0, height - 1)
    vectors = offsets[batch_index, :, row, column].unflatten(1, (-1, 2))
    return centers[:, None] - stride * vectors


def mesh(poses: Tensor, radius: int, spacing: Tensor | float = 1.0) -> Tensor:
    """A square mesh around every keypoint.

    `poses [N, K, 2]`, `spacing` one number or `[K]` -> `[N, K, 2r+1, 2r+1, 2]`, rows first.
    """
    steps = torch.arange(-radius, radius + 1, dtype=poses.dtype, device=poses.device)
    dy, dx = torch.meshgrid(steps, steps, indexing="ij")
    spacing = torch.as_tensor(spacing, dtype=poses.dtype, device=poses.device).reshape(-1, 1, 1, 1)
    return poses[:, :, None, None] + spacing * torch.stack((dx, dy), dim=-1)


def border_taps(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two taps of the sampling rule along one axis: indices `i0`, `i1` and their weights.

    `i0 = clamp(floor p, 0, n-1)`, `i1 = min(i0+1, n-1)`, weights `clamp(i1-p, 0, 1)` and `clamp(p-i0, 0,
    1)`. Before the first cell that repeats the border, but the weight of the last cell is 0 at `p = n-1`
    and grows from there.
    """
    first = position.detach().floor().clamp(0, size - 1)
    second = (first + 1).clamp(max=size - 1)
    return first.long(), second.long(), (second - position).clamp(0, 1), (position - first).clamp(0, 1)


def sample(features: Tensor, batch_index: Tensor, positions: Tensor) -> Tensor:
    """`features [B, C, h, w]` read at `positions [N, ..., 2]` (cells) of image `batch_index [N]` -> `[N,
    ..., C]`."""
    batch, channels, height, width = features.shape
    rows = features.permute(0, 2, 3, 1).reshape(batch * height * width, channels)
    x0, x1, wx0, wx1 = border_taps(positions[..., 0], width)
    y0, y1, wy0, wy1 = border_taps(positions[..., 1], height)
    base = (batch_index * (height * width)).reshape(-1, *[1] * (positions.dim() - 2))
    total: Tensor | None = None
    for y, wy in ((y0, wy0), (y1, wy1)):
        for x, wx in ((x0, wx0), (x1, wx1)):
            index = base + y * width + x
            values = rows.index_select(0, index.flatten()).reshape(*index.shape, channels)
            term = (wx * wy)[..., None].to(values.dtype) * values
            total = term if total is None else total + term
    assert total is not None
    return total


@lru_cache(maxsize=32)
def upsampling_matrix(cells: int, factor: int) -> Tensor:
    """`[cells * factor, cells]`: bilinear upsampling with half-pixel centres, the border repeated."""
    return functional.interpolate(
        torch.eye(cells)[:, None], scale_factor=factor, mode="linear", align_corners=False
    )[:, 0].T.contiguous()


def _interpolation_rows(position: Tensor, cells: int, factor: int) -> Tensor:
    """Rows that read the upsampled axis at `position [...]` straight from its cells -> `[..., cells]`."""
    matrix = upsampling_matrix(cells, factor).to(position)
    first, second, w0, w1 = border_taps(position, cells * factor)
    return w0[..., None] * matrix[first] + w1[..., None] * matrix[second]


def global_maps(
    heatmaps: Tensor,
    batch_index: Tensor,
    poses: Tensor,
    radius: int = 48,
    prior_sigma: float = 16.0,
    stride: int = 4,
) -> Tensor:
    """The global keypoint expansion maps, reweighed by a Gaussian prior (eq. 8) -> `[N, K, 2r+1, 2r+1]`.

    `heatmaps [B, >=K, h, w]`, `poses [N, K, 2]` network pixels. The paper upsamples the heatmaps and
    samples them on a mesh of whole pixels around each keypoint; as both steps are separable and linear,
    each map is computed here as `B_y H B_x^T` from the cells, which equals that exactly and never makes an
    upsampled map.
    """
    keypoints = poses.shape[1]
    height, width = heatmaps.shape[-2:]
    steps = torch.arange(-radius, radius + 1, dtype=poses.dtype, device=poses.device)
    prior = torch.exp(-steps.square() / (2 * prior_sigma**2))[:, None]
    by_x = prior * _interpolation_rows(poses[..., 0, None] + steps, width, stride)
    by_y = prior * _interpolation_rows(poses[..., 1, None] + steps, height, stride)
    maps = heatmaps[batch_index, :keypoints].to(poses.dtype)
    return by_y @ maps @ by_x.transpose(-1, -2)


class _DepthwiseConvolution(torch.autograd.Function):
    """Correlates every map with its own kernel, zero outside, same size.

    `maps [M, a, a]`, `kernels [M, l, l]`. The gradients are written as convolutions of the same kind: the
    library's own gradient for the kernels is ten times slower on a CPU.
    """

    @staticmethod
    def forward(context: Any, maps: Tensor, kernels: Tensor) -> Tensor:
        context.save_for_backward(maps, kernels)
        return _correlate(maps, kernels, kernels.shape[-1] // 2)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        maps, kernels = context.saved_tensors
        padding = kernels.shape[-1] // 2
        return _correlate(gradient, kernels.flip(-1, -2), padding), _correlate(maps, gradient, padding)


def _correlate(maps: Tensor, kernels: Tensor, padding: int) -> Tensor:
    return functional.conv2d(maps[None], kernels[:, None], padding=padding, groups=maps.shape[0])[0]


def adapt(maps: Tensor, kernels: Tensor, divisor: float = 121.0) -> Tensor:
    """Local-global adaptation (eq. 9): every map `[N, K, a, a]` convolved by its own kernel `[N, K, l, l]`.

    A true convolution: a kernel's peak at `+q` moves the response by `+q`. The kernels are clamped to 0..1
    and divided by `divisor`; the map is zero outside.
    """
    weight = (kernels.clamp(0, 1) / divisor).flip(-1, -2)
    refined = _DepthwiseConvolution.apply(maps.flatten(0, 1), weight.flatten(0, 1))
    return refined.reshape(maps.shape)
