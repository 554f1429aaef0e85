"""The sum that LOGO-CAP's training minimises, and what CenterGroup's shares with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.losses import logocap as losses
from models.networks.logocap import LogoCap
from models.data.batches import Batch


@dataclass(frozen=True)
class Weights:
    """Weights of the four losses.

    The paper's are 1, 1, 0.01 and 0.01; a small network that starts from nothing and sees each scene once
    learns faster with these, which only change the balance.
    """

    heatmap: float = 180.0
    offset: float = 19.0
    refined: float = 100.0
    kernel: float = 0.01


class Normalised(Protocol):
    """How a network wants its colours."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def normalise(images: Tensor, config: Normalised) -> Tensor:
    """u8 [B, H, W, 3] -> the network's input [B, 3, H, W], channels last in memory."""
    mean = torch.tensor(config.mean, device=images.device) * 255
    std = torch.tensor(config.std, device=images.device) * 255
    return ((images - mean) / std).permute(0, 3, 1, 2)


def reduced_precision(device: torch.device) -> torch.autocast:
    """bfloat16 where it is faster: on a GPU.

    A CPU with AVX-512 but without AMX is faster in float32 at these widths.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def weighted_heatmap_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """The heatmap loss over `[B, 18, h, w]`; the centre, last, counts twice, because it decides whether a
    person is found at all."""
    foreground = target > 0.01
    all_types = losses.heatmap_loss(predicted, target, foreground)
    return all_types + losses.heatmap_loss(predicted[:, -1:], target[:, -1:], foreground[:, -1:]) / 18


def objective(
    model: LogoCap, batch: Batch, weights: Weights, second_stage: int, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """The total and its parts.

    `second_stage` is the greatest number of people that the second stage is trained on, 0 while it is not
    trained at all.
    """
    with reduced_precision(batch.images.device):
        heatmaps, offsets, embedding = model.forward_backbone(normalise(batch.images, model.config))
    heatmaps, offsets = heatmaps.float(), offsets.float()
    heatmap = weighted_heatmap_loss(heatmaps, batch.targets["heatmaps"])
    scale = model.config.offset_scale
    offset = losses.offset_loss(
        offsets / scale, batch.targets["offsets"] / scale, batch.targets["offset_area"], beta=0.1
    )
    total = weights.heatmap * heatmap + weights.offset * offset
    parts = {"heatmap": heatmap.item(), "offset": offset.item()}
    if second_stage and len(batch.area):
        refined, kernel = _second_stage(model, heatmaps, offsets, embedding, batch, second_stage, generator)
        total = total + weights.refined * refined + weights.kernel * kernel
        parts |= {"refined": refined.item(), "kernel": kernel.item()}
    return total, parts


def _second_stage(
    model: LogoCap,
    heatmaps: Tensor,
    offsets: Tensor,
    embedding: Tensor,
    batch: Batch,
    limit: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The refined-map and kernel losses of up to `limit` people, from initial poses as the decoder would find
    them.
    """
    people = batch.people
    chosen = torch.randperm(len(people.area), generator=generator)[:limit].to(people.area.device)
    labelled = people.labelled[chosen].float()
    centers = (people.keypoints[chosen] * labelled[..., None]).sum(1) / labelled.sum(1, keepdim=True)
    # The decoder's centre is a pixel near the true one.
    jitter = torch.randn(centers.shape, generator=generator).to(centers) * 2
    height, width = batch.images.shape[1:3]
    centers = torch.stack(
        [
            (centers[:, 0] + jitter[:, 0]).round().clamp(0, width - 1),
            (centers[:, 1] + jitter[:, 1]).round().clamp(0, height - 1),
        ],
        1,
    )
    index = people.batch_index[chosen]
    poses = model.initial_poses(offsets.detach(), index, centers)
    with reduced_precision(batch.images.device):
        kernels = model.attraction_maps(embedding, index, poses)
    refined = model.adapt(heatmaps, index, poses, kernels.float())
    match = losses.match_people(model.local_mesh(poses), index, people)
    return losses.refined_loss(refined, poses, match), losses.kernel_loss(kernels, match)


def clip_gradients(flat: Tensor, limit: float) -> float:
    """Scale the flat gradient in place to at most `limit` in norm; returns the norm found."""
    norm = float(flat.norm())
    if norm > limit:
        flat.mul_(limit / norm)
    return norm
