"""Whether something has become slower: ratios of one run against those kept in `benches/ratios.json`.

    python benches/guard.py                 # exit code 1 where a ratio has fallen below its margin
    python benches/guard.py --keep 5        # measure five times and keep means and margins

A ratio's margin is three times the spread that was seen when it was kept, but a quarter at least and a half
at most: whatever takes twice as long is found. What falls below is measured again, and counts when it does so
three times. On another processor the ratios are others; keep them anew there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from performance import comparison
from tqdm import tqdm

KEPT = Path(__file__).with_name("ratios.json")
LEAST_MARGIN, MOST_MARGIN = 0.25, 0.5
ATTEMPTS = 3


def measure() -> dict[str, float]:
    """Every ratio once, by name."""
    ratios = {}
    for line in comparison("compare_centergroup.py", "--repeat", "3"):
        ratios[f"centergroup, {line['people']} people"] = line["ratio"]
    for line in comparison("compare_decode.py", "--repeat", "10"):
        ratios[f"logocap, {line['people']} people"] = line["ratio"]
    for line in comparison("compare_warp.py"):
        ratios[f"warp, {line['case']} {line['format']}"] = line["ratio"]
    for line in comparison("compare_enrol.py"):
        ratios["enrol"] = line["ratio"]
    return ratios


def margin(values: np.ndarray) -> float:
    """How far below their mean a ratio may fall."""
    return float(np.clip(3 * values.std(ddof=1) / values.mean(), LEAST_MARGIN, MOST_MARGIN))


def keep(times: int) -> None:
    """Measures often and writes what later runs are compared with."""
    runs = [measure() for _ in tqdm(range(times), unit="run", disable=None)]
    kept = {}
    for name in runs[0]:
        values = np.array([run[name] for run in runs])
        mean = float(values.mean())
        kept[name] = {"ratio": round(mean, 2), "margin": round(margin(values), 2)}
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")


def main() -> int:
    """Prints every ratio beside the one that was kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--keep", type=int, metavar="TIMES", help="measure so often (3 at least) and keep that"
    )
    parser.add_argument("--json", action="store_true", help="print lines of JSON")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        if arguments.keep < 3:
            parser.error("--keep: a spread needs three runs at least")
        keep(arguments.keep)
        return 0
    if not KEPT.exists():
        parser.error(f"{KEPT}: missing; `python benches/guard.py --keep 5` makes it")
    kept = json.loads(KEPT.read_text())
    least = {name: one["ratio"] * (1 - one["margin"]) for name, one in kept.items()}
    found = dict.fromkeys(kept, 0.0)
    slower = list(kept)
    for _ in range(ATTEMPTS):
        measured = measure()
        found = {name: max(ratio, measured.get(name, 0.0)) for name, ratio in found.items()}
        slower = [name for name, ratio in found.items() if ratio < least[name]]
        if not slower:
            break
    for name, one in kept.items():
        now = found[name]
        line = {"name": name, "ratio": round(now, 2), "kept": one["ratio"], "least": round(least[name], 2)}
        text = f"{name:36} {now:8.2f}, kept {one['ratio']:8.2f}, accepted from {least[name]:8.2f} on"
        print(json.dumps(line) if arguments.json else text)
    for name in slower:
        print(f"{name}: slower than it was", file=sys.stderr)
    return int(bool(slower))


if __name__ == "__main__":
    sys.exit(main())
