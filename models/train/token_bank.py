"""What training `centergroup-movenet` begins with: pyramids of generated scenes and unlabelled photographs.

    python -m models.train.token_bank scenes --shards 20
    python -m models.train.token_bank photographs --photographs FOLDER --shards 2
    python -m models.train.token_bank tokens --weights STATE/centergroup-movenet/upsampling.pt

The backbone is never trained, so every image is looked at once and its pyramid kept in float16, beside its
people: the true ones of a scene, those that `movenet_teacher` finds in a photograph. `tokens` then takes of
every image what the grouping network sees of it: the places of its peaks and the features there, a tenth of
the size. Shards that exist are kept, so that the command may be interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models import skeleton
from models.data.people.assets import Assets
from models.data.people.scenes import SceneSampler, SceneStyle
from models.data.people.sprites import Bank
from models.losses import centergroup as losses
from models.networks.centergroup import double
from models.networks.centergroup_movenet import HALF_PIXEL, MoveNetCenterGroup
from models.networks.logocap_movenet import MoveNetLogoCap, config
from models.networks.movenet import KEYPOINTS, STRIDE, MoveNet, MoveNetConfig, normalise
from models.networks.weights import load_weights
from models.paths import state_directory
from models.train.movenet_bank import PER_SHARD, SIDE, Labels, Sample, crop, photographs_in, scene_style
from models.train.state import save

LEVELS = ("p32", "p16", "p8", "p4")
TOKENS = 12
"""Of every type and image; generated crowds have ten people."""
THRESHOLD = 0.1
"""Of peaks, as in the bundle."""
SAME_PERSON, NO_PERSON = 0.4, 0.1
"""A centre whose offsets reach the first OKS with a person is that person's; below the second it belongs
to none; between them it does not count."""
CROWDS = 0.35
"""Of the scenes, besides those of `movenet_bank`."""


def crowded_style(generator: np.random.Generator) -> SceneStyle:
    """Those of `movenet_bank`, and crowds of people who hide each other."""
    if generator.random() > CROWDS:
        return scene_style(generator)
    crowd = (2, 4) if generator.random() < 0.3 else (4, 10)
    return replace(SceneStyle(side=SIDE), crowd_fraction=1.0, crowd=crowd)


def scene(assets: Assets, bank: Bank, generator: np.random.Generator) -> tuple[np.ndarray, Labels, bool]:
    """A generated scene."""
    made = SceneSampler(assets, bank, crowded_style(generator)).sample(generator)
    return made.image, [(one.keypoints, one.labelled, one.area) for one in made.people], False


@torch.no_grad()
def make_shard(model: MoveNetLogoCap, sample: Sample, seed: list[int]) -> dict[str, Tensor]:
    """`PER_SHARD` images as one dictionary of tensors."""
    rows: list[list[Tensor]] = []
    people: list[tuple[int, np.ndarray, np.ndarray, float]] = []
    for number in range(PER_SHARD):
        image, labels, _ = sample(np.random.default_rng([*seed, number]))
        early = model.movenet.early(normalise(torch.from_numpy(image)[None]))
        rows.append([level[0].half() for level in model.movenet.pyramid(*early)])
        people += [(number, *label) for label in labels]
    return {name: torch.stack(parts) for name, parts in zip(LEVELS, zip(*rows))} | {
        "index": torch.tensor([row[0] for row in people]),
        "keypoints": torch.from_numpy(np.array([row[1] for row in people], np.float32)),
        "labelled": torch.from_numpy(np.array([row[2] for row in people], bool)),
        "area": torch.tensor([row[3] for row in people], dtype=torch.float32),
    }


def features(model: MoveNetCenterGroup, pyramid: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What rows are linear in, at stride 4: of keypoints, and of centres behind the offsets."""
    *coarse, fine = pyramid
    wide: list[Tensor] = []
    for level in coarse:
        wide = [double(part) for part in (*wide, level)]
    shared = torch.cat([*wide, fine], 1)
    return (
        torch.cat([shared, model.keypoints.hidden(fine)], 1),
        torch.cat([shared, model.center.hidden(fine)], 1),
    )


def oks(poses: Tensor, keypoints: Tensor, labelled: Tensor, area: Tensor) -> Tensor:
    """`poses [n, 17, 2]` against people -> `[n, people]`."""
    spread = 2 * torch.tensor(skeleton.SIGMAS)
    squared = (poses[:, None] - keypoints).square().sum(-1)
    near = torch.exp(-squared / (2 * spread.square() * area.clamp(min=1)[:, None]))
    return (near * labelled).sum(-1) / labelled.sum(-1).clamp(min=1)


@torch.no_grad()
def tokens_of(model: MoveNetCenterGroup, shard: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the grouping network sees of every image of a shard, and its people."""
    rows = []
    for number in range(len(shard["p4"])):
        pyramid = [shard[name][number : number + 1].float() for name in LEVELS]
        logits = torch.cat([model.keypoints(pyramid[-1]), model.center(pyramid[-1])], 1)
        heat_half = model.upsampling(logits, pyramid[-1]).sigmoid()
        tokens = losses.peaks(heat_half, TOKENS, THRESHOLD)[0]
        of_keypoints, of_centers = features(model, pyramid)
        size = (of_keypoints.shape[-2], of_keypoints.shape[-1])
        seen = losses.read_map(of_keypoints[0], tokens.places[:-1].reshape(-1, 2), size)
        seen_of_centers = losses.read_map(of_centers[0], tokens.places[-1], size)
        offsets = losses.read_map(model.offsets(pyramid[-1])[0], tokens.places[-1], size)
        mine = shard["index"] == number
        area, labelled = shard["area"][mine], shard["labelled"][mine]
        expected = tokens.places[-1][:, None] - (offsets.unflatten(1, (KEYPOINTS, 2)) + HALF_PIXEL) * STRIDE
        person, counted = match(expected, shard["keypoints"][mine] - 0.5, labelled, area)
        rows.append(
            {
                "places": tokens.places.short(),
                "keep": torch.cat([tokens.keep[:-1], (tokens.keep[-1] & counted)[None]]),
                "person": torch.where(tokens.keep[-1], person, -1).short(),
                "of_keypoints": seen.half(),
                "of_centers": seen_of_centers.half(),
                "offsets": offsets.half(),
            }
        )
    made = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return made | {name: shard[name] for name in ("index", "keypoints", "labelled", "area")}


def match(poses: Tensor, keypoints: Tensor, labelled: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """The person of each pose or -1, and whether the pose counts."""
    if not len(area):
        return torch.full((len(poses),), -1), torch.ones(len(poses), dtype=torch.bool)
    best = oks(poses, keypoints, labelled, area).max(1)
    person = torch.where(best.values >= SAME_PERSON, best.indices, -1)
    return person, (best.values >= SAME_PERSON) | (best.values < NO_PERSON)


def main() -> None:
    """Makes shards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    state = state_directory()
    parser.add_argument("kind", choices=["scenes", "photographs", "tokens"])
    parser.add_argument(
        "--logocap", type=Path, default=state / "logocap-movenet.pt", help="see models.checkpoints.restore"
    )
    parser.add_argument(
        "--movenet", type=Path, default=state / "movenet.pt", help="see models.checkpoints.movenet"
    )
    parser.add_argument("--weights", type=Path, help="of grouping_training, for `tokens`")
    parser.add_argument("--photographs", type=Path, help="a folder of photographs without annotations")
    parser.add_argument("--assets", type=Path, default=state / "assets")
    parser.add_argument("--bank", type=Path, default=state / "bank")
    parser.add_argument("--out", type=Path, default=state / "centergroup-movenet" / "shards")
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    logocap = MoveNetLogoCap(config()).eval()
    load_weights(logocap, options.logocap)
    if options.kind == "tokens":
        model = MoveNetCenterGroup.from_logocap(logocap).eval()
        if options.weights:
            model.load_state_dict(torch.load(options.weights, weights_only=True))
        for path in tqdm(sorted(options.out.glob("*-*-*.pt")), unit="shard", disable=None):
            out = path.parent / "tokens" / path.name
            if not out.exists():
                save(out, tokens_of(model, torch.load(path, weights_only=True)))
        return
    sample: Sample | Callable[[np.random.Generator], tuple[np.ndarray, Labels, bool]]
    if options.kind == "scenes":
        sample = partial(scene, Assets.open(options.assets), Bank(options.bank))
    else:
        if options.photographs is None:
            parser.error("--photographs: name the folder")
        teacher = MoveNet(MoveNetConfig.multipose()).eval()
        teacher.load_state_dict(torch.load(options.movenet, weights_only=True))
        sample = partial(crop, photographs_in(options.photographs, teacher))
    for number in tqdm(range(options.shards), unit="shard", disable=None):
        path = options.out / f"{options.kind}-{options.seed:02}-{number:03}.pt"
        if not path.exists():
            save(path, make_shard(logocap, sample, [options.seed, number, len(options.kind)]))


if __name__ == "__main__":
    main()
