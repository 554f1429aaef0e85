"""What the comparisons share: our bench and a peer, one after the other, on one core."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# A script that imports this finds the project's packages after it.
sys.path.insert(0, str(ROOT))


def parser(description: str, repeat: int, least: float) -> argparse.ArgumentParser:
    """The options of a comparison; `repeat` runs of the peer, and no ratio below `least`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--features", help="build with these features only")
    parser.add_argument("--repeat", type=int, default=repeat, help="runs of the peer per case")
    parser.add_argument("--least", type=float, default=least, help="lowest ratio that is accepted")
    parser.add_argument("--json", action="store_true", help="print lines of JSON")
    return parser


class Bench:
    """`cargo bench --bench NAME`, built; from then on this process and what it starts keep to one core."""

    def __init__(self, name: str, features: str | None) -> None:
        self.command = ["cargo", "bench", "--quiet", "--bench", name]
        if features:
            self.command += ["--no-default-features", "--features", features]
        subprocess.run([*self.command, "--no-run"], cwd=ROOT, check=True)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    def lines(self, *arguments: str) -> list[str]:
        """What it prints, a line of JSON per case."""
        command = [*self.command, "--", "--json", *arguments]
        return subprocess.run(
            command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.splitlines()


def median_milliseconds(run: Callable[[], object], repeat: int) -> float:
    """Of `repeat` runs after three to warm up."""
    times = []
    for _ in range(repeat + 3):
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return float(np.median(times[3:]))


def put_between(document: Path, marker: str, text: str) -> None:
    """Replaces what stands between a document's comments `<!-- MARKER -->` and `<!-- end of MARKER -->`."""
    begin, end = f"<!-- {marker} -->", f"<!-- end of {marker} -->"
    before, found, rest = document.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(
            f"{document}: wants the comments {begin} and {end}, with the measured part between them"
        )
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")
