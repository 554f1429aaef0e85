"""Trains the second stage of a CapeFormer behind a first stage that is kept as it is.

    python -m models.train.second_stage --weights STATE/capeformer-tiny/weights.pt --out STATE/both.pt

The second stage is small, and what it is given does not change: the first stage looks at every episode once,
its outputs are kept in a folder, and the second stage then learns from some hundred of them a second, where
training both together sees about fifteen. An interrupted run goes on drawing where it stopped; training
begins anew.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing
from torch import Tensor, nn
from tqdm import tqdm

from models.data.episode_batches import EpisodeBatches
from models.evaluate.objects import HeldOutObjects
from models.losses.capeformer import Matched, first_stage, second_stage, tokens_of
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.networks.weights import load_weights
from models.paths import ROOT, state_directory
from models.train.state import MovingAverage, freeze_others, save
from models.train.tasks import TASKS, CapeFormerTask

EPISODES = 4
"""In a batch of the first stage."""
BATCHES = 50
"""Of those in a file."""
WARM_UP_STEPS = 200
OBJECTS = ROOT / CapeFormerTask.held_out


@dataclass(frozen=True)
class Source:
    """What one process draws from, and where it puts the outputs."""

    weights: Path
    assets: Path
    bank: Path
    outputs: Path
    files: int
    seed: int
    processes: int


def draw(rank: int, source: Source) -> None:
    """Writes those of the files that this process is to write and that are not there yet."""
    torch.set_num_threads(1)
    model = CapeFormer(CapeFormerConfig.tiny()).eval()
    load_weights(model, source.weights)
    batches = EpisodeBatches(source.assets, source.bank, EPISODES, source.seed, 0)
    numbers = range(rank, source.files, source.processes)
    for number in tqdm(numbers, unit="file", disable=True if rank else None):
        path = source.outputs / f"{number:05}.npz"
        if path.exists():
            continue
        generator = torch.Generator().manual_seed(source.seed + number)
        parts = []
        with torch.no_grad():
            for step in range(number * BATCHES, (number + 1) * BATCHES):
                batch = batches[step]
                tokens = tokens_of(model, batch)
                # Drawing takes longest: every image is looked at twice, with other examples.
                parts += [first_stage(model, batch, tokens, generator) for _ in range(2)]
        whole = Matched(*(torch.cat(column) for column in zip(*parts)))
        partial = path.with_suffix(".partial")
        with open(partial, "wb") as file:
            np.savez(file, **{name: _small(value) for name, value in whole._asdict().items()})
        os.replace(partial, path)


def _small(values: Tensor) -> np.ndarray:
    """Half precision is enough for what a norm has left."""
    return (values.half() if values.is_floating_point() else values).numpy()


def read(outputs: Path) -> Matched:
    """All files of a folder; numbers stay as they are kept."""
    files = [np.load(path) for path in sorted(outputs.glob("*.npz"))]
    columns = ([torch.from_numpy(file[name]) for file in files] for name in Matched._fields)
    return Matched(*(torch.cat(column) for column in columns))


def pick(outputs: Matched, rows: Tensor) -> Matched:
    """A batch."""
    taken = (values[rows] for values in outputs)
    return Matched(*(values.float() if values.is_floating_point() else values for values in taken))


def train(model: CapeFormer, outputs: Matched, seconds: float, batch: int, lr: float) -> CapeFormer:
    """The averaged network after so long: the rate stays for two fifths of it, then falls to nothing."""
    freeze_others(model, CapeFormerTask.SECOND_STAGE)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr)
    average = MovingAverage(model, 0.998)
    begin, step, losses = time.monotonic(), 0, []
    with tqdm(total=round(seconds), unit="s", disable=None) as bar:
        while (part := (time.monotonic() - begin) / seconds) < 1:
            fall = 0.5 * (1 + math.cos(math.pi * (part - 0.4) / 0.6)) if part > 0.4 else 1.0
            for group in optimiser.param_groups:
                group["lr"] = lr * fall * min(1.0, (step + 1) / WARM_UP_STEPS)
            loss = second_stage(model, pick(outputs, torch.randint(len(outputs.target), (batch,))))
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            average.update(model, step)
            step += 1
            losses.append(loss.item())
            if step % 500 == 0:
                bar.update(round(part * seconds) - bar.n)
                print(f"step={step} seconds={part * seconds:.0f} offset={np.mean(losses):.4f}", flush=True)
                losses = []
    model.load_state_dict(average.values)
    return model.eval()


def main() -> None:
    """Draws what is missing, trains, and prints what the held-out objects say."""
    home = state_directory()
    parser = argparse.ArgumentParser(prog="python -m models.train.second_stage", description=main.__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.pt: the first stage")
    parser.add_argument("--out", type=Path, required=True, help="where both stages go")
    parser.add_argument("--outputs", type=Path, help="folder (default: one for these weights, in the state)")
    parser.add_argument("--assets", type=Path, default=home / "assets", help="backgrounds and cut-outs")
    parser.add_argument("--bank", type=Path, default=home / "bank", help="rendered people")
    parser.add_argument("--episodes", type=int, default=20_000, help="to be drawn and looked at")
    parser.add_argument("--minutes", type=float, default=25, help="of training")
    parser.add_argument("--batch", type=int, default=64, help="outputs of the first stage")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--processes", type=int, default=2, help="that draw")
    parser.add_argument("--threads", type=int, default=1, help="of training")
    parser.add_argument("--seed", type=int, default=777)
    arguments = parser.parse_args()
    name = hashlib.sha256(arguments.weights.read_bytes()).hexdigest()[:12]
    folder = arguments.outputs or home / f"first-stage-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    files = math.ceil(arguments.episodes / (EPISODES * BATCHES))
    source = Source(
        arguments.weights,
        arguments.assets,
        arguments.bank,
        folder,
        files,
        arguments.seed,
        arguments.processes,
    )
    torch.multiprocessing.spawn(  # type: ignore[attr-defined]
        draw, (source,), arguments.processes
    )
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    trained = CapeFormer(CapeFormerConfig.tiny())
    load_weights(trained, arguments.weights)
    task = TASKS["capeformer-tiny"]
    model = task.network()
    task.begin_from(model, trained.state_dict())
    outputs = read(folder)
    print(f"outputs={len(outputs.target)}", flush=True)
    train(model, outputs, 60 * arguments.minutes, arguments.batch, arguments.lr)
    for level, figures in HeldOutObjects.read(OBJECTS).measure(model).items():
        print(level, " ".join(f"{name}={value:.4f}" for name, value in figures.items()))
    save(arguments.out, model.state_dict())


if __name__ == "__main__":
    main()
