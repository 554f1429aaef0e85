"""The sum that LOFR's training minimises, and how good a network is on crops of labelled people.

Equation numbers are those of the paper "Location-free Human Pose Estimation".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.data.crops import CropBatch
from models.networks.inputs import normalise, reduced_precision
from models.networks.lofr import Lofr, LofrOutput

STRIDE = 4


@dataclass(frozen=True)
class Weights:
    """Weights of the losses: the paper's (Eq. 12 and 13), and of what is located (Eq. 14)."""

    cnn: float = 0.2
    encoder: float = 0.2
    final: float = 0.5
    diversity: float = 0.1
    """PDC; 0 leaves it out."""
    located: float = 0.5
    """The paper gives no number."""


def diversity(parts: Tensor) -> Tensor:
    """How alike the parts `[B, J, width]` of a person are: the mean cosine of all pairs (Eq. 11)."""
    normal = functional.normalize(parts, dim=-1)
    count = parts.shape[1]
    alike = (normal @ normal.transpose(1, 2)).sum((1, 2)) - count
    return (alike / (count * (count - 1))).mean()


def located_loss(response: Tensor, places: Tensor, sigma: float = 1.0) -> Tensor:
    """How far the responses `[B, J, h, w]`, each as a share of its sum, are from bells at `places [B, J, 2]`
    (crop pixels), as relative entropy; NaN places do not count.

    The paper takes a mean square (Eq. 14 and 15). Responses are weights of attention, which add up to about
    one: the square of what is missing at a place is nearly nothing while they are spread out, and hardly
    teaches.
    """
    counted = ~places.isnan().any(-1)
    if not counted.any():
        return response.sum() * 0
    maps, cells = response[counted], (places[counted] + 0.5) / STRIDE - 0.5
    height, width = maps.shape[1:]
    rows = torch.arange(height, device=maps.device)[:, None] - cells[:, 1, None, None]
    columns = torch.arange(width, device=maps.device)[None] - cells[:, 0, None, None]
    bells = torch.exp(-(rows.square() + columns.square()) / (2 * sigma**2)).flatten(1)
    bells = bells / bells.sum(1, keepdim=True).clamp(min=1e-12)
    shares = maps.flatten(1)
    shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-12)
    return functional.kl_div((shares + 1e-8).log(), bells, reduction="batchmean")


def objective(model: Lofr, batch: CropBatch, weights: Weights) -> tuple[Tensor, dict[str, float]]:
    """The total and its parts."""
    with reduced_precision(batch.images.device):
        result = model(normalise(batch.images, model.config))
    result = LofrOutput(*(part.float() for part in result))
    present = batch.present.float()
    parts = {
        name: functional.binary_cross_entropy_with_logits(logits, present)
        for name, logits in (("cnn", result.cnn), ("encoder", result.encoder), ("final", result.presence))
    }
    if weights.diversity:
        parts["diversity"] = diversity(result.parts)
    if not batch.places.isnan().all():
        parts["located"] = located_loss(result.response, batch.places)
    total = sum(getattr(weights, name) * value for name, value in parts.items())
    return total, {name: value.item() for name, value in parts.items()}


def presence_objective(model: Lofr, batch: CropBatch) -> tuple[Tensor, dict[str, float]]:
    """The classifier's loss alone; nothing behind it is computed."""
    with reduced_precision(batch.images.device):
        logits, _ = model.classify(normalise(batch.images, model.config))
    total = functional.binary_cross_entropy_with_logits(logits.float(), batch.present.float())
    return total, {"cnn": total.item()}
