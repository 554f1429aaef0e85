"""Gathering an image's keypoint features: the runtime against PyTorch as the reference does it, on one core.

    python benches/compare_enrol.py [--features std]

The reference enlarges the backbone's 2048 maps to 64 by 64, takes the mean of each under a bell around every
keypoint, and projects it. The runtime takes the network's 64 projected tokens and folds enlarging and bell
into 64 weights. Both give the same features. Builds and runs `cargo bench --bench enrol`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import side_by_side
import torch
from torch import Tensor
from torch.nn import functional

CHANNELS, WIDTH, KEYPOINTS = 2048, 256, 17


def bells(points: Tensor) -> Tensor:
    """The reference's support heatmaps `[K, 64, 64]` of keypoints in crop pixels (docs/algorithms.md, "CapeFormer")."""
    cells = torch.arange(64.0)
    middle = torch.trunc(points / 4 + 0.5)
    along = [(cells[None] - middle[:, axis, None]) for axis in (0, 1)]
    x, y = (torch.where(part.abs() <= 6, torch.exp(-(part**2) / 8), 0.0) for part in along)
    return y[:, :, None] * x[:, None]


def unfolded(maps: Tensor, points: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`maps [1, 2048, 8, 8]` -> features `[K, 256]`, as the reference pools them."""
    large = functional.interpolate(maps, size=(64, 64), mode="bilinear", align_corners=False)
    heat = bells(points)
    heat = heat / (heat.sum((1, 2), keepdim=True) + 1e-8)
    pooled = heat.flatten(1) @ large[0].flatten(1).transpose(0, 1)
    return functional.linear(pooled, weight, bias)


@torch.no_grad()
def main() -> int:
    """Prints the ratio; exits with 1 where it is below `--least`."""
    arguments = side_by_side.parser(main.__doc__, repeat=10, least=100.0).parse_args()
    bench = side_by_side.Bench("enrol", arguments.features)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(1, CHANNELS, 8, 8, generator=generator)
    weight = torch.randn(WIDTH, CHANNELS, generator=generator) / CHANNELS**0.5
    bias = torch.randn(WIDTH, generator=generator)
    points = torch.rand(KEYPOINTS, 2, generator=generator) * 255
    tokens = functional.linear(maps[0].flatten(1).transpose(0, 1), weight, bias)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "enrol.npz", points=points.numpy(), tokens=tokens.numpy())
        torch_ms = side_by_side.median_milliseconds(
            lambda: unfolded(maps, points, weight, bias), arguments.repeat
        )
        (line,) = bench.lines("--scenes", folder)
    own = json.loads(line)
    expected = float(unfolded(maps, points, weight, bias).double().abs().sum())
    if abs(own["checksum"] - expected) > 1e-4 * expected:
        raise SystemExit(f"PyTorch's features sum up to {expected}, Sinew's to {own['checksum']}")
    ratio = torch_ms / own["median_ms"]
    if arguments.json:
        print(json.dumps(own | {"torch_ms": round(torch_ms, 3), "ratio": round(ratio, 1)}))
    else:
        speeds = f"PyTorch {torch_ms:.2f} ms, Sinew {own['median_ms']:.5f} ms, ratio {ratio:.0f}"
        print(f"{own['keypoints']} keypoints: {speeds}")
    if ratio < arguments.least:
        print(f"the ratio is {ratio:.1f}, accepted from {arguments.least:g} on", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
