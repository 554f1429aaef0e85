"""One process of a training run: the loop, its state, and the measurements in between."""

from __future__ import annotations

import math
import signal
import sys
import time
from dataclasses import asdict
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor
from tqdm import tqdm

from models.data.batches import stream
from models.train.muon import Muon, is_matrix
from models.train.options import Options
from models.train.state import Log, MovingAverage, Progress, freeze_others, load, load_matching, save
from models.train.tasks import DataOptions, Measure, Task

WARM_UP_STEPS = 300
GO_ON, STOP = 0.0, 1.0


def clip_gradients(flat: Tensor, limit: float) -> float:
    """Scale the flat gradient in place to at most `limit` in norm; returns the norm before."""
    norm = float(flat.norm())
    if norm > limit:
        flat.mul_(limit / norm)
    return norm


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
            "adamw": torch.optim.AdamW(others, options.lr, weight_decay=1e-4, fused=True)
        }
        if matrices:
            self.optimisers["muon"] = Muon(matrices, options.lr)
        self.average = MovingAverage(self.model, options.ema_decay)
        self.progress = Progress()
        self.log = Log(options.state / "log.jsonl")
        self._resume()
        self.measure: Measure | None = None
        if rank == 0 and (options.held_out / "annotations.json").exists():
            self.measure = self.task.measure(options.held_out, options.evaluate_images, self.device)

    def _resume(self) -> None:
        state = load(self.options.state / "checkpoint.pt")
        if state is None:
            self._begin()
            return
        unmatched = load_matching(self.model, state["model"])
        if unmatched:
            self.say(f"{len(unmatched)} tensors do not fit and start anew: {', '.join(unmatched[:6])}")
            self.average = MovingAverage(self.model, self.options.ema_decay)
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
        self.average = MovingAverage(self.model, options.ema_decay)

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

    def learning_rate(self) -> float:
        """Warm-up, constant, and with `--finish` a half cosine down over the minutes asked for."""
        rate = self.options.lr * min(1.0, (self.progress.step + 1) / WARM_UP_STEPS)
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
        data = DataOptions(
            options.assets,
            options.bank,
            options.side,
            options.crowd_fraction,
            options.batch,
            options.seed,
            self.rank,
            options.coco,
            options.people,
        )
        source = stream(self.task.batches(data), progress.step, options.workers)
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
            rng = torch.Generator().manual_seed(progress.step * 64 + self.rank)
            rate = self.learning_rate()
            for optimiser in self.optimisers.values():
                for group in optimiser.param_groups:
                    group["lr"] = rate
            total, parts = self.task.objective(self.model, batch, second, rng)
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
        """Measure the averaged weights on the held-out images, at every level that is trained."""
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
