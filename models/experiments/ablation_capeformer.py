"""The paper's ablations for a trained CapeFormer, on drawn kinds that it has not seen.

    python -m models.experiments.ablation_capeformer --checkpoint STATE/capeformer-tiny/weights.pt

For several seeds, new images of the fifteen held-out families: PCK@0.2 with one example and both stages;
with the proposals alone; with one identifier for all keypoints; and with five examples. Each line is a mean
over the seeds, with the spread between them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.evaluate.objects import HeldOutObjects
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.networks.weights import load_weights

FIGURE = "pck@0.2"


@dataclass
class Row:
    """One way of doing it; one value per seed."""

    name: str
    values: list[float]


def measure(model: CapeFormer, seeds: list[int], images: int = 8, kinds: int | None = None) -> list[Row]:
    """All rows, of `images` per family and seed (six at least, for five examples and one to look at), of
    all families or the first `kinds`."""
    rows = [Row(name, []) for name in ("two stages", "one stage", "without identifiers", "5 examples")]
    for seed in tqdm(seeds, desc="seeds", disable=None):
        held_out = HeldOutObjects.drawn(seed, images, kinds)
        one = held_out.measure(model)
        figures = (
            one["two-stage"],
            one["one-stage"],
            held_out.measure(model, identity=False)["two-stage"],
            held_out.measure(model, shots=5)["two-stage"],
        )
        for row, figure in zip(rows, figures):
            row.values.append(figure[FIGURE])
    return rows


def main() -> None:
    """Prints the ablations."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights.pt of a training run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=8, help="per family")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    model = CapeFormer(CapeFormerConfig.tiny()).eval()
    load_weights(model, arguments.checkpoint)
    with torch.no_grad():
        rows = measure(model, list(range(1, arguments.seeds + 1)), arguments.images)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(f"{'':22}{FIGURE}  spread  difference")
    for row in rows:
        mean, spread = float(np.mean(row.values)), float(np.ptp(row.values))
        print(f"{row.name:22}{mean:7.3f}  {spread:6.3f}  {mean - float(np.mean(rows[0].values)):+10.3f}")


if __name__ == "__main__":
    main()
