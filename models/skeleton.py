"""The keypoints of COCO (17) and CrowdPose (14): names, edges, mirror pairs and OKS constants."""

from __future__ import annotations

from dataclasses import dataclass

NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
FLIP_PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
EDGES = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035,
    0.079, 0.079, 0.072, 0.072, 0.062, 0.062,
    0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
)  # fmt: skip
"""COCO's `sigmas`; the constant of the OKS formula is twice as large."""


@dataclass(frozen=True)
class Keypoints:
    """What a network finds."""

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]


NONE = Keypoints((), (), (), ())
"""Of a network that finds what its user enrols."""
COCO = Keypoints(NAMES, EDGES, FLIP_PAIRS, SIGMAS)
CROWDPOSE = Keypoints(
    names=(*NAMES[5:], "head", "neck"),
    edges=(
        (12, 13), (13, 0), (13, 1), (0, 2), (2, 4), (1, 3), (3, 5), (13, 6), (13, 7), (6, 8), (8, 10),
        (7, 9), (9, 11),
    ),
    flip_pairs=((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
    sigmas=(*SIGMAS[5:], 0.079, 0.079),
)  # fmt: skip


def of(count: int) -> Keypoints:
    """The data set with that many keypoints."""
    return {17: COCO, 14: CROWDPOSE}[count]


def flip_order(keypoints: Keypoints = COCO) -> list[int]:
    """For every keypoint the one that takes its place in a mirrored image."""
    order = list(range(len(keypoints.names)))
    for left, right in keypoints.flip_pairs:
        order[left], order[right] = right, left
    return order
