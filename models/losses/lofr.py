"""The sum that LOFR's training minimises, and how good a network is on crops of labelled people.

Equation numbers are those of the paper "Location-free Human Pose Estimation".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.networks.lofr import Answer, Lofr
from models.reference import lofr as reference
from models.data.crops import CropBatch, read_people
from models.losses.objective import normalise, reduced_precision

STRIDE = 4
THRESHOLDS = (0.05, 0.1, 0.2)


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
        answer = model(normalise(batch.images, model.config))
    answer = Answer(*(part.float() for part in answer))
    present = batch.present.float()
    parts = {
        name: functional.binary_cross_entropy_with_logits(logits, present)
        for name, logits in (("cnn", answer.cnn), ("encoder", answer.encoder), ("final", answer.presence))
    }
    if weights.diversity:
        parts["diversity"] = diversity(answer.parts)
    if not batch.places.isnan().all():
        parts["located"] = located_loss(answer.response, batch.places)
    total = sum(getattr(weights, name) * value for name, value in parts.items())
    return total, {name: value.item() for name, value in parts.items()}


def presence_objective(model: Lofr, batch: CropBatch) -> tuple[Tensor, dict[str, float]]:
    """The classifier's loss alone; nothing behind it is computed."""
    with reduced_precision(batch.images.device):
        logits, _ = model.classify(normalise(batch.images, model.config))
    total = functional.binary_cross_entropy_with_logits(logits.float(), batch.present.float())
    return total, {"cnn": total.item()}


class HeldOutCrops:
    """Crops around the boxes of labelled people, as the runtime cuts them."""

    def __init__(self, images: Tensor, places: np.ndarray, shown: np.ndarray, sides: np.ndarray) -> None:
        self.images = images
        """u8 [n, H, W, 3]."""
        self.places, self.shown = places, shown
        """`[n, J, 2]` in crop pixels, and which are labelled."""
        self.sides = sides
        """`[n]`: the longer side of the box, in crop pixels."""

    @classmethod
    def read(cls, folder: Path, network: tuple[int, int], limit: int | None = None) -> HeldOutCrops:
        """Of everybody in a folder with `annotations.json`; `network` is (width, height)."""
        images, places, shown, sides = [], [], [], []
        pictures: dict[str, np.ndarray] = {}
        for one in read_people(folder)[:limit]:
            if one.name not in pictures:
                pictures[one.name] = cv2.imread(str(folder / one.name))[..., ::-1]
            crop = reference.crop_of(np.array(one.box, np.float32), network)
            scale = network[0] / crop.size[0]
            shift = -scale * (crop.center - crop.size / 2) - 0.5
            matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
            images.append(cv2.warpAffine(pictures[one.name], matrix, network))
            places.append(one.keypoints * scale + shift)
            shown.append(one.labelled)
            sides.append(max(one.box[2:]) * scale)
        return cls(torch.from_numpy(np.stack(images)), np.stack(places), np.stack(shown), np.array(sides))

    @torch.no_grad()
    def measure(self, model: Lofr, device: torch.device, activation: bool = False) -> dict[str, float]:
        """PCK, the share of labelled keypoints found within a part of the box's longer side, and the accuracy
        of presence; of the whole network, or of the classifier's activation maps alone."""
        found, right = [], []
        for start in range(0, len(self.images), 50):
            images = self.images[start : start + 50].to(device)
            if activation:
                logits, maps = model.classify(normalise(images, model.config))
            else:
                maps, logits, *_ = model(normalise(images, model.config))
            for response, presence, shown in zip(
                maps.cpu().numpy(), logits.cpu().numpy(), self.shown[start:]
            ):
                size = np.array(images.shape[2:0:-1])
                found.append(np.stack([reference.place(one) for one in response]) * size - 0.5)
                right.append(((presence > 0) == shown).mean())
        return self._correct(np.stack(found)) | {"presence": float(np.mean(right))}

    def mean_pose(self) -> dict[str, float]:
        """What one answer for all crops would reach, the mean place of each keypoint: how far one gets
        without looking."""
        weight = self.shown[..., None]
        mean = (self.places * weight).sum(0) / weight.sum(0)
        return self._correct(np.broadcast_to(mean, self.places.shape))

    def _correct(self, found: np.ndarray) -> dict[str, float]:
        distance = np.linalg.norm(found - self.places, axis=-1) / self.sides[:, None]
        distance = distance[self.shown]
        return {f"pck@{threshold}": float((distance < threshold).mean()) for threshold in THRESHOLDS}
