"""LOFR around its network, in NumPy: crops and the place of every keypoint. Written from the description in
`src/decode/lofr`, not from its code, for golden arrays.

    python -m models.reference.lofr        # writes tests/golden/lofr/parts.npz
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.paths import ROOT

GOLDEN = ROOT / "tests/golden/lofr/parts.npz"


@dataclass(frozen=True)
class Crop:
    """A rectangle of an image, in its pixels."""

    center: np.ndarray
    size: np.ndarray
    """Width and height."""


def crop_of(box: np.ndarray, network: tuple[int, int], margin: float = 1.25) -> Crop:
    """Around `(x, y, width, height)`, in the aspect of `(width, height)` of the network."""
    x, y, width, height = box.astype(np.float64)
    aspect = network[0] / network[1]
    if width < height * aspect:
        width = height * aspect
    else:
        height = width / aspect
    return Crop(np.array([x + box[2] / 2, y + box[3] / 2]), margin * np.array([width, height]))


def place(response: np.ndarray) -> np.ndarray:
    """`[h, w]` -> `(x, y)`, 0 to 1: the highest cell, a quarter of a cell towards the higher neighbours.

    Of several equally high ones their mean.
    """
    rows, columns = np.nonzero(response == response.max())
    found = np.array([columns.mean(), rows.mean()])
    if len(rows) == 1:
        row, column = rows[0], columns[0]
        for axis, (at, line) in enumerate(((column, response[row]), (row, response[:, column]))):
            if 0 < at < len(line) - 1:
                found[axis] += 0.25 * np.sign(float(line[at + 1]) - float(line[at - 1]))
    return (found + 0.5) / response.shape[::-1]


def locate(response: np.ndarray, presence: np.ndarray, crop: Crop) -> np.ndarray:
    """`[J, h, w]` and logits `[J]` -> `[J, 3]`: x and y in image pixels, score."""
    places = np.array([place(plane) for plane in response])
    score = 1 / (1 + np.exp(-presence.astype(np.float64)))
    return np.column_stack([places * crop.size + crop.center - crop.size / 2, score])


def main() -> None:
    """Writes the golden arrays: random maps, plateaus, peaks at the border."""
    generator = np.random.default_rng(6)
    count, keypoints, height, width = 5, 17, 32, 24
    response = generator.random((count, keypoints, height, width)).astype(np.float32)
    response[1, 3] = 0.5
    response[1, 4, 0, 0] = response[1, 5, -1, -1] = response[1, 6, 0, 7] = 2
    response[2, 0, 4:7, 9] = 3
    presence = generator.normal(0, 3, (count, keypoints)).astype(np.float32)
    boxes = np.array(
        [[10, 20, 50, 120], [-30, 5, 90, 60], [300.5, 200.25, 33, 44], [0, 0, 640, 480], [600, 400, 80, 160]],
        np.float32,
    )
    crops = [crop_of(box, (96, 128)) for box in boxes]
    poses = np.stack([locate(*one) for one in zip(response, presence, crops)])
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        GOLDEN, response=response, presence=presence, boxes=boxes, poses=poses.astype(np.float32)
    )
    print(f"{GOLDEN}: written")


if __name__ == "__main__":
    main()
