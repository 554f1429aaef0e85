"""What the command line of the trainer says."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.multiprocessing

from models.paths import ROOT, state_directory
from models.train.tasks import TASKS


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    model: str
    state: Path
    assets: Path
    bank: Path
    held_out: Path
    minutes: float
    finish: bool
    processes: int
    threads: int
    workers: int
    batch: int
    side: int
    lr: float
    muon: bool
    ema_decay: float
    second_stage_after: int
    second_stage_people: int
    crowd_fraction: float
    coco: Path | None
    people: Path | None
    images: int
    backbone_from: Path | None
    weights_from: Path | None
    train_only: list[str]
    save_minutes: float
    evaluate_minutes: float
    evaluate_images: int
    seed: int


def parse(arguments: list[str]) -> Options:
    home = state_directory()
    parser = argparse.ArgumentParser(
        prog="python -m models.train", description="Train a bundle's network on generated images."
    )
    parser.add_argument("model", choices=sorted(TASKS))
    parser.add_argument("--state", type=Path, help="the run's directory (default: $SINEW_STATE/MODEL)")
    parser.add_argument("--assets", type=Path, default=home / "assets", help="backgrounds and cut-outs")
    parser.add_argument("--bank", type=Path, default=home / "bank", help="rendered people")
    parser.add_argument("--held-out", type=Path, help="(default: the network's own set in tests/data)")
    parser.add_argument(
        "--minutes", type=float, default=0, help="stop after so long (0: run until interrupted)"
    )
    parser.add_argument(
        "--finish", action="store_true", help="cool down to nothing over --minutes, then stop"
    )
    parser.add_argument(
        "--processes", type=int, default=0, help="(default: one per core up to 2; 1 on a GPU)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="per process, on a CPU; 1 where several runs share the cores (default: all cores, shared out)",
    )
    parser.add_argument(
        "--workers", type=int, help="processes that draw scenes (default: 0, or all cores on a GPU)"
    )
    parser.add_argument(
        "--batch", type=int, default=0, help="scenes per process and step (default: 8, or 128 on a GPU)"
    )
    parser.add_argument(
        "--side", type=int, default=256, help="pixels of a scene; smaller ones are faster to begin with"
    )
    parser.add_argument("--lr", type=float, default=1.8e-3, help="learning rate")
    parser.add_argument(
        "--muon", action=argparse.BooleanOptionalAction, default=True, help="Muon for convolutions, not AdamW"
    )
    parser.add_argument("--ema-decay", type=float, default=0.998, help="of the moving average of the weights")
    parser.add_argument(
        "--second-stage-after",
        type=int,
        default=50_000,
        help="images before the second stage starts (LOGO-CAP: refinement; CenterGroup: grouping)",
    )
    parser.add_argument(
        "--second-stage-people", type=int, default=8, help="most people per process and step in it"
    )
    parser.add_argument("--crowd-fraction", type=float, default=0.0, help="share of scenes that are a crowd")
    parser.add_argument(
        "--coco", type=Path, help="LOFR: people of this folder with annotations.json, not generated ones"
    )
    parser.add_argument(
        "--people", type=Path, help="LOFR: people of this folder, drawn by models.data.stored_people"
    )
    parser.add_argument("--images", type=int, default=0, help="stop after so many images (0: no end)")
    parser.add_argument(
        "--backbone-from", type=Path, help="begin with what fits of these weights, where nothing is saved"
    )
    parser.add_argument(
        "--weights-from",
        type=Path,
        help="begin with all of these weights of the same network, as models.checkpoints.restore writes them",
    )
    parser.add_argument(
        "--train-only",
        nargs="+",
        default=[],
        metavar="PREFIX",
        help="weights whose names begin otherwise stay as they are",
    )
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--evaluate-minutes", type=float, default=8)
    parser.add_argument("--evaluate-images", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    values = vars(parser.parse_args(arguments))
    cuda = torch.cuda.is_available()
    values["state"] = values["state"] or home / values["model"]
    own = ROOT / TASKS[values["model"]].held_out
    values["held_out"] = values["held_out"] or own
    values["processes"] = values["processes"] or (1 if cuda else min(2, os.cpu_count() or 1))
    values["threads"] = values["threads"] or max(1, (os.cpu_count() or 1) // values["processes"])
    values["batch"] = values["batch"] or (128 if cuda else 8)
    if values["workers"] is None:
        values["workers"] = (os.cpu_count() or 1) if cuda else 0
    if values["backbone_from"] and values["weights_from"]:
        parser.error("--backbone-from and --weights-from: one of them")
    if values["finish"] and values["minutes"] <= 0:
        parser.error("--finish needs --minutes: how long to cool down")
    return Options(**values)
