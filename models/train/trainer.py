"""Train a bundle's network on generated pictures: `python -m models.train logocap-tiny`.

The run has no planned end: the learning rate warms up and then stays, until `--finish` lets it cool down to
nothing over `--minutes`. It may be interrupted and resumed at any time, and picks up new sprites whenever it
starts. The state directory holds `checkpoint.pt` (all that resuming needs), `weights.pt` (the averaged
weights, for export) and `log.jsonl`.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from tqdm import tqdm

from models.paths import state_directory
from models.data.batches import stream
from models.train.muon import Muon, is_matrix
from models.losses.objective import clip_gradients
from models.train.state import Log, MovingAverage, Progress, freeze_others, load, load_matching, save
from models.train.tasks import TASKS, Material, Measure, Task

WARM_UP_STEPS = 300
GO_ON, STOP = 0.0, 1.0


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
    rate: float
    muon: bool
    decay: float
    second_stage_after: int
    second_stage_people: int
    crowded: float
    coco: Path | None
    people: Path | None
    images: int
    backbone_from: Path | None
    weights_from: Path | None
    train_only: list[str]
    save_minutes: float
    evaluate_minutes: float
    evaluate_pictures: int
    seed: int


def parse(arguments: list[str]) -> Options:
    home = state_directory()
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__.split("\n")[0])
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
    parser.add_argument("--rate", type=float, default=1.8e-3, help="learning rate")
    parser.add_argument(
        "--muon", action=argparse.BooleanOptionalAction, default=True, help="Muon for convolutions, not AdamW"
    )
    parser.add_argument("--decay", type=float, default=0.998, help="of the moving average of the weights")
    parser.add_argument(
        "--second-stage-after",
        type=int,
        default=50_000,
        help="images before the second stage starts (LOGO-CAP: refinement; CenterGroup: grouping)",
    )
    parser.add_argument(
        "--second-stage-people", type=int, default=8, help="most people per process and step in it"
    )
    parser.add_argument("--crowded", type=float, default=0.0, help="share of scenes that are a crowd")
    parser.add_argument(
        "--coco", type=Path, help="LOFR: people of this folder with annotations.json, not generated ones"
    )
    parser.add_argument(
        "--people", type=Path, help="LOFR: people of this folder, drawn by models.training.stored_people"
    )
    parser.add_argument("--images", type=int, default=0, help="stop after so many images (0: no end)")
    parser.add_argument(
        "--backbone-from", type=Path, help="begin with what fits of these weights, where nothing is saved"
    )
    parser.add_argument(
        "--weights-from",
        type=Path,
        help="begin with all of these weights of the same network, as models.restore writes them",
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
    parser.add_argument("--evaluate-pictures", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    values = vars(parser.parse_args(arguments))
    cuda = torch.cuda.is_available()
    values["state"] = values["state"] or home / values["model"]
    own = Path(__file__).parents[1] / TASKS[values["model"]].held_out
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


class Trainer:
    """One process of a run.

    All processes hold the same weights; process 0 also keeps the average, saves and reports.
    """

    def __init__(self, options: Options, rank: int, task: Task) -> None:
        self.options, self.rank, self.task = options, rank, task
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device.type == "cpu":
            torch.set_num_threads(options.threads)
            torch.set_flush_denormal(True)
        torch.manual_seed(options.seed)
        self.model = self.task.network().to(self.device, memory_format=torch.channels_last).train()
        if options.train_only:
            freeze_others(self.model, options.train_only)
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        matrices = [p for p in self.parameters if is_matrix(p)] if options.muon else []
        chosen = {id(parameter) for parameter in matrices}
        others = [parameter for parameter in self.parameters if id(parameter) not in chosen]
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(others, options.rate, weight_decay=1e-4, fused=True)
        }
        if matrices:
            self.optimisers["muon"] = Muon(matrices, options.rate)
        self.average = MovingAverage(self.model, options.decay)
        self.progress = Progress()
        self.log = Log(options.state / "log.jsonl")
        self._resume()
        self.measure: Measure | None = None
        if rank == 0 and (options.held_out / "annotations.json").exists():
            self.measure = self.task.measure(options.held_out, options.evaluate_pictures, self.device)

    def _resume(self) -> None:
        state = load(self.options.state / "checkpoint.pt")
        if state is None:
            self._begin()
            return
        unmatched = load_matching(self.model, state["model"])
        if unmatched:
            self.say(f"{len(unmatched)} tensors do not fit and start anew: {', '.join(unmatched[:6])}")
            self.average = MovingAverage(self.model, self.options.decay)
        else:
            self._resume_optimisers(state)
            self.average.values = {name: value.to(self.device) for name, value in state["average"].items()}
        self.progress = Progress(**state["progress"])
        if not self.options.finish:
            # Training on after a cooldown begins a new stretch, which gets its own cooldown.
            self.progress.cooldown_seconds = 0.0
        self.say(f"resumed at {self.progress.images} images")

    def _begin(self) -> None:
        """Begins with what fits of another network that was trained here, or with the same one's weights."""
        options = self.options
        path = options.weights_from or options.backbone_from
        if path is None:
            return
        weights = load(path)
        if weights is None:
            raise FileNotFoundError(f"{path}: no such file; it should be another run's weights.pt")
        if options.weights_from is None:
            self.say(f"{self.task.begin_from(self.model, weights)} tensors come from {path}")
        else:
            unmatched = load_matching(self.model, weights)
            if unmatched:
                raise ValueError(f"{path}: not weights of {options.model}: {', '.join(unmatched[:6])}")
            self.say(f"all weights come from {path}")
        self.average = MovingAverage(self.model, options.decay)

    def _resume_optimisers(self, state: dict[str, Any]) -> None:
        saved = state.get("optimisers", {})
        if saved.keys() != self.optimisers.keys():
            self.say("the optimiser starts anew")
            return
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(saved[name])

    def say(self, line: str) -> None:
        if self.rank == 0:
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()

    def save(self) -> None:
        directory = self.options.state
        contents = {
            "model": self.model.state_dict(),
            "average": self.average.values,
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "progress": asdict(self.progress),
        }
        save(directory / "checkpoint.pt", contents)
        save(directory / "weights.pt", self.average.values)

    def rate(self) -> float:
        """Warm-up, constant, and with `--finish` a half cosine down over the minutes asked for."""
        rate = self.options.rate * min(1.0, (self.progress.step + 1) / WARM_UP_STEPS)
        if self.options.finish:
            done = min(1.0, self.progress.cooldown_seconds / (60 * self.options.minutes))
            rate *= 0.5 * (1 + math.cos(math.pi * done)) + 0.002
        return rate

    def _synchronise(self) -> float:
        """Mean the gradients over the processes and clip them; their norm."""
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        if self.options.processes > 1:
            dist.all_reduce(flat)
            flat.div_(self.options.processes)
        norm = clip_gradients(flat, 5.0)
        offset = 0
        for parameter in self.parameters:
            part = flat[offset : offset + parameter.numel()].view_as(parameter)
            # The second stage's weights have no gradient before it starts; AdamW must not decay them either.
            parameter.grad = (
                None if parameter.grad is None else part.clone(memory_format=torch.preserve_format)
            )
            offset += parameter.numel()
        return norm

    def _order(self, stop: bool) -> bool:
        """Whether to stop, as process 0 decides, so that all processes stop after the same step."""
        if self.options.processes == 1:
            return stop
        order = torch.tensor([STOP if stop else GO_ON])
        dist.broadcast(order, 0)
        return order.item() == STOP

    def run(self) -> None:
        options, progress = self.options, self.progress
        interrupted = False

        def interrupt(*_: object) -> None:
            nonlocal interrupted
            interrupted = True

        signal.signal(signal.SIGTERM, interrupt)
        signal.signal(signal.SIGINT, interrupt)
        material = Material(
            options.assets,
            options.bank,
            options.side,
            options.crowded,
            options.batch,
            options.seed,
            self.rank,
            options.coco,
            options.people,
        )
        source = stream(self.task.batches(material), progress.step, options.workers)
        begun = saved = evaluated = last = lap = time.monotonic()
        sums: dict[str, list[float]] = {}
        drawing = 0.0
        per_step = options.batch * options.processes
        bar = tqdm(unit="img", unit_scale=per_step, disable=None if self.rank == 0 else True)
        while True:
            now = time.monotonic()
            elapsed = now - begun
            progress.seconds += now - last
            if options.finish:
                progress.cooldown_seconds += now - last
            last = now
            over = progress.cooldown_seconds if options.finish else elapsed
            enough = options.images > 0 and progress.images >= options.images
            late = options.minutes > 0 and over >= 60 * options.minutes
            if self._order(interrupted or enough or late):
                break
            batch = next(source).to(self.device)
            drawing += time.monotonic() - now
            second = options.second_stage_people if progress.images >= options.second_stage_after else 0
            chance = torch.Generator().manual_seed(progress.step * 64 + self.rank)
            rate = self.rate()
            for optimiser in self.optimisers.values():
                for group in optimiser.param_groups:
                    group["lr"] = rate
            total, parts = self.task.objective(self.model, batch, second, chance)
            self.model.zero_grad(set_to_none=True)
            total.backward()
            parts["gradient"] = self._synchronise()
            if math.isfinite(parts["gradient"]):
                for optimiser in self.optimisers.values():
                    optimiser.step()
            progress.step += 1
            progress.images += per_step
            bar.update()
            if self.rank != 0:
                continue
            self.average.update(self.model, progress.step)
            for name, value in parts.items():
                sums.setdefault(name, []).append(value)
            if progress.step % 100 == 0:
                means = {name: round(sum(values) / len(values), 6) for name, values in sums.items()}
                figures = {
                    "step": progress.step, "images": progress.images, "seconds": round(progress.seconds),
                    "side": options.side, "rate": rate, "drawing": round(drawing / elapsed, 3),
                    "images_per_second": round(100 * per_step / (now - lap), 1),
                }  # fmt: skip
                self.log.write(**figures, **means)
                if bar.disable:
                    self.say(" ".join(f"{k}={v:.5g}" for k, v in (figures | means).items()))
                sums, lap = {}, now
            if now - saved > 60 * options.save_minutes:
                self.save()
                saved = now
            if now - evaluated > 60 * options.evaluate_minutes:
                self.evaluate(second > 0)
                evaluated = time.monotonic()
        if self.rank == 0:
            self.save()
            self.evaluate(progress.images > options.second_stage_after)
            self.say(f"saved at {progress.images} images in {options.state}")

    def evaluate(self, second_stage: bool) -> None:
        """Measure the averaged weights on the held-out pictures, at every level that is trained."""
        if self.measure is None:
            return
        model = self.task.network().to(self.device)
        model.load_state_dict(self.average.values)
        model.eval()
        for level, figures in self.measure(model, second_stage).items():
            self.log.write(images=self.progress.images, level=level, **figures)
            self.say(
                f"images={self.progress.images} level={level} "
                + " ".join(f"{k}={v}" for k, v in figures.items())
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def work(rank: int, options: Options, port: int) -> None:
    """The body of one process."""
    if options.processes > 1:
        address = f"tcp://127.0.0.1:{port}"
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=options.processes)
    Trainer(options, rank, TASKS[options.model]).run()
    if options.processes > 1:
        dist.destroy_process_group()


def main(arguments: list[str] | None = None) -> int:
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if options.processes == 1:
        work(0, options, 0)
        return 0
    # The children decide when to stop; this process only waits, so a signal to the whole group must not end
    # it first.
    context = torch.multiprocessing.get_context("spawn")
    port = _free_port()
    children = [context.Process(target=work, args=(rank, options, port)) for rank in range(options.processes)]
    for child in children:
        child.start()

    def forward(*_: object) -> None:
        for child in children:
            if child.is_alive():
                child.terminate()

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, lambda *_: None)
    for child in children:
        child.join()
    return max(abs(child.exitcode or 0) for child in children)


if __name__ == "__main__":
    sys.exit(main())
