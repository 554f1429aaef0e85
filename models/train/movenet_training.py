"""Trains `logocap-movenet` on the shards of `movenet_bank`.

    python -m models.train.movenet_training --minutes 60

The second stage learns at a high rate. MoveNet's own layers, but for the first, follow at a low one: as
folded norms leave weights of very different size, each tensor's rate is in proportion to its root mean
square. On photographs the network learns to agree with its teacher (the averaged maps) and with the people
found by it; in scenes it learns the true people, and to stay near the teacher.

`STATE/logocap-movenet` then holds `checkpoint.pt`, from which the command goes on, and `weights.pt`, the
averaged weights, which `make models MODEL=logocap-movenet` exports.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.data.batches import People
from models.evaluate.decode_logocap import find_centers
from models.losses import logocap as losses
from models.networks.logocap import KEYPOINTS
from models.networks.logocap_movenet import MoveNetLogoCap
from models.networks.movenet import STRIDE, MoveNet, MoveNetConfig
from models.paths import state_directory
from models.train.muon import Muon, is_matrix
from models.train.state import MovingAverage, load, save

SECOND_STAGE_RATE = 1.8e-3
RELATIVE_RATE = 5e-4
"""Of MoveNet's own layers, in root mean squares of each tensor."""
FIRST_TRAINED_BLOCK = 6
DEEP_AFTER = 40
"""Steps during which only the heads and the second stage learn."""
WARM_UP_STEPS = 60
HOLD = 0.4
"""Share of the time before the rate falls, as a cosine, to nothing."""
PEOPLE = 16
"""The most candidates per step."""
BELL_SIGMA = 1.5
"""Cells, of the bells at true keypoints."""
BELL_SHARE = 0.5
"""How much of a scene's target is bells; the rest is the teacher's."""
WEIGHTS = {"heatmap": 150.0, "offset": 0.5, "refined": 100.0, "kernel": 0.08, "pose": 2.0}
EMA_DECAY = 0.995
SAVE_EVERY = 20


@dataclass(frozen=True)
class Batch:
    """Features of `scenes` scenes, then of photographs; the teacher's maps; everyone in them."""

    fine: Tensor
    middle: Tensor
    heatmaps: Tensor
    offsets: Tensor
    people: People
    scenes: int


class Shards:
    """The images of all shards whose names begin with `kind`."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.items: list[tuple[dict[str, Tensor], int, Tensor]] = []
        for path in sorted(folder.glob(f"{kind}-*.pt")):
            shard = torch.load(path, weights_only=True)
            count = len(shard["heatmaps"])
            self.items += [
                (shard, number, (shard["index"] == number).nonzero()[:, 0]) for number in range(count)
            ]

    def draw(self, generator: torch.Generator, count: int) -> list[tuple[dict[str, Tensor], int, Tensor]]:
        """`count` images by chance, none where there are no shards."""
        if not self.items:
            return []
        chosen = torch.randint(len(self.items), (count,), generator=generator)
        return [self.items[number] for number in chosen.tolist()]


def batch_of(
    scenes: Shards, photographs: Shards, size: int, share: float, generator: torch.Generator
) -> Batch:
    """`size` images, `share` of them photographs where there are any."""
    some = photographs.draw(generator, round(size * share))
    items = scenes.draw(generator, size - len(some)) + some
    index = torch.cat([torch.full((len(rows),), place) for place, (_, _, rows) in enumerate(items)])

    def images(name: str) -> Tensor:
        return torch.stack([shard[name][number] for shard, number, _ in items]).float()

    def labels(name: str) -> Tensor:
        return torch.cat([shard[name][rows] for shard, _, rows in items])

    people = People(index.long(), labels("keypoints"), labels("labelled"), labels("area"))
    return Batch(
        images("fine"),
        images("middle"),
        images("heatmaps") / 255,
        images("offsets"),
        people,
        len(items) - len(some),
    )


def bells(people: People, shape: torch.Size) -> Tensor:
    """Bells `[B, 17, h, w]` at the labelled keypoints."""
    made = torch.zeros(shape[0], KEYPOINTS, *shape[2:])
    rows, columns = torch.arange(shape[2]), torch.arange(shape[3])
    for image, keypoints, labelled in zip(people.batch_index, people.keypoints, people.labelled, strict=True):
        cells = (keypoints - (STRIDE - 1) / 2) / STRIDE
        down = torch.exp(-(rows - cells[:, 1:]).square() / (2 * BELL_SIGMA**2))
        across = torch.exp(-(columns - cells[:, :1]).square() / (2 * BELL_SIGMA**2))
        bell = down[:, :, None] * across[:, None] * labelled[:, None, None]
        made[image] = torch.maximum(made[image], bell)
    return made


def disturbed(poses: Tensor, generator: torch.Generator) -> Tensor:
    """Poses as far off as those of photographs are, for most of them: kernels learn to correct that."""
    count = len(poses)
    wrong = torch.rand(count, 1, 1, generator=generator) < 0.6
    spread = 5 * torch.rand(count, 1, 1, generator=generator)
    far = 8 * (torch.rand(count, KEYPOINTS, 1, generator=generator) < 0.08)
    first, second = (torch.randn(poses.shape, generator=generator) for _ in range(2))
    return poses + wrong * (spread * first + far * second)


def pose_loss(poses: Tensor, match: losses.Match, people: People) -> Tensor:
    """Smooth L1 of initial poses in units of the person's size, of candidates that are some person."""
    weight = (match.score - 0.55).clamp(min=0)[:, None, None] * match.labelled[..., None]
    size = people.area[match.person].clamp(min=200).sqrt()[:, None, None]
    error = functional.smooth_l1_loss(poses / size, match.target / size, reduction="none", beta=0.04)
    return (weight * error).sum() / (2 * weight.sum() + 0.1)


def objective(
    model: MoveNetLogoCap, features: Tensor, batch: Batch, people: int, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """The sum to minimise and its parts."""
    heatmaps, offsets, embedding = model.maps(features)
    target = batch.heatmaps.clone()
    own = bells(batch.people, target.shape)[: batch.scenes]
    target[: batch.scenes, :KEYPOINTS] *= 1 - BELL_SHARE
    target[: batch.scenes, :KEYPOINTS] += BELL_SHARE * own
    weight = torch.where(target > 0.02, 1.0, 0.15)
    error = weight * (heatmaps - target).square()
    # Offsets count near centres, of keypoints that the teacher sees, less where true people correct them
    # anyway.
    near = batch.heatmaps[:, KEYPOINTS:].clone()
    near[: batch.scenes] *= 0.3
    seen = (batch.heatmaps[:, :KEYPOINTS].amax((2, 3)) > 0.25).repeat_interleave(2, 1)[
        :, :, None, None
    ] * near
    apart = functional.smooth_l1_loss(offsets, batch.offsets, reduction="none", beta=0.5)
    parts = {
        "heatmap": error.mean() + error[:, KEYPOINTS].mean() / 9,
        "offset": (seen * apart).sum() / (seen.sum() + 1),
    }
    index, centers, _ = find_centers(heatmaps[:, KEYPOINTS].detach(), STRIDE)
    chosen = torch.randperm(len(index), generator=generator)[:people]
    index, centers = index[chosen], centers[chosen]
    if len(index) and len(batch.people.area):
        initial = model.initial_poses(offsets, index, centers)
        poses = disturbed(initial.detach(), generator)
        kernels = model.attraction_maps(embedding, index, poses)
        match = losses.match_people(model.local_mesh(poses), index, batch.people)
        refined = model.adapt(heatmaps, index, poses, kernels)
        true = losses.match_people(model.local_mesh(initial.detach()), index, batch.people)
        parts["refined"] = losses.refined_loss(refined, poses, match)
        parts["kernel"] = losses.kernel_loss(kernels, match)
        parts["pose"] = pose_loss(initial, true, batch.people)
    total = sum((WEIGHTS[name] * part for name, part in parts.items()), torch.zeros(()))
    return total, {name: float(part.detach()) for name, part in parts.items()}


def optimisers(model: MoveNetLogoCap) -> list[torch.optim.Optimizer]:
    """Muon for the second stage's matrices, AdamW for all else; each group's `share` is of the common
    rate."""
    second = model.second_stage()
    matrices = [parameter for parameter in second if is_matrix(parameter)]
    names = {id(parameter) for parameter in matrices}
    groups = [{"params": [one for one in second if id(one) not in names], "share": 1.0, "deep": False}]
    for deep, modules in ((False, heads(model)), (True, trunk(model))):
        for parameter in (one for module in modules for one in module.parameters()):
            size = max(float(parameter.detach().square().mean().sqrt()), 1e-3)
            share = RELATIVE_RATE * size / SECOND_STAGE_RATE
            groups.append({"params": [parameter], "share": share, "deep": deep, "weight_decay": 0.0})
    return [
        torch.optim.AdamW(groups, SECOND_STAGE_RATE, weight_decay=1e-4),
        Muon(matrices, SECOND_STAGE_RATE),
    ]


def heads(model: MoveNetLogoCap) -> list[nn.Module]:
    """MoveNet's heads."""
    return [model.keypoints, model.center, model.offsets, model.local]


def trunk(model: MoveNetLogoCap) -> list[nn.Module]:
    """The layers that follow the stored features."""
    backbone = model.movenet
    return [*backbone.blocks[FIRST_TRAINED_BLOCK:], backbone.top, backbone.lateral, backbone.smooth]


def rate_at(step: int, done: float) -> float:
    """The second stage's rate after `step` steps and the share `done` of the time."""
    falling = 0.5 * (1 + math.cos(math.pi * max(0.0, (done - HOLD) / (1 - HOLD))))
    return SECOND_STAGE_RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * (falling + 0.003)


def train(
    model: MoveNetLogoCap, folder: Path, shards: Path, minutes: float, size: int, share: float, seed: int
) -> int:
    """Trains `model` in place, resuming from `folder`; the number of steps taken in all."""
    scenes, photographs = Shards(shards, "scenes"), Shards(shards, "photographs")
    if not scenes.items:
        raise FileNotFoundError(
            f"{shards}: no scenes-*.pt; make them with `python -m models.train.movenet_bank`"
        )
    model.requires_grad_(False)
    for module in (*heads(model), *trunk(model), model.own, model.mix, model.joints_mlp):
        module.requires_grad_(True)
    used = optimisers(model)
    average, step, before = MovingAverage(model, EMA_DECAY), 0, 0.0
    if (kept := load(folder / "checkpoint.pt")) is not None:
        model.load_state_dict(kept["model"])
        average.values, step, before = kept["average"], kept["step"], kept["seconds"]
        for optimiser, state in zip(used, kept["optimisers"], strict=True):
            optimiser.load_state_dict(state)
    generator = torch.Generator().manual_seed(1000 * seed + step)
    begun = monotonic() - before
    model.train()
    while (done := (monotonic() - begun) / (60 * minutes)) < 1:
        for optimiser in used:
            for group in optimiser.param_groups:
                warmth = min(1.0, max(0.0, (step - DEEP_AFTER) / WARM_UP_STEPS)) if group.get("deep") else 1.0
                group["lr"] = rate_at(step, done) * group.get("share", 1.0) * warmth
        batch = batch_of(scenes, photographs, size, share, generator)
        with torch.set_grad_enabled(step >= DEEP_AFTER):
            features = model.movenet.deep(batch.fine, batch.middle)
        total, parts = objective(model, features, batch, PEOPLE, generator)
        for optimiser in used:
            optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_([one for one in model.parameters() if one.grad is not None], 5.0)
        for optimiser in used:
            optimiser.step()
        average.update(model, step)
        step += 1
        if step % SAVE_EVERY == 0:
            print(f"step {step}", *(f"{name} {value:.5f}" for name, value in parts.items()), flush=True)
            keep(folder, model, average, used, step, monotonic() - begun)
    keep(folder, model, average, used, step, monotonic() - begun)
    return step


def keep(
    folder: Path,
    model: MoveNetLogoCap,
    average: MovingAverage,
    used: list[torch.optim.Optimizer],
    step: int,
    seconds: float,
) -> None:
    """Writes what resuming and exporting need."""
    states = [optimiser.state_dict() for optimiser in used]
    contents = {"model": model.state_dict(), "average": average.values, "optimisers": states}
    save(folder / "checkpoint.pt", contents | {"step": step, "seconds": seconds})
    save(folder / "weights.pt", average.values)


def main() -> None:
    """Trains."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    state = state_directory()
    parser.add_argument(
        "--movenet", type=Path, default=state / "movenet.pt", help="see models.checkpoints.movenet"
    )
    parser.add_argument("--state", type=Path, default=state / "logocap-movenet")
    parser.add_argument("--minutes", type=float, default=60, help="in all, with those of earlier runs")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--photographs", type=float, default=0.34, help="share of the images")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    movenet = MoveNet(MoveNetConfig.multipose())
    movenet.load_state_dict(torch.load(options.movenet, weights_only=True))
    model = MoveNetLogoCap.from_movenet(movenet)
    shards = options.state / "shards"
    steps = train(
        model, options.state, shards, options.minutes, options.batch, options.photographs, options.seed
    )
    print(f"{steps} steps; averaged weights in {options.state / 'weights.pt'}")


if __name__ == "__main__":
    main()
