"""LOGO-CAP's losses. The total is `heatmap + refined + 0.01 * (offset + kernel)` (paper, end of section 3.2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models import skeleton
from models.data.batches import Batch, People
from models.networks.inputs import normalise, reduced_precision
from models.networks.logocap import LogoCap


@dataclass(frozen=True)
class Match:
    """For each of `N` candidates its best labelled person (section 3.2.2, "The OKS Loss")."""

    person: Tensor
    """`[N]`, rows of `People`."""
    score: Tensor
    """`[N]`, s_n*: the mean clamped similarity; 0 where the image holds no person."""
    similarity: Tensor
    """`[N, 17, l, l]`: per-keypoint OKS of every mesh point with that person, 0 where not labelled."""
    target: Tensor
    """`[N, 17, 2]`, that person's keypoints."""
    labelled: Tensor
    """`[N, 17]` bool."""


def heatmap_loss(
    predicted: Tensor, target: Tensor, foreground: Tensor | None = None, background: float = 0.1
) -> Tensor:
    """Weighted mean squared error (eq. 11) over `[B, 18, h, w]`.

    `foreground` (same shape or broadcastable, bool) has weight 1, the rest `background`; without it every
    cell has weight 1.
    """
    error = (predicted.float() - target).square()
    if foreground is None:
        return error.mean()
    return (torch.where(foreground, 1.0, background) * error).mean()


def offset_loss(predicted: Tensor, target: Tensor, area: Tensor, beta: float = 1 / 9) -> Tensor:
    """Smooth L1 (eq. 12) over `[B, 34, h, w]`, cells.

    `area` (broadcastable to the maps; square pixels) is the area of the person that a cell's offset belongs
    to, 0 where there is none. The weight is 1/sqrt(area) as in the released code (the paper prints the area
    itself), so that large people do not drown small ones. The mean is over the supervised entries.
    """
    supervised = (area > 0).expand_as(predicted)
    weight = torch.where(area > 0, area.clamp(min=1).rsqrt(), 0.0)
    error = functional.smooth_l1_loss(predicted.float(), target, reduction="none", beta=beta)
    return (weight * error).sum() / supervised.sum().clamp(min=1)


def keypoint_similarity(points: Tensor, keypoints: Tensor, area: Tensor) -> Tensor:
    """The terms of OKS (eq. 2): `exp(-d^2 / (2 s^2 kappa^2))`, with `s^2` the area and `kappa` twice COCO's
    sigma.

    `points [..., 17, l, l, 2]`, `keypoints [..., 17, 2]`, `area [...]` -> `[..., 17, l, l]`.
    """
    kappa = 2 * torch.tensor(skeleton.SIGMAS, dtype=points.dtype, device=points.device)
    distance = (points - keypoints[..., None, None, :]).square().sum(-1)
    scale = 2 * area[..., None].clamp(min=1) * kappa.square()
    return torch.exp(-distance / scale[..., None, None])


@torch.no_grad()
def match_people(mesh: Tensor, batch_index: Tensor, people: People) -> Match:
    """Matches candidates with `mesh [N, 17, l, l, 2]` (network pixels) to the labelled people of their
    images.

    `people` must hold at least one row. The score of a pair is the mean over labelled keypoints and mesh
    points of the similarity, everything below 0.5 counted as 0.5 (section 3.2.2).
    """
    if people.area.shape[0] == 0:
        raise ValueError(
            "match_people: no labelled person in the batch; leave out the kernel and refined losses"
        )
    similarity = keypoint_similarity(mesh[:, None], people.keypoints[None], people.area[None])
    labelled = people.labelled.to(similarity.dtype)
    clamped = similarity.clamp(min=0.5).mean((-2, -1))
    score = (clamped * labelled).sum(-1) / labelled.sum(-1).clamp(min=1)
    score = score.masked_fill(batch_index[:, None] != people.batch_index[None], 0.0)
    best, person = score.max(1)
    rows = torch.arange(mesh.shape[0], device=mesh.device)
    seen = people.labelled[person]
    return Match(
        person=person,
        score=best,
        similarity=similarity[rows, person] * seen[..., None, None],
        target=people.keypoints[person],
        labelled=seen,
    )


def kernel_loss(kernels: Tensor, match: Match) -> Tensor:
    """The OKS loss for the kernels (eq. 13): raw `kernels [N, 17, l, l]` against the similarity of every
    mesh point.

    `s_n* * s_k * |K - S|^2`, summed over keypoints and mesh points, mean over candidates. `s_k` is how much
    the mesh can gain: the best similarity that it reaches, less that of its centre where the centre is
    already above 0.5, as in the released code; the paper takes the similarity of the predicted keypoint.
    """
    similarity = match.similarity
    middle = similarity.shape[-1] // 2
    center, best = similarity[..., middle, middle], similarity.amax((-2, -1))
    gain = torch.where(best > 0.5, best - center, 0.0)
    weight = match.score[:, None] * gain * match.labelled
    error = (kernels.float() - similarity).square().sum((-2, -1))
    return (weight * error).sum(-1).mean()


def refined_loss(refined: Tensor, poses: Tensor, match: Match, sigma: float = 4.0) -> Tensor:
    """Mean squared error of the refined maps (section 3.2.2, "Heatmap Loss"), weighted by how well the
    candidate matches.

    `refined [N, 17, a, a]`, `poses [N, 17, 2]` (the initial poses, network pixels). The target is a
    Gaussian at the displacement from the initial to the labelled keypoint; the released code draws it with
    sigma 4, the paper says 16.
    """
    radius = refined.shape[-1] // 2
    steps = torch.arange(-radius, radius + 1, dtype=refined.dtype, device=refined.device)
    displacement = (match.target - poses.detach())[..., None, :]
    bell = torch.exp(-(steps[:, None] - displacement).square() / (2 * sigma**2))
    target = bell[..., 1][..., :, None] * bell[..., 0][..., None, :]
    weight = match.score[:, None] * match.labelled
    error = (refined.float() - target).square().mean((-2, -1))
    return (weight * error).sum() / match.labelled.sum().clamp(min=1)


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


def weighted_heatmap_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """The heatmap loss over `[B, 18, h, w]`; the centre, last, counts twice, because it decides whether a
    person is found at all."""
    foreground = target > 0.01
    all_types = heatmap_loss(predicted, target, foreground)
    return all_types + heatmap_loss(predicted[:, -1:], target[:, -1:], foreground[:, -1:]) / 18


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
    offset = offset_loss(
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
    match = match_people(model.local_mesh(poses), index, people)
    return refined_loss(refined, poses, match), kernel_loss(kernels, match)
