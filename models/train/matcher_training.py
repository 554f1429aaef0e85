"""Trains `capeformer-lite0` on the maps of a frozen backbone, which `feature_bank` drew.

    python -m models.train.matcher_training --steps 6000               # resumes; weights.pt is the average
    python -m models.train.matcher_training --steps 3000 --second      # then the second stage by itself

The projections begin as the principal axes of the maps, so that untrained similarities compare what the
backbone saw; likeness and nearness to the example's place are there from the start, and the encoder learns
what they miss.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.evaluate.objects import HeldOutObjects
from models.losses.capeformer import HIDDEN, Matched, fixed_identifiers, second_stage
from models.networks.capeformer import CELLS, SIDE, CapeFormer, CapeFormerConfig, cell_middles
from models.networks.efficientnet_lite import OUTPUTS
from models.paths import ROOT, state_directory
from models.reference.capeformer import support_weights
from models.train.state import Log, MovingAverage, freeze_others, load, save
from models.train.tasks import CapeFormerTask

HELD_OUT = ("tests/data/photos/objects", "tests/data/objects")
MOST = 16
"""Keypoints of an episode."""
SEVERAL = 0.25
"""Chance of more than one example."""
SPREAD = 0.6
"""Of the bell that the softmax of similarities should be, in cells."""
SCALE = 6.0
"""Length of a token's features beside its position's."""
SHARES = (0.3, 1.0, 1.0)
"""What the maps at strides 8, 16 and 32 count in the principal axes."""
SLOW = ("keypoint_head.input_proj", "keypoint_head.query_proj")
"""Begin as something useful; a tenth of the rate."""
WARM_UP = 100
SAVE_EVERY, LOG_EVERY = 50, 50
"""Steps."""


class Bank(NamedTuple):
    """All shards: `maps` f16 [groups, images, channels, 8, 8], `keypoints` [groups, images, K, 2], `visible`
    [groups, images, K], `weights` [groups, images, K, 64]."""

    maps: Tensor
    keypoints: Tensor
    visible: Tensor
    weights: Tensor

    @staticmethod
    def read(folder: Path) -> Bank:
        files = [np.load(path) for path in sorted(folder.glob("*.npz"))]
        if not files:
            raise FileNotFoundError(f"{folder}: no shards; draw them with models.train.feature_bank")
        columns = [
            np.concatenate([file[name] for file in files]) for name in ("maps", "keypoints", "visible")
        ]
        maps, keypoints, visible = columns
        flat = zip(keypoints.reshape(-1, *keypoints.shape[2:]), visible.reshape(-1, visible.shape[-1]))
        weights = np.stack([support_weights(points * SIDE, seen)[0] for points, seen in flat])
        shaped = weights.reshape(*visible.shape, CELLS * CELLS)
        return Bank(*(torch.from_numpy(column) for column in (maps, keypoints, visible, shaped)))


@dataclass
class Episodes:
    """A batch: images looked at, and what their examples show."""

    query: Tensor
    support: Tensor
    """Maps, `[B, channels, 8, 8]` and `[B, shots, channels, 8, 8]`."""
    weights: Tensor
    """`[B, shots, MOST, 64]`, divided by how many examples show the keypoint."""
    enrolled: Tensor
    counted: Tensor
    target: Tensor
    """`[B, MOST]` twice and `[B, MOST, 2]`."""


def sample(bank: Bank, size: int, generator: torch.Generator) -> Episodes:
    """A batch in which everything has as many examples."""
    groups, images, total = bank.visible.shape
    several = bool(torch.rand((), generator=generator) < SEVERAL)
    shots = images - 1 if several else 1
    group = torch.randint(groups, (size,), generator=generator)
    order = torch.rand((size, images), generator=generator).argsort(1)
    query, examples = order[:, 0], order[:, 1 : 1 + shots]
    rows = group[:, None]
    shown = bank.visible[rows, examples]
    enrolled = shown.any(1)
    # Some of what the examples show, in its order.
    priority = torch.rand((size, total), generator=generator) + enrolled.float()
    chosen = priority.topk(MOST).indices.sort(1).values
    seen = shown.gather(2, chosen[:, None].expand(-1, shots, -1))
    weights = bank.weights[rows, examples].gather(
        2, chosen[:, None, :, None].expand(-1, shots, -1, CELLS * CELLS)
    )
    weights = weights * seen[..., None] / seen.sum(1).clamp(min=1)[:, None, :, None]
    enrolled = enrolled.gather(1, chosen)
    return Episodes(
        query=bank.maps[group, query].float(),
        support=bank.maps[rows, examples].float(),
        weights=weights,
        enrolled=enrolled,
        counted=enrolled & bank.visible[group, query].gather(1, chosen),
        target=bank.keypoints[group, query].gather(1, chosen[..., None].expand(-1, -1, 2)),
    )


def matched(model: CapeFormer, batch: Episodes) -> Matched:
    """What the first stage says."""
    query = model.tokens(batch.query)[0]
    support = model.tokens(batch.support.flatten(0, 1))[1].unflatten(0, batch.support.shape[:2])
    features = (batch.weights @ support).sum(1)
    slots = (batch.enrolled.cumsum(1) - 1).clamp(min=0)
    identity = fixed_identifiers(model.config.width)[slots]
    bias = torch.where(batch.enrolled, 0.0, HIDDEN)
    found = torch.vmap(model.match)(query, features, identity, bias)
    return Matched(*found, slots=slots, enrolled=batch.enrolled, target=batch.target, counted=batch.counted)


def first_loss(found: Matched) -> Tensor:
    """Cross entropy of the similarities' softmax against a bell around the keypoint, the mean over the
    keypoints that count."""
    middles = cell_middles(found.target.device)
    distance = ((middles - found.target[..., None, :]) * CELLS).square().sum(-1)
    bell = torch.softmax(-distance / (2 * SPREAD**2), -1)
    entropy = -(bell * found.similarity.log_softmax(-1)).sum(-1)
    return (entropy * found.counted).sum() / found.counted.sum().clamp(min=1)


@torch.no_grad()
def begin_with_axes(model: CapeFormer, bank: Bank) -> None:
    """Both projections become the maps' principal axes."""
    maps = bank.maps[:: max(1, len(bank.maps) // 200)].float()
    cells = maps.flatten(0, 1).flatten(2).transpose(1, 2).flatten(0, 1)
    middle = cells.mean(0)
    parts = (cells - middle).split([OUTPUTS[0], 4 * OUTPUTS[1], OUTPUTS[2]], 1)
    scales = [
        part.new_full((part.shape[1],), share / part.square().sum(1).mean().sqrt().item())
        for part, share in zip(parts, SHARES)
    ]
    scale = torch.cat(scales)
    scaled = (cells - middle) * scale
    width = model.config.width
    axes = torch.linalg.eigh(scaled.T @ scaled / len(scaled)).eigenvectors[:, -(width - 2) :].flip(1)
    head = model.keypoint_head
    weight = SCALE * (scale[:, None] * axes).T
    for projection in (head.input_proj, head.query_proj):
        projection.weight[: width - 2].copy_(weight.reshape(projection.weight[: width - 2].shape))
        projection.bias[: width - 2].copy_(-weight @ middle)


def optimiser_of(model: CapeFormer, lr: float) -> torch.optim.AdamW:
    slow: list[nn.Parameter] = []
    fast: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (slow if name.startswith(SLOW) else fast).append(parameter)
    groups = [{"params": fast, "share": 1.0}, {"params": slow, "share": 0.1}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr, weight_decay=0.02)


def main() -> None:
    """Trains one of the stages for so many steps; the rate falls to nothing along a cosine."""
    home = state_directory() / "capeformer-lite0"
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--features", type=Path, default=home / "features")
    parser.add_argument("--backbone", type=Path, default=state_directory() / "lite0.pt")
    parser.add_argument("--state", type=Path, default=home)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--second", action="store_true", help="train the second stage, the first as it is")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--lr", type=float, default=7e-4)
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    bank = Bank.read(arguments.features)
    print(f"{len(bank.maps)} groups of {bank.maps.shape[1]} images", flush=True)
    model = CapeFormer(CapeFormerConfig.lite0())
    model.begin_alike()
    body = model.encoder_query.body
    body.load_state_dict(torch.load(arguments.backbone, weights_only=True), strict=False)
    begin_with_axes(model, bank)
    saved = load(arguments.state / ("checkpoint-2.pt" if arguments.second else "checkpoint.pt"))
    first = load(arguments.state / "weights.pt") if arguments.second else None
    if first and not saved:
        model.load_state_dict(first)
    trained = CapeFormerTask.SECOND_STAGE if arguments.second else ("keypoint_head.",)
    freeze_others(model.train(), trained)
    body.eval()
    optimiser, average, step = optimiser_of(model, arguments.lr), MovingAverage(model, 0.995), 0
    if saved:
        model.load_state_dict(saved["model"])
        average.values = saved["average"]
        optimiser.load_state_dict(saved["optimiser"])
        step = saved["step"]
    held_out = {name: HeldOutObjects.read(ROOT / name) for name in HELD_OUT}
    # The backbone stays as it is: its maps of the held-out images are kept.
    maps = load(arguments.state / "held-out.pt") or {
        name: held.maps(model) for name, held in held_out.items()
    }
    save(arguments.state / "held-out.pt", maps)
    log = Log(arguments.state / "log.jsonl")

    def evaluate() -> None:
        shadow = CapeFormer(CapeFormerConfig.lite0()).eval()
        shadow.load_state_dict(average.values)
        for name, held in held_out.items():
            with torch.no_grad():
                figures = held.measure(shadow, maps=maps[name])
            line = {
                level: {key: round(value, 4) for key, value in row.items()} for level, row in figures.items()
            }
            log.write(step=step, data=name, second=arguments.second, **line)
            print(
                step,
                name,
                {level: (row["pck@0.1"], row["pck@0.2"]) for level, row in line.items()},
                flush=True,
            )

    if step == 0:
        evaluate()
    generator = torch.Generator().manual_seed(arguments.seed + 1000 * step)
    losses, begun = [], time.monotonic()
    while step < arguments.steps:
        rate = (
            arguments.lr
            * min(1.0, (step + 1) / WARM_UP)
            * 0.5
            * (1 + math.cos(math.pi * step / arguments.steps))
        )
        for group in optimiser.param_groups:
            group["lr"] = rate * group["share"]
        batch = sample(bank, arguments.batch, generator)
        if arguments.second:
            with torch.no_grad():
                found = matched(model, batch)
            loss = second_stage(model, found)
        else:
            loss = first_loss(matched(model, batch))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimiser.step()
        average.update(model, step)
        losses.append(loss.item())
        step += 1
        if step % LOG_EVERY == 0:
            speed = LOG_EVERY / (time.monotonic() - begun)
            print(f"step={step} loss={np.mean(losses):.4f} steps_per_second={speed:.2f}", flush=True)
            log.write(step=step, loss=float(np.mean(losses)), second=arguments.second)
            losses, begun = [], time.monotonic()
        last = step == arguments.steps
        if last or step % SAVE_EVERY == 0:
            state = {"model": model.state_dict(), "average": average.values, "step": step}
            state["optimiser"] = optimiser.state_dict()
            save(arguments.state / ("checkpoint-2.pt" if arguments.second else "checkpoint.pt"), state)
            save(arguments.state / ("both.pt" if arguments.second else "weights.pt"), average.values)
        if last or step % arguments.evaluate_every == 0:
            evaluate()
            begun = time.monotonic()


if __name__ == "__main__":
    main()
