"""MoveNet as its own teacher: maps averaged over sizes and the mirrored image, and people found with them.

Averaged maps are better than those of one pass, at several times the cost. Training teaches the single pass
to agree with them on photographs without annotations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models import skeleton
from models.evaluate.decode_movenet import decode
from models.networks.movenet import KEYPOINTS, STRIDE, MoveNet, normalise

FLIP = skeleton.flip_order()
DETECTION_SIDE = 320
"""Pixels of a whole photograph's longer side while people are found in it."""
CROP_SIDE = 256
CROP_SIDES = (192, 256)
"""Sizes at which a crop around one person is seen."""
LEAST_SCORES = (0.12, 0.2)
"""Of people in the whole photograph, and in the crop around them."""
LEAST_KEYPOINT_SCORE = 0.15
MOST_PEOPLE = 6


@dataclass(frozen=True)
class PseudoPerson:
    """`keypoints [17, 2]` in continuous pixels of the photograph, `scores [17]`, and the person's own
    score."""

    keypoints: np.ndarray
    scores: np.ndarray
    score: float


def mirrored(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Maps of a mirrored image as maps of the image itself.

    The cell `i` is the mirrored cell `w - 1 - i`, and `i + v` is continuous: a vector's x becomes `1 - x`.
    """
    turned = {name: values.flip(3) for name, values in maps.items()}
    turned["heatmap"] = turned["heatmap"][:, FLIP]
    for name in ("regress", "offset"):
        vectors = turned[name].unflatten(1, (KEYPOINTS, 2))[:, FLIP]
        turned[name] = torch.stack([vectors[:, :, 0], 1 - vectors[:, :, 1]], 2).flatten(1, 2)
    turned["box_offset"] = torch.stack([turned["box_offset"][:, 0], 1 - turned["box_offset"][:, 1]], 1)
    return turned


def resized(maps: dict[str, Tensor], size: tuple[int, int], factor: float) -> dict[str, Tensor]:
    """Maps of an image `factor` times as large, at `size` cells; centre and heatmaps become probabilities.

    Vectors begin at the middle of their cell. Local offsets have no counterpart at another size: they point
    to the middle.
    """
    made = {}
    for name, values in maps.items():
        values = values.sigmoid() if name in ("center", "heatmap") else values
        values = functional.interpolate(values, size=size, mode="bilinear", align_corners=False)
        if name in ("regress", "box_offset"):
            values = (values - 0.5) / factor + 0.5
        elif name == "offset":
            values = torch.full_like(values, 0.5)
        elif name == "box_scale":
            values = values / factor
        made[name] = values
    return made


@torch.no_grad()
def averaged(model: MoveNet, images: Tensor, sides: Sequence[int]) -> dict[str, Tensor]:
    """Maps of square normalised `images [B, 3, S, S]`, averaged over `sides` and mirroring."""
    side = images.shape[-1]
    cells = (side // STRIDE, side // STRIDE)
    total: dict[str, Tensor] = {}
    for other in sides:
        seen = images
        if other != side:
            seen = functional.interpolate(
                images, size=(other, other), mode="bilinear", align_corners=False, antialias=True
            )
        for maps in (model(seen), mirrored(model(seen.flip(3)))):
            for name, values in resized(maps, cells, other / side).items():
                total[name] = total[name] + values if name in total else values
    return {name: values / (2 * len(sides)) for name, values in total.items()}


def sharpened(heatmaps: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Keypoints `[17, 2]` moved to the peak of a parabola through the logarithms of the cells beside them."""
    moved = keypoints.copy()
    height, width = heatmaps.shape[1:]
    for joint, (x, y) in enumerate(np.round(keypoints / STRIDE - 0.5).astype(int)):
        if not (0 < x < width - 1 and 0 < y < height - 1):
            continue
        patch = np.log(heatmaps[joint, y - 1 : y + 2, x - 1 : x + 2] + 1e-6)
        steps = []
        for before, middle, after in (patch[1], patch[:, 1]):
            bend = before - 2 * middle + after
            steps.append(np.clip((before - after) / (2 * bend), -0.8, 0.8) if bend < -0.01 else 0.0)
        moved[joint] = STRIDE * (np.array([x, y]) + 0.5 + steps)
    return moved


def square(image: np.ndarray, middle: np.ndarray, side: float) -> np.ndarray:
    """The square of `side` pixels around `middle`, at `CROP_SIDE` pixels; black outside the image."""
    scale = CROP_SIDE / side
    shift = -scale * (middle - side / 2) + (scale - 1) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(image, matrix, (CROP_SIDE, CROP_SIDE), flags=method)


def find_people(model: MoveNet, image: np.ndarray) -> list[PseudoPerson]:
    """The people of a u8 RGB photograph: found in the whole of it, then located in a crop around each."""
    longer = max(image.shape[:2])
    padded = np.zeros((longer, longer, 3), np.uint8)
    padded[: image.shape[0], : image.shape[1]] = image
    small = cv2.resize(padded, (DETECTION_SIDE, DETECTION_SIDE), interpolation=cv2.INTER_AREA)
    whole = decode(averaged(model, normalise(torch.from_numpy(small)[None]), [DETECTION_SIDE]))
    located = []
    for rough, scores, score in zip(whole.keypoints, whole.keypoint_scores, whole.scores, strict=True):
        sure = (scores > LEAST_KEYPOINT_SCORE).numpy()
        if score < LEAST_SCORES[0] or sure.sum() < 4:
            continue
        person = locate(model, image, rough.numpy() * longer / DETECTION_SIDE, sure)
        if person is not None:
            located.append(person)
    kept: list[PseudoPerson] = []
    for person in sorted(located, key=lambda person: -person.score)[:MOST_PEOPLE]:
        apart = 0.1 * np.ptp(person.keypoints, axis=0).max()
        if all(np.abs(person.keypoints - other.keypoints).mean() > apart for other in kept):
            kept.append(person)
    return kept


def locate(model: MoveNet, image: np.ndarray, rough: np.ndarray, sure: np.ndarray) -> PseudoPerson | None:
    """The person roughly at `rough [17, 2]`, seen in a crop; none where the crop shows no person there."""
    low, high = rough[sure].min(0), rough[sure].max(0)
    middle, side = (low + high) / 2, 1.5 * max((high - low).max(), 20)
    crop = square(image, middle, side)
    maps = averaged(model, normalise(torch.from_numpy(crop)[None]), CROP_SIDES)
    found = decode(maps)
    places = found.keypoints.numpy() * side / CROP_SIDE + middle - side / 2
    distances = np.abs(places[:, sure] - rough[sure]).mean((1, 2))
    best = int((distances - 0.2 * side * found.scores.numpy()).argmin())
    if distances[best] > 0.25 * side or found.scores[best] < LEAST_SCORES[1]:
        return None
    keypoints = sharpened(maps["heatmap"][0].numpy(), found.keypoints[best].numpy())
    return PseudoPerson(
        keypoints * side / CROP_SIDE + middle - side / 2,
        found.keypoint_scores[best].numpy(),
        float(found.scores[best]),
    )
