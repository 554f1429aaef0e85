"""Trains `centergroup-movenet` on the shards of `token_bank`.

    python -m models.train.grouping_training upsampling --minutes 5
    python -m models.train.token_bank tokens --weights STATE/centergroup-movenet/upsampling.pt
    python -m models.train.grouping_training grouping --minutes 60

`upsampling` teaches the finer heatmaps the true keypoints of scenes, and to stay as they are in photographs.
`grouping` then sees tokens alone and computes no map: rows are learnt as layers of tokens' features, scaled
to a spread of one, and folded into the network's convolutions.

`STATE/centergroup-movenet` then holds `checkpoint.pt`, from which `grouping` goes on, and `weights.pt`, the
averaged weights, which `make models MODEL=centergroup-movenet` exports.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor, nn

from models.losses import centergroup as losses
from models.losses.centergroup import Labels, Tokens, Weights
from models.networks.centergroup import Grouping
from models.networks.centergroup_movenet import OFFSET_SCALE, OFFSETS, MoveNetCenterGroup
from models.networks.logocap_movenet import MoveNetLogoCap, config
from models.networks.movenet import KEYPOINTS
from models.networks.weights import load_weights
from models.paths import state_directory
from models.train.movenet_bank import SIDE
from models.train.state import MovingAverage, load, save

FINE = 2
"""Pixels of a cell of the finer heatmaps."""
BELL_SIGMA = 2.5
"""Of the finer map's cells, of the bells at true keypoints."""
BELL_SHARE = 0.5
"""How much of a scene's target is bells; the rest is the map without correction."""
UPSAMPLING_RATE = 1e-3
RATE = 1e-3
WARM_UP_STEPS = 100
EMA_DECAY = 0.998
SAVE_EVERY = 50
DROPPED = 0.06
"""Share of the keypoints' tokens that half of the images lack: photographs have fewer peaks than scenes."""
FARTHEST = 96
"""Cells by which whole images are moved right or down: a photograph is wider or taller than a scene, and what
counts is where tokens lie to each other."""
SIZE = (SIDE // losses.STRIDE + FARTHEST,) * 2
"""Cells of a map that holds all moved images."""
NOISE = 0.2
"""Added to tokens' features in training, in parts of their spread."""
SPREAD_BATCHES = 6
"""From which the features' mean and spread are taken."""
BUCKETS = (4, 6, 9, 12)
"""Tokens of a type; the last is `token_bank.TOKENS`."""
ROOM = 3


def bells(keypoints: Tensor, labelled: Tensor, size: tuple[int, int]) -> Tensor:
    """Bells `[17, h, w]` at the labelled keypoints of an image's people, half a pixel before them."""
    cells = (keypoints - 0.5 - (FINE - 1) / 2) / FINE
    rows, columns = torch.arange(size[0]), torch.arange(size[1])
    made = torch.zeros(KEYPOINTS, *size)
    for person, seen in zip(cells, labelled, strict=True):
        down = torch.exp(-(rows - person[:, 1:]).square() / (2 * BELL_SIGMA**2))
        across = torch.exp(-(columns - person[:, :1]).square() / (2 * BELL_SIGMA**2))
        made = torch.maximum(made, down[:, :, None] * across[:, None] * seen[:, None, None])
    return made


def train_upsampling(
    model: MoveNetCenterGroup, folder: Path, minutes: float, size: int, generator: torch.Generator
) -> None:
    """Trains the correction in place."""
    paths = sorted(folder.glob("*-*-*.pt"))
    model.requires_grad_(False)
    learnt = [*model.upsampling.own.parameters(), *model.upsampling.correct.parameters()]
    for parameter in learnt:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(learnt, UPSAMPLING_RATE, weight_decay=1e-3)
    begun, step = monotonic(), 0
    while (done := (monotonic() - begun) / (60 * minutes)) < 1:
        path = paths[int(torch.randint(len(paths), (), generator=generator))]
        shard = torch.load(path, weights_only=True)
        order = torch.randperm(len(shard["p4"]), generator=generator)
        for chosen in order.split(size):
            features = shard["p4"][chosen].float()
            logits = torch.cat([model.keypoints(features), model.center(features)], 1)
            found = model.upsampling(logits, features).sigmoid()
            target = torch.nn.functional.pixel_shuffle(interpolated(model, logits), 2).sigmoid()
            if path.name.startswith("scenes"):
                for place, number in enumerate(chosen):
                    mine = shard["index"] == number
                    own = bells(shard["keypoints"][mine], shard["labelled"][mine], tuple(found.shape[2:]))
                    target[place, :KEYPOINTS] += BELL_SHARE * (own - target[place, :KEYPOINTS])
            loss = (torch.where(target > 0.02, 1.0, 0.15) * (found - target).square()).mean()
            optimiser.param_groups[0]["lr"] = UPSAMPLING_RATE * 0.5 * (1 + math.cos(math.pi * min(done, 1)))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            step += 1
            if step % 20 == 0:
                print(f"step {step} loss {float(loss.detach()):.6f}", flush=True)


def interpolated(model: MoveNetCenterGroup, logits: Tensor) -> Tensor:
    """The finer logits without correction, the four of a cell as channels."""
    return model.upsampling.interpolate(model.upsampling.bordered(logits))


@dataclass(frozen=True)
class TokenBatch:
    """What the grouping network sees of some images."""

    of_keypoints: Tensor
    of_centers: Tensor
    offsets: Tensor
    tokens: list[Tokens]
    person: Tensor
    people: list[Labels]


class TokenShards:
    """All images of a folder of token shards, by how many tokens of a type are read of them, the highest
    ones: `ROOM` more than people, so that a batch of images with few people costs a fraction."""

    def __init__(self, folder: Path) -> None:
        self.known: set[Path] = set()
        kinds = ("scenes", "photographs")
        self.images: dict[tuple[int, str], list[tuple[dict[str, Tensor], int]]] = {
            (most, kind): [] for most in BUCKETS for kind in kinds
        }
        self.folder = folder
        self.update()

    def update(self) -> None:
        """Reads the shards that have appeared."""
        for path in sorted(set(self.folder.glob("*-*-*.pt")) - self.known):
            shard = torch.load(path, weights_only=True)
            people = torch.bincount(shard["index"], minlength=len(shard["places"]))
            for number, count in enumerate(people.tolist()):
                most = min(bucket for bucket in BUCKETS if bucket >= min(count + ROOM, BUCKETS[-1]))
                self.images[most, path.name.partition("-")[0]].append((shard, number))
            self.known.add(path)

    def draw(self, size: int, share: float, generator: torch.Generator) -> TokenBatch:
        """`size` images of one bucket, `share` of them photographs where there are any."""
        sizes = torch.tensor([float(len(self.images[most, "scenes"])) for most in BUCKETS])
        most = BUCKETS[int(torch.multinomial(sizes, 1, generator=generator))]
        photographs = self.images[most, "photographs"]
        some = round(size * share) if photographs else 0
        items = []
        for kind, count in ((self.images[most, "scenes"], size - some), (photographs, some)):
            numbers = torch.randint(max(len(kind), 1), (count,), generator=generator).tolist()
            items += [kind[number] for number in numbers]

        def stack(name: str) -> Tensor:
            return torch.stack([shard[name][number] for shard, number in items])

        keep = stack("keep")[:, :, :most]
        drop = torch.rand(keep[:, :-1].shape, generator=generator) < DROPPED
        drop &= torch.rand(len(items), 1, 1, generator=generator) < 0.5
        keep = torch.cat([keep[:, :-1] & ~drop, keep[:, -1:]], 1)
        shift = torch.randint(FARTHEST + 1, (len(items), 2), generator=generator) * losses.STRIDE
        shift *= torch.rand(len(items), 2, generator=generator) < 0.5
        people = []
        for moved, (shard, number) in zip(shift, items):
            mine = shard["index"] == number
            people.append(Labels.of(shard["keypoints"][mine] - 0.5 + moved, shard["labelled"][mine]))
        places = stack("places")[:, :, :most].long() + shift[:, None, None]
        of_keypoints = stack("of_keypoints").unflatten(1, (KEYPOINTS, -1))[:, :, :most].flatten(1, 2)
        return TokenBatch(
            of_keypoints.float(),
            stack("of_centers")[:, :most].float(),
            stack("offsets")[:, :most].float(),
            [Tokens(*pair) for pair in zip(places, keep)],
            stack("person")[:, :most].long(),
            people,
        )


class Rows(nn.Module):
    """The network's rows as layers of tokens' features, scaled."""

    def __init__(self, model: MoveNetCenterGroup, scales: dict[str, Tensor]) -> None:
        super().__init__()
        width = model.config.width
        for name, value in scales.items():
            self.register_buffer(name, value)
        self.keypoints = nn.Linear(len(scales["keypoint_mean"]), width)
        self.centers = nn.Linear(len(scales["center_mean"]), width - OFFSETS)

    def forward(self, of_keypoints: Tensor, of_centers: Tensor, offsets: Tensor) -> Tensor:
        """`[B, 17 k, C]`, `[B, k, C]`, `[B, k, 34]` -> rows of all tokens `[B, 18 k, width]`."""
        of_keypoints = (of_keypoints - self.keypoint_mean) / self.keypoint_spread
        of_centers = (of_centers - self.center_mean) / self.center_spread
        if self.training:
            of_keypoints = of_keypoints + NOISE * torch.randn_like(of_keypoints)
            of_centers = of_centers + NOISE * torch.randn_like(of_centers)
        keypoints, centers = self.keypoints(of_keypoints), self.centers(of_centers)
        return torch.cat([keypoints, torch.cat([offsets / OFFSET_SCALE, centers], 2)], 1)

    @torch.no_grad()
    def fold(self, model: MoveNetCenterGroup) -> None:
        """Writes the layers into the network's convolutions."""
        pairs = []
        for layer, mean, spread in (
            (self.keypoints, self.keypoint_mean, self.keypoint_spread),
            (self.centers, self.center_mean, self.center_spread),
        ):
            weight = layer.weight / spread
            pairs.append((weight, layer.bias - weight @ mean))
        (of_keypoints, keypoint_bias), (of_centers, center_bias) = pairs
        first = 0
        for level in model.coarse_rows:
            part = slice(first, first + level.in_channels)
            level.weight.copy_(torch.cat([of_keypoints[:, part], of_centers[:, part]])[:, :, None, None])
            first += level.in_channels
        model.keypoint_rows.weight.copy_(of_keypoints[:, first:, None, None])
        model.keypoint_rows.bias.copy_(keypoint_bias)
        model.center_rows.weight.copy_(of_centers[:, first:, None, None])
        model.center_rows.bias.copy_(center_bias)


def scales_of(shards: TokenShards, generator: torch.Generator) -> dict[str, Tensor]:
    """Mean and spread of the features of tokens that count."""
    of_keypoints, of_centers = [], []
    for _ in range(SPREAD_BATCHES):
        batch = shards.draw(16, 0.3, generator)
        keep = torch.stack([one.keep for one in batch.tokens])
        of_keypoints.append(batch.of_keypoints[keep[:, :-1].flatten(1)])
        of_centers.append(batch.of_centers[keep[:, -1]])
    result = {}
    for name, parts in (("keypoint", of_keypoints), ("center", of_centers)):
        values = torch.cat(parts)
        result[f"{name}_mean"] = values.mean(0)
        result[f"{name}_spread"] = values.std(0).clamp(min=1e-3)
    return result


def objective(
    model: MoveNetCenterGroup, rows: Rows, batch: TokenBatch, weights: Weights
) -> tuple[Tensor, dict[str, float]]:
    """The sum to minimise and its parts."""
    features = rows(batch.of_keypoints, batch.of_centers, batch.offsets)
    groupings, offsets = losses.group_features(model.group_model, features, SIZE, batch.tokens)
    sums: dict[str, Tensor] = {}
    for image, (tokens, person, people) in enumerate(zip(batch.tokens, batch.person, batch.people)):
        parts = losses.image_losses(Grouping(*(part[image] for part in groupings)), tokens, person, people)
        if len(people.extent):
            parts["offset"] = losses.offset_loss(offsets[image], tokens, person, people)
        for name, value in parts.items():
            sums[name] = sums.get(name, torch.zeros(())) + value / len(batch.tokens)
    total = sum((getattr(weights, name) * value for name, value in sums.items()), torch.zeros(()))
    return total, {name: float(value.detach()) for name, value in sums.items()}


def rate_at(step: int, done: float) -> float:
    """The rate after `step` steps and the share `done` of the time."""
    return RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * (0.5 * (1 + math.cos(math.pi * done)) + 0.003)


def train_grouping(
    model: MoveNetCenterGroup, folder: Path, shards: Path, minutes: float, size: int, share: float, seed: int
) -> int:
    """Trains rows and grouping in place, resuming from `folder`; the number of steps taken in all. Shards
    that appear meanwhile are taken as well."""
    read = TokenShards(shards)
    if not any(read.images[most, "scenes"] for most in BUCKETS):
        raise FileNotFoundError(
            f"{shards}: no scenes-*.pt; make them with `python -m models.train.token_bank tokens`"
        )
    generator = torch.Generator().manual_seed(seed)
    kept = load(folder / "checkpoint.pt")
    rows = Rows(model, kept["scales"] if kept else scales_of(read, generator))
    both = nn.ModuleDict({"rows": rows, "group": model.group_model})
    model.requires_grad_(False)
    model.group_model.requires_grad_(True)
    prior = list(model.group_model.prior.linear.parameters())
    others = [one for one in both.parameters() if all(one is not mine for mine in prior)]
    optimiser = torch.optim.AdamW(
        [{"params": others, "share": 1.0}, {"params": prior, "share": 0.1, "weight_decay": 0.0}],
        RATE,
        weight_decay=0.01,
    )
    average, step, before = MovingAverage(both, EMA_DECAY), 0, 0.0
    if kept is not None:
        both.load_state_dict(kept["model"])
        average.values, step, before = kept["average"], kept["step"], kept["seconds"]
        optimiser.load_state_dict(kept["optimiser"])
        generator.manual_seed(1000 * seed + step)
    begun = monotonic() - before
    both.train()
    sums: dict[str, float] = {}
    while (done := (monotonic() - begun) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, done) * group["share"]
        batch = read.draw(size, share, generator)
        total, parts = objective(model, rows, batch, Weights())
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimiser.step()
        average.update(both, step)
        step += 1
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value / SAVE_EVERY
        if step % SAVE_EVERY == 0:
            print(f"step {step}", *(f"{name} {value:.5f}" for name, value in sums.items()), flush=True)
            sums = {}
            keep(folder, model, both, average, optimiser, step, monotonic() - begun, rows)
            read.update()
    keep(folder, model, both, average, optimiser, step, monotonic() - begun, rows)
    return step


def keep(
    folder: Path,
    model: MoveNetCenterGroup,
    both: nn.ModuleDict,
    average: MovingAverage,
    optimiser: torch.optim.Optimizer,
    step: int,
    seconds: float,
    rows: Rows,
) -> None:
    """Writes what resuming and exporting need."""
    scales = dict(rows.named_buffers())
    contents = {"model": both.state_dict(), "average": average.values, "optimiser": optimiser.state_dict()}
    save(folder / "checkpoint.pt", contents | {"step": step, "seconds": seconds, "scales": scales})
    current = {name: value.clone() for name, value in both.state_dict().items()}
    both.load_state_dict(average.values)
    rows.fold(model)
    save(folder / "weights.pt", model.state_dict())
    both.load_state_dict(current)


def main() -> None:
    """Trains."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    state = state_directory()
    parser.add_argument("stage", choices=["upsampling", "grouping"])
    parser.add_argument(
        "--logocap", type=Path, default=state / "logocap-movenet.pt", help="see models.checkpoints.restore"
    )
    parser.add_argument("--state", type=Path, default=state / "centergroup-movenet")
    parser.add_argument("--minutes", type=float, default=60, help="in all, with those of earlier runs")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--photographs", type=float, default=0.25, help="share of the images")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    logocap = MoveNetLogoCap(config())
    load_weights(logocap, options.logocap)
    model = MoveNetCenterGroup.from_logocap(logocap)
    begin = options.state / "upsampling.pt"
    if options.stage == "upsampling":
        generator = torch.Generator().manual_seed(options.seed)
        train_upsampling(model, options.state / "shards", options.minutes, options.batch, generator)
        save(begin, model.state_dict())
        print(f"{begin}: written")
        return
    if begin.exists():
        model.load_state_dict(torch.load(begin, weights_only=True))
    shards = options.state / "shards" / "tokens"
    steps = train_grouping(
        model, options.state, shards, options.minutes, options.batch, options.photographs, options.seed
    )
    print(f"{steps} steps; averaged weights in {options.state / 'weights.pt'}")


if __name__ == "__main__":
    main()
