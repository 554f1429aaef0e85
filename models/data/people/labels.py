"""What of a person counts as labelled in a finished scene, after COCO's habit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models import skeleton

ABSENT, HIDDEN, VISIBLE = 0, 1, 2
"""COCO's visibility flags."""

_NEIGHBOURS = [
    [b if a == joint else a for a, b in skeleton.EDGES if joint in (a, b)]
    for joint in range(len(skeleton.NAMES))
]


@dataclass(frozen=True)
class Person:
    """`keypoints` f32 [17, 2] in pixels, the centre of the first pixel at (0, 0); `visibility` u8 [17],
    COCO's flags; `area`, pixels of the silhouette that show; `box`, the silhouette's (x, y, width, height).
    """

    keypoints: np.ndarray
    visibility: np.ndarray
    area: float
    box: tuple[float, float, float, float]

    @property
    def labelled(self) -> np.ndarray:
        return self.visibility > ABSENT

    @property
    def extent(self) -> float:
        """Square root of the area of the box around the labelled keypoints, in pixels; a measure of size for
        weights.
        """
        span = np.maximum(np.ptp(self.keypoints[self.labelled], axis=0), 12)
        return float(np.sqrt(span[0] * span[1]))


def label_person(
    keypoints: np.ndarray, self_visible: np.ndarray, owner: np.ndarray, index: int, least_visible: int = 2
) -> Person | None:
    """The label of person `index`, or nothing if too little of it shows.

    A keypoint outside the image is absent. One inside is visible if the person's pixels lie at it and its
    own body does not hide it. One that another object covers is hidden, but absent if everything it is joined
    to is covered too: where neither a joint nor its limbs show, an annotator leaves it out.
    """
    height, width = owner.shape
    own = owner == index
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    if len(rows) == 0 or own.sum() < 100:
        return None
    x, y = keypoints[:, 0], keypoints[:, 1]
    inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    uncovered = np.zeros(len(keypoints), bool)
    for joint in np.flatnonzero(inside):
        column, row = int(x[joint] + 0.5), int(y[joint] + 0.5)
        uncovered[joint] = own[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].any()
    visibility = np.zeros(len(keypoints), np.uint8)
    for joint in np.flatnonzero(inside):
        if uncovered[joint]:
            visibility[joint] = VISIBLE if self_visible[joint] else HIDDEN
        elif any(uncovered[other] for other in _NEIGHBOURS[joint]):
            visibility[joint] = HIDDEN
    if (visibility == VISIBLE).sum() < least_visible or (visibility > ABSENT).sum() < 3:
        return None
    left, top, right, bottom = (float(v) for v in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    box = (left, top, right - left, bottom - top)
    return Person(keypoints.astype(np.float32), visibility, float(own.sum()), box)
