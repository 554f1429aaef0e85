"""LOGO-CAP after the network: the runtime against the PyTorch post-processing of `models/reference/`, on the
same made-up frames, one after the other, on one core.

    python benches/compare_decode.py [--features std]

Builds and runs `cargo bench --bench decode`. The ratio is that of the medians; both answer the same poses.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from models.reference.logocap import Settings  # noqa: E402
from models.reference.torch_logocap import decode, synthetic_scene  # noqa: E402

PEOPLE = (0, 1, 5, 20, 30)
SIZE = 512


def make_scene(people: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heatmaps, offsets and attraction maps; without people one person's with an empty centre map."""
    heatmaps, offsets, kam = synthetic_scene(max(people, 1), SIZE // 4)
    if people == 0:
        heatmaps[-1] = -heatmaps[-1].abs()
        kam = kam[:1]
    return heatmaps, offsets, kam


def measure_torch(scene: tuple[torch.Tensor, torch.Tensor, torch.Tensor], repeat: int) -> tuple[float, int]:
    """Median milliseconds of `repeat` runs after one to warm up, and the number of poses."""
    times = []
    for _ in range(repeat + 1):
        begin = time.perf_counter()
        result = decode(*scene, (SIZE, SIZE), Settings())
        times.append(1e3 * (time.perf_counter() - begin))
    return float(np.median(times[1:])), len(result.poses)


def main() -> int:
    """Prints one line per number of people; exits with 1 where a ratio is below `--least`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--features", help="build with these features only")
    parser.add_argument("--repeat", type=int, default=20, help="runs of PyTorch per frame")
    parser.add_argument("--least", type=float, default=20.0, help="lowest ratio that is accepted with people")
    parser.add_argument("--json", action="store_true", help="print lines of JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        # One core for both; the child inherits it, so cargo has built before.
        core = max(os.sched_getaffinity(0))
    command = ["cargo", "bench", "--quiet", "--bench", "decode"]
    if arguments.features:
        command += ["--no-default-features", "--features", arguments.features]
    subprocess.run([*command, "--no-run"], cwd=ROOT, check=True)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    worst = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        torch_times = {}
        for people in PEOPLE:
            scene = make_scene(people)
            names = ("heatmaps", "offsets", "kam")
            np.savez(
                Path(folder) / f"{people}.npz", **{name: part.numpy() for name, part in zip(names, scene)}
            )
            torch_times[people] = measure_torch(scene, arguments.repeat)
        output = subprocess.run(
            [*command, "--", "--json", "--scenes", folder],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    if not arguments.json:
        print("people  candidates  poses  PyTorch ms   Sinew ms   ratio")
    for line in output.splitlines():
        own = json.loads(line)
        people = own["people"]
        torch_ms, poses = torch_times[people]
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
