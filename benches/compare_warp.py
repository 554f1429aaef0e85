"""The fused warp against OpenCV: colour conversion, `warpAffine` and normalisation into planes, on the same
1280x720 frames, one after the other, on one core.

    python benches/compare_warp.py

Builds and runs `cargo bench --bench warp`. The ratio is that of the medians.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import cv2
import numpy as np
import side_by_side

WIDTH, HEIGHT = 1280, 720
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
CONVERSIONS: dict[str, tuple[tuple[int, ...], int | None]] = {
    "YUYV": ((HEIGHT, WIDTH, 2), cv2.COLOR_YUV2RGB_YUYV),
    "UYVY": ((HEIGHT, WIDTH, 2), cv2.COLOR_YUV2RGB_UYVY),
    "NV12": ((HEIGHT * 3 // 2, WIDTH), cv2.COLOR_YUV2RGB_NV12),
    "I420": ((HEIGHT * 3 // 2, WIDTH), cv2.COLOR_YUV2RGB_I420),
    "RGB": ((HEIGHT, WIDTH, 3), None),
    "GREY": ((HEIGHT, WIDTH), cv2.COLOR_GRAY2RGB),
}


def opencv(pixel_format: str, network: tuple[int, int], to_picture: np.ndarray) -> Callable[[], np.ndarray]:
    """What a program with OpenCV does for one frame, every buffer made beforehand."""
    shape, conversion = CONVERSIONS[pixel_format]
    frame = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    width, height = network
    rgb = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    warped = np.empty((height, width, 3), np.uint8)
    planes = np.empty((3, height, width), np.float32)
    scale, offset = 1 / (255 * STD), -MEAN / STD
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def run() -> np.ndarray:
        source = frame if conversion is None else cv2.cvtColor(frame, conversion, rgb)
        cv2.warpAffine(source, to_picture, network, warped, flags)
        for channel, plane in enumerate(planes):
            np.multiply(warped[..., channel], scale[channel], out=plane)
            plane += offset[channel]
        return planes

    return run


def main() -> int:
    """Prints one line per case; exits with 1 where an unturned case is below `--least`."""
    arguments = side_by_side.parser(main.__doc__, repeat=50, least=1.0).parse_args()
    cv2.setNumThreads(1)
    bench = side_by_side.Bench("warp", arguments.features)
    if not arguments.json:
        print("case                   format  OpenCV ms   Sinew ms   ratio")
    worst = float("inf")
    for line in bench.lines():
        own = json.loads(line)
        peer = opencv(own["format"], tuple(own["network"]), np.array(own["map"]))
        peer_ms = side_by_side.median_milliseconds(peer, arguments.repeat)
        ratio = peer_ms / own["median_ms"]
        if not own["case"].endswith("-turned"):
            worst = min(worst, ratio)
        if arguments.json:
            print(json.dumps(own | {"opencv_ms": round(peer_ms, 3), "ratio": round(ratio, 2)}))
        else:
            print(f"{own['case']:22} {own['format']:6} {peer_ms:10.3f} {own['median_ms']:10.3f} {ratio:7.2f}")
    if worst < arguments.least:
        print(f"the lowest ratio is {worst:.2f}, accepted from {arguments.least:g} on", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
