"""Makes `tests/golden/centergroup-masks.txt`: padding masks of CenterGroup's official test, at many sizes.

    python -m venv /tmp/opencv4 && /tmp/opencv4/bin/pip install "opencv-python-headless<5"
    /tmp/opencv4/bin/python tests/data/masks/make.py

The official test warps a white 8-bit image as it warps the image and keeps what is above half of 255. OpenCV
4 rounds positions to 1/32 pixel for that, OpenCV 5 does not; the official code was written for OpenCV 4.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

GOLDEN = Path(__file__).resolve().parents[2] / "golden/centergroup-masks.txt"
COMMON = (
    (640, 480), (640, 426), (640, 427), (480, 640), (500, 375), (426, 640), (1280, 720), (1920, 1080),
    (640, 640), (333, 500), (640, 361), (1, 1), (2, 3),
)  # fmt: skip


def network_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """The short side, and the long side rounded up to 64."""

    def up(value: float) -> int:
        return int((value + 63) // 64 * 64)

    if width < height:
        return short_side, up(short_side / width * height)
    return up(short_side / height * width), short_side


def official_mask(image: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """`[height, width]` bool of an `image` (width, height) in an input of `size`.

    The affine map is the one through three points, in float32: the centre, half an extent above it, and the
    same rotated by a right angle.
    """
    width, height = image
    extent = width if width < height else size[0] / size[1] * height
    center = np.array([round(width / 2), round(height / 2)], np.float64)
    ends = []
    for middle, half in ((center, extent / 2), (np.array(size) * 0.5, size[0] / 2)):
        above = middle - [0, half]
        beside = above - [middle[1] - above[1], 0]
        ends.append(np.array([middle, above, beside], np.float32))
    warp = cv2.getAffineTransform(ends[0], ends[1])
    return cv2.warpAffine(np.full((height, width), 255, np.uint8), warp, size, flags=cv2.INTER_LINEAR) > 127


def checksum(mask: np.ndarray) -> int:
    """The sum of the squared indices of all valid pixels, row by row from 0, modulo 2^32."""
    index = np.flatnonzero(mask).astype(np.uint64)
    return int((index * index).sum() % np.uint64(2**32))


def main() -> None:
    """Writes the file."""
    assert cv2.__version__.startswith("4."), f"OpenCV 4 is needed, this is {cv2.__version__}"
    rng = np.random.default_rng(5)
    images = [*COMMON]
    while len(images) < 60:
        width, height = (int(side) for side in rng.integers(40, 700, 2))
        if max(width, height) < 3 * min(width, height):
            images.append((width, height))
    lines = ["# width height short_side divisor valid_pixels checksum; made by tests/data/masks/make.py"]
    for number, image in enumerate(images):
        for short_side in (512, 640) if number < len(COMMON) else (512 + 128 * (number % 2),):
            network = network_size(*image, short_side)
            for divisor in (1, 2, 4):
                mask = official_mask(image, (network[0] // divisor, network[1] // divisor))
                lines.append(f"{image[0]} {image[1]} {short_side} {divisor} {mask.sum()} {checksum(mask)}")
    GOLDEN.write_text("\n".join(lines) + "\n")
    print(f"{GOLDEN}: {len(lines) - 1} masks, OpenCV {cv2.__version__}")


if __name__ == "__main__":
    main()
