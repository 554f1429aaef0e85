"""The runtime against the network: a made-up checkpoint goes through import, then both run for the same
image.

    python -m models.end_to_end.bottom_up make --out DIR [--model logocap-w32] [--flip]
    python -m models.end_to_end.bottom_up check --out DIR --sinew target/release/sinew

`make` writes `checkpoint.pth` (random weights in the official layout), the bundle imported from it,
`image.png` and `expected.npz`: what PyTorch and NumPy compute. `check` runs the program on it and
compares. The image has the network's size, so that no interpolation is involved.

Keypoints whose two best cells are nearly equal in the refined map could swap by rounding alone; they are
skipped and counted, and no more than one in ten may be.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from models import skeleton
from models.checkpoints import official as checkpoint
from models.end_to_end import centergroup as end_to_end_centergroup
from models.export import bundle
from models.networks.centergroup import CenterGroup, CenterGroupConfig
from models.networks.lofr import LofrConfig
from models.networks.logocap import KEYPOINTS, LogoCap
from models.reference import geometry, logocap

TOLERANCE = 1e-3
CANDIDATES = 12
"""About as many centres as the made-up network should find."""
LEAST_POSES = 4
"""Fewer poses than this prove nothing."""


def noise_image(width: int, height: int) -> np.ndarray:
    """Smooth coloured noise, `[height, width, 3]` u8."""
    generator = np.random.default_rng(11)
    coarse = generator.uniform(0, 255, (height // 32 + 2, width // 32 + 2, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + generator.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


def network_input(config: checkpoint.Config | LofrConfig, image: np.ndarray) -> Tensor:
    """The image, normalised: `[1, 3, H, W]`."""
    mean, std = np.array(config.mean), np.array(config.std)
    return torch.from_numpy(((image / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32))


@torch.no_grad()
def maps(model: LogoCap, image: Tensor, flip: bool) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """`heatmaps [18, h, w]`, `offsets [34, h, w]` and `embedding [1, C, h, w]` of one image."""
    heatmaps, offsets, embedding = model.forward_backbone(image)
    if not flip:
        return heatmaps[0].numpy(), offsets[0].numpy(), embedding
    mirrored = model.forward_backbone(image.flip(3))
    merged = logocap.merge_flipped(
        torch.cat([heatmaps, mirrored[0]]).numpy(), torch.cat([offsets, mirrored[1]]).numpy()
    )
    return *merged, embedding


@torch.no_grad()
def made_up(model: LogoCap, image: Tensor, flip: bool) -> None:
    """Gives random weights random statistics, and last layers whose outputs spread as a trained network's do.

    Without the second step a random network finds no centre at all, or one in every cell.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)

    def spread(layer: torch.nn.Conv2d, values: Tensor, scale: float) -> None:
        mean, std = values.mean((0, 2, 3)), values.std((0, 2, 3))
        layer.weight.mul_((scale / std)[:, None, None, None])
        layer.bias.sub_(mean).mul_(scale / std)

    for layer in (model.final_layer_cls, model.final_layer_reg, model.joints_mlp[9]):
        torch.nn.init.normal_(layer.weight, std=0.1)
        torch.nn.init.zeros_(layer.bias)
    heatmaps, offsets, embedding = model.forward_backbone(image)
    spread(model.final_layer_cls, heatmaps, 0.3)
    spread(model.final_layer_reg, offsets, 6.0)
    # The best cells of the centre map reach the threshold, the rest stays below zero.
    center = torch.from_numpy(maps(model, image, flip)[0][-1])
    model.final_layer_cls.bias[-1] -= center.flatten().topk(4 * CANDIDATES).values[-1]
    poses = torch.rand(4, KEYPOINTS, 2) * torch.tensor(image.shape[:1:-1])
    first = torch.zeros(4, dtype=torch.long)
    spread(model.joints_mlp[9], model.attraction_maps(embedding, first, poses), 0.4)


def ambiguous(heatmaps: np.ndarray, initial: np.ndarray, kam: np.ndarray) -> np.ndarray:
    """`[n, 17]` bool: keypoints whose three best cells are closer than rounding in the network."""
    settings = logocap.Settings()
    windows = logocap.global_maps(logocap.upsample(heatmaps[:-1], 4), initial, settings)
    refined = logocap.convolve(windows, logocap.kernels(kam, settings)).reshape(*kam.shape[:2], -1)
    best = np.sort(refined, axis=-1)[..., :-4:-1]
    # Zero everywhere is no doubt: both sides take the first two cells.
    return ((best[..., :2] - best[..., 1:]).min(axis=-1) < 3e-5 * best[..., 0]) & (best[..., 0] > 0)


def make_centergroup(out: Path, config: CenterGroupConfig, flip: bool) -> None:
    """Writes everything that `check` needs, for CenterGroup.

    The image has the network's scale, but is padded by 18 pixels on the left and 19 on the right, so that
    masks and positions count.
    """
    width, height = geometry.network_size(640, 480, config.short_side, config.multiple)
    image = noise_image(width - 37, height)
    padded = np.pad(image, ((0, 0), (18, 19), (0, 0)))
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(20)
    model = CenterGroup(config).eval()
    frame = end_to_end_centergroup.Frame((width - 37, height), network_input(config, padded), flip)
    end_to_end_centergroup.made_up(model, frame)
    # As training writes it, and under the older names.
    state = {
        f"module.{name.replace('tr_encoder', 'graph_net')}": value
        for name, value in model.state_dict().items()
    }
    torch.save({"state_dict": state, "epoch": 3}, out / "checkpoint.pth")
    model = checkpoint.load(config, out / "checkpoint.pth")
    options = bundle.Options(provenance="random weights")
    for line in bundle.write(checkpoint.contents(model, flip), out / "bundle", options):
        print(line)
    cv2.imwrite(str(out / "image.png"), image[..., ::-1])
    expected = end_to_end_centergroup.expected(model, frame)
    np.savez_compressed(out / "expected.npz", **expected)
    unclear = expected["ambiguous"]
    print(f"{len(expected['poses'])} poses, {unclear.sum()} of {unclear.size} keypoints unclear")


def make(out: Path, name: str, flip: bool) -> None:
    """Writes everything that `check` needs."""
    config = checkpoint.CONFIGS[name]
    if isinstance(config, CenterGroupConfig):
        make_centergroup(out, config, flip)
        return
    network = geometry.network_size(640, 480, config.short_side, config.multiple)
    image = noise_image(*network)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(20)
    model = LogoCap(config).eval()
    inputs = network_input(config, image)
    made_up(model, inputs, flip)
    torch.save(model.state_dict(), out / "checkpoint.pth")
    model = checkpoint.load(config, out / "checkpoint.pth")
    options = bundle.Options(provenance="random weights")
    for line in bundle.write(checkpoint.contents(model, flip), out / "bundle", options):
        print(line)
    cv2.imwrite(str(out / "image.png"), image[..., ::-1])
    heatmaps, offsets, embedding = maps(model, inputs, flip)
    settings = logocap.Settings()
    centers = logocap.find_centers(logocap.upsample(heatmaps[-1], 4), settings)
    poses = torch.from_numpy(logocap.initial_poses(offsets, centers, settings))
    first = torch.zeros(len(poses), dtype=torch.long)
    with torch.no_grad():
        kam = model.attraction_maps(embedding, first, poses).numpy()
    result = logocap.decode(heatmaps, offsets, kam, network)
    alive = result.refined_poses[..., 2].mean(axis=1) > 0
    unclear = ambiguous(heatmaps, result.initial_poses, kam)[alive][result.keep]
    np.savez_compressed(
        out / "expected.npz",
        image_size=np.array(network, np.int32),
        heatmaps=heatmaps,
        offsets=offsets,
        kam=kam,
        centers=result.centers,
        initial_poses=result.initial_poses,
        refined_poses=result.refined_poses.astype(np.float32),
        scores=result.scores.astype(np.float32),
        poses=result.poses,
        keep=result.keep,
        ambiguous=unclear,
    )
    doubt = f"{unclear.sum()} of {unclear.size} keypoints unclear"
    print(f"{len(centers)} centres, {len(result.poses)} poses, {doubt}")


def check(out: Path, sinew: Path, backend: str) -> list[str]:
    """Runs the program on the image; what differs from `expected.npz`, empty if nothing does."""
    expected = np.load(out / "expected.npz")
    lines = out / "poses.jsonl"
    command = [str(sinew), "run", "--model", str(out / "bundle"), "--source", str(out / "image.png")]
    command += ["--backend", backend, "--sink", f"jsonl:{lines}"]
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        return [f"`{' '.join(command)}` ended with exit code {status}"]
    frames = [json.loads(line) for line in lines.read_text().splitlines()]
    poses = next(frame["poses"] for frame in frames if "poses" in frame)
    keypoints = expected["poses"].shape[1]
    found = np.array([pose["keypoints"] for pose in poses]).reshape(-1, keypoints, 3)
    scores = np.array([pose["score"] for pose in poses])
    wrong = []
    if len(found) != len(expected["poses"]):
        wrong.append(f"{len(found)} poses, expected {len(expected['poses'])}")
    unclear = expected["ambiguous"]
    if len(unclear) < LEAST_POSES:
        wrong.append(f"only {len(unclear)} poses are expected: the comparison says too little")
    elif unclear.mean() > 0.1:
        wrong.append(
            f"{unclear.sum()} of {unclear.size} keypoints are unclear: the comparison says too little"
        )
    worst = 0.0
    for row, pose in enumerate(expected["poses"]):
        score = expected["scores"][expected["keep"][row]]
        # In whatever order: the one that is most like it, scores included, for people may share keypoints.
        distance = [np.abs(other - pose)[~unclear[row]].mean() for other in found]
        if not distance:
            break
        other = int(np.argmin(distance))
        difference = np.abs(found[other] - pose)[~unclear[row]]
        worst = max(worst, float(difference.max(initial=0)))
        for keypoint in np.flatnonzero((np.abs(found[other] - pose).max(axis=1) > TOLERANCE) & ~unclear[row]):
            name = skeleton.of(keypoints).names[keypoint]
            wrong.append(f"pose {row}, {name}: {found[other][keypoint]}, expected {pose[keypoint]}")
        if not unclear[row].any() and abs(scores[other] - score) > TOLERANCE:
            wrong.append(f"pose {row}: score {scores[other]}, expected {score}")
    print(f"{len(found)} poses, largest difference {worst:.1e}, {unclear.sum()} keypoints skipped")
    return wrong


def main() -> int:
    """Makes the comparison's files, or compares."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("--out", type=Path, required=True)
    making.add_argument("--model", choices=sorted(checkpoint.CONFIGS), default="logocap-w32")
    making.add_argument("--flip", action="store_true")
    checking = commands.add_parser("check")
    checking.add_argument("--out", type=Path, required=True)
    checking.add_argument("--sinew", type=Path, required=True, help="the program")
    checking.add_argument("--backend", default="tract")
    arguments = parser.parse_args()
    if arguments.command == "make":
        make(arguments.out, arguments.model, arguments.flip)
        return 0
    wrong = check(arguments.out, arguments.sinew, arguments.backend)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
