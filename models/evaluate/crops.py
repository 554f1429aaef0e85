"""PCK of a LOFR network on crops of labelled people."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from models.data.crops import read_people
from models.data.images import read_image
from models.networks.inputs import normalise
from models.networks.lofr import Lofr
from models.reference import lofr as reference

THRESHOLDS = (0.05, 0.1, 0.2)


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
        """Of all people in a folder with `annotations.json`; `network` is (width, height)."""
        images, places, shown, sides = [], [], [], []
        loaded: dict[str, np.ndarray] = {}
        for one in read_people(folder)[:limit]:
            if one.name not in loaded:
                loaded[one.name] = read_image(folder / one.name)
            crop = reference.crop_of(np.array(one.box, np.float32), network)
            scale = network[0] / crop.size[0]
            shift = -scale * (crop.center - crop.size / 2) - 0.5
            matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
            images.append(cv2.warpAffine(loaded[one.name], matrix, network))
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
        """What one result for all crops would reach, the mean place of each keypoint: how far one gets
        without looking."""
        weight = self.shown[..., None]
        mean = (self.places * weight).sum(0) / weight.sum(0)
        return self._correct(np.broadcast_to(mean, self.places.shape))

    def _correct(self, found: np.ndarray) -> dict[str, float]:
        distance = np.linalg.norm(found - self.places, axis=-1) / self.sides[:, None]
        distance = distance[self.shown]
        return {f"pck@{threshold}": float((distance < threshold).mean()) for threshold in THRESHOLDS}
