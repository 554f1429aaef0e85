"""LOGO-CAP after the network: the runtime against the PyTorch post-processing of `models/reference/`, on the
same made-up frames, one after the other, on one core.

    python benches/compare_decode.py [--features std]

Builds and runs `cargo bench --bench decode`. The ratio is that of the medians; both return the same poses.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import side_by_side
import torch

from models.reference.logocap import Settings
from models.reference.torch_logocap import decode, synthetic_scene

PEOPLE = (0, 1, 5, 20, 30)
SIZE = 512


def make_scene(people: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heatmaps, offsets and attraction maps; without people one person's with an empty centre map."""
    heatmaps, offsets, kam = synthetic_scene(max(people, 1), SIZE // 4)
    if people == 0:
        heatmaps[-1] = -heatmaps[-1].abs()
        kam = kam[:1]
    return heatmaps, offsets, kam


def main() -> int:
    """Prints one line per number of people; exits with 1 where a ratio is below `--least`."""
    arguments = side_by_side.parser(main.__doc__, repeat=20, least=20.0).parse_args()
    torch.set_num_threads(1)
    settings = Settings()
    bench = side_by_side.Bench("decode", arguments.features)
    worst = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        torch_answers = {}
        for people in PEOPLE:
            scene = make_scene(people)
            names = ("heatmaps", "offsets", "kam")
            np.savez(
                Path(folder) / f"{people}.npz", **{name: part.numpy() for name, part in zip(names, scene)}
            )
            torch_ms = side_by_side.median_milliseconds(
                lambda scene=scene: decode(*scene, (SIZE, SIZE), settings), arguments.repeat
            )
            torch_answers[people] = (torch_ms, len(decode(*scene, (SIZE, SIZE), settings).poses))
        lines = bench.lines("--scenes", folder)
    if not arguments.json:
        print("people  candidates  poses  PyTorch ms   Sinew ms   ratio")
    for line in lines:
        own = json.loads(line)
        people = own["people"]
        torch_ms, poses = torch_answers[people]
        if poses != own["poses"]:
            raise SystemExit(f"{people} people: PyTorch finds {poses} poses, Sinew {own['poses']}")
        ratio = torch_ms / own["median_ms"]
        if people > 0:
            worst = min(worst, ratio)
        if arguments.json:
            print(json.dumps(own | {"torch_ms": round(torch_ms, 3), "ratio": round(ratio, 1)}))
        else:
            counts = f"{people:6}  {own['candidates']:10}  {poses:5}"
            print(f"{counts}  {torch_ms:10.2f}  {own['median_ms']:9.3f}  {ratio:6.1f}")
    if worst < arguments.least:
        print(f"the lowest ratio is {worst:.1f}, accepted from {arguments.least:g} on", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
