"""The paper's Table 5 at tiny scale: what each part of LOFR brings.

    python -m models.data.stored_people --count 8000
    python -m models.train lofr-small --people STATE/people \\
        --processes 1 --threads 1 --batch 64 --finish --minutes 7
    python -m models.experiments.ablation_lofr --images 10000 --seeds 3
    python -m models.experiments.ablation_lofr --table [--json]

Every row begins with the same backbone, taught which keypoints windows of crops show (the paper's begins
with that of ImageNet), and is trained on the same number of such windows of generated people, once per seed,
in one process; rows that are done are kept in the state directory and not trained again. What is printed is
PCK on whole crops of the held-out people, the mean over the seeds and the spread between them, beside the AP
that the paper reports for the same row.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.evaluate.crops import HeldOutCrops
from models.losses.lofr import Weights
from models.networks.lofr import LofrConfig
from models.paths import ROOT, state_directory
from models.train.options import parse
from models.train.tasks import WINDOW, LofrTask
from models.train.trainer import Trainer

FIGURES = ("pck@0.2", "pck@0.1", "presence")


@dataclass(frozen=True)
class Row:
    """One combination of parts."""

    name: str
    parts: frozenset[str]
    paper: float | None
    """AP on COCO val in the paper."""
    located: float = 0.0
    layers: tuple[int, int] = (1, 2)
    """Of the encoder and of the decoder."""
    most_seeds: int | None = None
    """Where one run says enough."""

    def task(self) -> LofrTask:
        config = replace(
            LofrConfig.small(),
            encoder_layers=self.layers[0],
            decoder_layers=self.layers[1],
            spatial_prior="SPE" in self.parts,
            multi_scale="MS" in self.parts,
            relation="RePPG" in self.parts,
        )
        weights = Weights() if "PDC" in self.parts else Weights(diversity=0.0)
        return LofrTask(config, weights, self.located, WINDOW)


def _row(paper: float | None, *parts: str) -> Row:
    return Row(" + ".join(parts) or "baseline", frozenset(parts), paper)


ALL = ("SPE", "MS", "RePPG", "PDC")
ROWS = (
    _row(39.1),
    _row(42.5, "SPE"),
    _row(40.9, "MS"),
    _row(44.9, "RePPG"),
    _row(41.1, "PDC"),
    _row(44.3, "SPE", "MS"),
    _row(46.9, "RePPG", "PDC"),
    _row(54.9, *ALL),
    replace(_row(None, *ALL), name="all, 25 % located", located=0.25),
    replace(_row(None, *ALL), name="all, 4 + 6 layers", layers=(4, 6), most_seeds=1),
)


def folder(state: Path, row: Row, seed: int) -> Path:
    """Where a run keeps its state and figures."""
    return state / f"{row.name.replace(' ', '').replace('%', '')}-{seed}"


def train(row: Row, seed: int, state: Path, arguments: argparse.Namespace) -> bool:
    """One run, continuing one that was interrupted; whether it came to its end."""
    options = ["lofr-tiny", "--state", str(state), "--processes", "1", "--threads", "1"]
    options += ["--people", str(arguments.people), "--backbone-from", str(arguments.begin_with)]
    options += ["--images", str(arguments.images), "--batch", str(arguments.batch), "--seed", str(seed)]
    options += ["--no-muon", "--lr", "0.001", "--evaluate-minutes", "1000", "--save-minutes", "2"]
    trainer = Trainer(parse(options), 0, row.task())
    trainer.run()
    return trainer.progress.images >= arguments.images


def measure(row: Row, state: Path, held_out: Path) -> dict[str, float]:
    """A finished run's figures."""
    task = row.task()
    model = task.network().eval()
    model.load_state_dict(torch.load(state / "weights.pt", map_location="cpu", weights_only=True))
    crops = HeldOutCrops.read(held_out, (task.config.network_width, task.config.height))
    return crops.measure(model, torch.device("cpu"))


def summary(results: dict[str, list[dict[str, float]]]) -> list[dict[str, object]]:
    """Mean and spread of every row that has results."""
    lines = []
    for row in ROWS:
        runs = results.get(row.name, [])
        if not runs:
            continue
        line: dict[str, object] = {"row": row.name, "seeds": len(runs), "paper_ap": row.paper}
        for figure in FIGURES:
            values = [run[figure] for run in runs]
            line[figure] = round(float(np.mean(values)), 4)
            line[figure + " spread"] = round(float(np.ptp(values)), 4)
        lines.append(line)
    return lines


def main() -> None:
    """Trains what is missing, unless only the table is asked for, and prints the table."""
    home = state_directory()
    parser = argparse.ArgumentParser(
        prog="python -m models.experiments.ablation_lofr", description=main.__doc__
    )
    parser.add_argument("--state", type=Path, default=home / "lofr-ablation")
    parser.add_argument("--people", type=Path, default=home / "people", help="people drawn beforehand")
    parser.add_argument("--begin-with", type=Path, default=home / "lofr-small" / "weights.pt")
    parser.add_argument("--held-out", type=Path, default=ROOT / "tests/data/people")
    parser.add_argument("--images", type=int, default=10_000, help="windows of every run")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", default="0/1", help="only every n-th run from the i-th on, as i/n")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    index, of = (int(part) for part in arguments.share.split("/"))
    # Seed by seed, so that an interrupted ablation has every row as often.
    seeds = range(1, arguments.seeds + 1)
    runs = [(row, seed) for seed in seeds for row in ROWS if seed <= (row.most_seeds or seed)]
    for number, (row, seed) in enumerate(runs):
        state = folder(arguments.state, row, seed)
        done = state / "figures.json"
        if arguments.table or done.exists() or number % of != index:
            continue
        if not train(row, seed, state, arguments):
            # Interrupted: what is there is no figure of this row.
            raise SystemExit(1)
        done.write_text(json.dumps(measure(row, state, arguments.held_out)))
    results: dict[str, list[dict[str, float]]] = {}
    for row, seed in runs:
        done = folder(arguments.state, row, seed) / "figures.json"
        if done.exists():
            results.setdefault(row.name, []).append(json.loads(done.read_text()))
    lines = summary(results)
    if arguments.json:
        print(json.dumps(lines))
        return
    print(f"{'':26}seeds  paper AP  " + "  ".join(f"{figure:>9} spread" for figure in FIGURES))
    for line in lines:
        figures = "  ".join(f"{line[figure]:9.3f} {line[figure + ' spread']:6.3f}" for figure in FIGURES)
        print(f"{line['row']:26}{line['seeds']:5}  {line['paper_ap'] or '':>8}  {figures}")


if __name__ == "__main__":
    main()
