"""CenterGroup around its grouping network: the runtime against the PyTorch post-processing of
`models/reference/`, on the same made-up frames, one after the other, on one core.

    python benches/compare_centergroup.py [--features std]

Builds and runs `cargo bench --bench centergroup`. The ratio is that of the medians; both return the same
poses. PyTorch starts with the mean of both heatmaps and does not enlarge the tag maps, which the reference
does.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import side_by_side
import torch

from models.reference.centergroup import Settings
from models.reference.torch_centergroup import decode, synthetic_scene

PEOPLE = (0, 1, 5, 20, 30)
SIZE = 512


def main() -> int:
    """Prints one line per number of people; exits with 1 where a ratio is below `--least`."""
    arguments = side_by_side.parser(main.__doc__, repeat=5, least=100.0).parse_args()
    torch.set_num_threads(1)
    settings = Settings()
    bench = side_by_side.Bench("centergroup", arguments.features)
    worst = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        peer = {}
        for people in PEOPLE:
            scene = synthetic_scene(people, SIZE // 2)
            names = ("heat_half", "attn", "vis", "center")
            np.savez(Path(folder) / f"{people}.npz", **{name: scene[name].numpy() for name in names})

            def run(scene: dict[str, torch.Tensor] = scene) -> object:
                maps = (scene["keypoint_map"], scene["center_map"])
                logits = (scene[name] for name in ("attn", "vis", "center"))
                return decode(scene["heat_half"], maps, *logits, (SIZE, SIZE), settings)

            peer[people] = (side_by_side.median_milliseconds(run, arguments.repeat), run().poses)
        lines = bench.lines("--scenes", folder)
    if not arguments.json:
        print("people  tokens  poses  PyTorch ms   Sinew ms   ratio")
    for line in lines:
        own = json.loads(line)
        people = own["people"]
        torch_ms, poses = peer[people]
        checksum = float(poses[..., :2].sum())
        # Neighbouring pixels may be equal, and `topk` leaves their order open: a pixel here and there.
        if len(poses) != own["poses"] or abs(checksum - own["checksum"]) > 1e-4 * checksum:
            raise SystemExit(
                f"{people} people: PyTorch finds {len(poses)} poses with places that sum up to {checksum}, "
                f"Sinew {own['poses']} and {own['checksum']}"
            )
        ratio = torch_ms / own["median_ms"]
        worst = min(worst, ratio)
        if arguments.json:
            print(json.dumps(own | {"torch_ms": round(torch_ms, 3), "ratio": round(ratio, 1)}))
        else:
            counts = f"{people:6}  {own['tokens']:6}  {own['poses']:5}"
            print(f"{counts}  {torch_ms:10.2f}  {own['median_ms']:9.3f}  {ratio:6.1f}")
    if worst < arguments.least:
        print(f"the lowest ratio is {worst:.1f}, accepted from {arguments.least:g} on", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
