"""Episodes for CapeFormer's training, the sum that it minimises, and how good a network is on unseen kinds.

Equation numbers are those of the paper "Matching Is Not Enough: A Two-Stage Framework for Category-Agnostic
Pose Estimation", section numbers those of the description of the reference implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from models.data.episode_batches import EpisodeBatch
from models.networks.capeformer import CELLS, SIDE, CapeFormer, identifiers
from models.networks.inputs import normalise, reduced_precision

SLOTS = 100
HIDDEN = -1e4
HEATMAP_SIGMA = 0.75
"""Of the bell that similarities should have, in cells."""


@dataclass(frozen=True)
class Weights:
    """Weights of the losses: the paper's."""

    heatmap: float = 2.0
    expectation: float = 1.0
    offset: float = 1.0


NEAR = 0.08
"""In the offset term, in parts of the image's side: from this distance on, being further off matters less
and less."""
PULL = 0.1
"""How much of the paper's own term is left in it."""


class Matched(NamedTuple):
    """What the first stage says of `A` images, each looked at with others as examples, and what is true."""

    similarity: Tensor
    """`[A, K, 64]`"""
    memory: Tensor
    """`[A, 64, width]`"""
    refined: Tensor
    """`[A, K, width]`"""
    slots: Tensor
    """`[A, K]`: each keypoint's place among the identifiers."""
    enrolled: Tensor
    """bool `[A, K]`: whether an example shows it."""
    target: Tensor
    """`[A, K, 2]`, 0 to 1."""
    counted: Tensor
    """bool `[A, K]`: enrolled, and to be seen in the image."""

    def identity(self) -> Tensor:
        """`[A, K, width]`: the identifiers."""
        return fixed_identifiers(self.memory.shape[-1]).to(self.memory.device)[self.slots]

    def bias(self) -> Tensor:
        """`[A, K]`: keypoints that are not enrolled take part, hidden, so that all have as many."""
        return torch.where(self.enrolled, 0.0, HIDDEN)


@lru_cache
def fixed_identifiers(width: int) -> Tensor:
    """`[100, width]`: the identity table, made once."""
    return identifiers(width)


def cell_places(device: torch.device) -> Tensor:
    """`[64, 2]`: the cells' middles, 0 to 1, row by row."""
    along = (torch.arange(CELLS, device=device) + 0.5) / CELLS
    rows, columns = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([columns.flatten(), rows.flatten()], -1)


def propose(similarity: Tensor) -> Tensor:
    """`[..., K, 64]` -> `[..., K, 2]`: the mean of the best cell and its neighbours by their softmax (eq. 2
    and 3)."""
    best = similarity.argmax(-1, keepdim=True)
    number = torch.arange(CELLS * CELLS, device=similarity.device)
    near_row = (number // CELLS - best // CELLS).abs() <= 1
    near_column = (number % CELLS - best % CELLS).abs() <= 1
    window = similarity.masked_fill(~(near_row & near_column), -torch.inf).softmax(-1)
    return window @ cell_places(similarity.device)


def similarity_loss(similarity: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The heatmap and the expectation term (eq. 5 to 7) of each keypoint: `similarity [..., K, 64]` with
    keypoints at `target [..., K, 2]`, 0 to 1."""
    places = cell_places(similarity.device)
    distance = ((places - target[..., None, :]) * CELLS).square().sum(-1)
    bell = torch.exp(-distance / (2 * HEATMAP_SIGMA**2))
    heatmap = (similarity.sigmoid() - bell).square().mean(-1)
    expectation = (similarity.softmax(-1) @ places - target).abs().sum(-1)
    return heatmap, expectation


def offset_loss(results: Sequence[Tensor], target: Tensor) -> Tensor:
    """How far off every layer's result `[..., K, 2]` is, in the mean over the layers `[..., K]`.

    The paper's term (eq. 8), the sum of both absolute differences, only keeps a hand in it: a match that is
    wrong altogether can mostly be guessed at, and the best guess by that term is the middle of all
    possibilities. Most of this one saturates (Welsch's loss), so that being near counts.
    """
    errors = []
    for result in results:
        away = result - target
        near = 1 - torch.exp(-away.square().sum(-1) / (2 * NEAR**2))
        errors.append(near + PULL * away.abs().sum(-1))
    return torch.stack(errors).mean(0)


def tokens_of(model: CapeFormer, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
    """`[E, PICTURES, 64, width]` each: of the images as those that are looked at, and as examples."""
    shape = batch.images.shape[:2]
    with reduced_precision(batch.images.device):
        query, support = model.features(normalise(batch.images.flatten(0, 1), model.config))
    return query.float().unflatten(0, shape), support.float().unflatten(0, shape)


def first_stage(
    model: CapeFormer, batch: EpisodeBatch, tokens: tuple[Tensor, Tensor], generator: torch.Generator
) -> Matched:
    """Every image of every episode, looked at with one or all of the others as examples; all at once."""
    episodes, per_episode = batch.images.shape[:2]
    query, support = tokens
    device = query.device
    # `[E, results, examples, K]`: which example shows which keypoint.
    shown = _examples(episodes, per_episode, generator).to(device)[..., None] & batch.visible[:, None]
    features = torch.einsum("eaxk,exkw->eakw", shown.float(), batch.weights @ support)
    features = features / shown.sum(2).clamp(min=1)[..., None]
    enrolled = shown.any(2).flatten(0, 1)
    slots = _slots(enrolled, generator)
    bias = torch.where(enrolled, 0.0, HIDDEN)
    identity = fixed_identifiers(model.config.width).to(device)[slots]
    match = torch.vmap(model.match)(query.flatten(0, 1), features.flatten(0, 1), identity, bias)
    return Matched(
        *match,
        slots=slots,
        enrolled=enrolled,
        target=batch.keypoints.flatten(0, 1) / SIDE,
        counted=enrolled & batch.visible.flatten(0, 1),
    )


def second_stage(model: CapeFormer, matched: Matched) -> Tensor:
    """The offset term, a mean over keypoints as the other terms."""
    start = propose(matched.similarity.detach())
    results = torch.vmap(model.refine_all)(
        matched.memory, matched.refined, matched.identity(), matched.bias(), start
    )
    return _mean(offset_loss(results, matched.target), matched.counted.float())


def objective(
    model: CapeFormer, batch: EpisodeBatch, weights: Weights, refine: bool, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """The total and its parts; without `refine`, of the similarities alone."""
    matched = first_stage(model, batch, tokens_of(model, batch), generator)
    counted = matched.counted.float()
    heatmap, expectation = similarity_loss(matched.similarity, matched.target)
    parts = {"heatmap": _mean(heatmap, counted), "expectation": _mean(expectation, counted)}
    if refine:
        parts["offset"] = second_stage(model, matched)
    total = sum(getattr(weights, name) * value for name, value in parts.items())
    return total, {name: value.item() for name, value in parts.items()}


def _mean(errors: Tensor, counted: Tensor) -> Tensor:
    """Of `[results, K]` over the keypoints that count, then over the results that have any."""
    each = (errors * counted).sum(1) / counted.sum(1).clamp(min=1)
    return each.sum() / counted.any(1).sum().clamp(min=1)


def _examples(episodes: int, per_episode: int, generator: torch.Generator) -> Tensor:
    """`[episodes, results, examples]` bool: for every image one of the others, or all of them."""
    others = ~torch.eye(per_episode, dtype=torch.bool).expand(episodes, -1, -1)
    priority = torch.rand((episodes, per_episode, per_episode), generator=generator).masked_fill(
        ~others, -1.0
    )
    single = priority == priority.amax(-1, keepdim=True)
    alone = torch.rand((episodes, per_episode, 1), generator=generator) < 0.6
    return torch.where(alone, single, others)


def _slots(enrolled: Tensor, generator: torch.Generator) -> Tensor:
    """Indices of the enrolled keypoints `[results, K]` bool: mostly the first ones, as users enrol them,
    sometimes any."""
    results, most = enrolled.shape
    number = (enrolled.cumsum(1) - 1).clamp(min=0).cpu()
    anywhere = torch.rand((results, SLOTS), generator=generator).topk(most).indices.sort().values
    first = torch.rand((results, 1), generator=generator) < 0.7
    return torch.where(first, number, anywhere.gather(1, number)).to(enrolled.device)
