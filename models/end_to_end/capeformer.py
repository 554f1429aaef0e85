"""CapeFormer's runtime against the network: enrolment and search with a made-up checkpoint.

    python -m models.end_to_end.capeformer make --out DIR
    python -m models.end_to_end.capeformer check --out DIR --sinew target/release/sinew

`make` writes `checkpoint.pth` (random weights in the official layout), the bundle imported from it, images
with keypoints, and `expected.npz`: what PyTorch and NumPy compute. `check` enrols the images, looks for the
keypoints in another one, and compares: `TOLERANCE` is in sides of the crop. Keypoints whose two best cells
are nearly equal could swap by rounding alone; they are skipped and counted, and no more than one in ten may
be.
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
from torch import Tensor, nn

from models.checkpoints import official as checkpoint
from models.end_to_end.bottom_up import noise_image
from models.export import bundle
from models.networks.capeformer import CapeFormer, CapeFormerConfig, identifiers
from models.reference import capeformer as reference

TOLERANCE = 1e-3
KEYPOINTS = 17
SHOTS = 2
HIDDEN = 5
"""A keypoint that one of the images does not show."""
BOX = (131.0, 80.0, 201.0, 231.0)
"""Its crop lies in the image: black tokens around it would be the most like everything."""
SIZE = (500, 380)


def crop_input(config: CapeFormerConfig, image: np.ndarray, crop: reference.Crop) -> Tensor:
    """The crop of `image`, exact bilinear, black outside, normalised: `[1, 3, 256, 256]`."""
    scale = crop.side / reference.CROP
    places = np.arange(reference.CROP) * scale
    columns, rows = (places + middle - crop.side / 2 for middle in crop.center)
    padded = np.zeros((image.shape[0] + 2, image.shape[1] + 2, 3))
    padded[1:-1, 1:-1] = image

    def taps(along: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first = np.floor(along).astype(int)
        near, far = (np.clip(first + shift + 1, 0, count + 1) for shift in (0, 1))
        return near, far, along - first

    top, bottom, down = taps(rows, image.shape[0])
    left, right, across = taps(columns, image.shape[1])
    across, down = across[None, :, None], down[:, None, None]
    upper = padded[top][:, left] * (1 - across) + padded[top][:, right] * across
    lower = padded[bottom][:, left] * (1 - across) + padded[bottom][:, right] * across
    values = (upper * (1 - down) + lower * down) / 255
    normal = (values - np.array(config.mean)) / np.array(config.std)
    return torch.from_numpy(normal.transpose(2, 0, 1)[None].astype(np.float32))


@torch.no_grad()
def made_up(model: CapeFormer, image: Tensor) -> None:
    """Random statistics, and last layers whose outputs spread as a trained network's do."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.5, 1.0)
    head = model.keypoint_head
    for branch in head.kpt_branch:
        nn.init.normal_(branch.mlp[-1].weight, std=0.3)
    cells = model.encoder_query(image)[0].flatten(1)
    # Cells of a random network are nearly the same: only what tells them apart is let through.
    for layer in (head.input_proj, head.query_proj):
        layer.weight.mul_(4 / (layer.weight.flatten(1) @ cells).std(1).mean())
        layer.bias.copy_(-(layer.weight.flatten(1) @ cells).mean(1))
    # Random attention would make all tokens alike again.
    for layer in head.transformer.encoder.layers:
        layer.self_attn.out_proj.weight.mul_(0.2)


def shot_image(number: int) -> np.ndarray:
    """Smooth noise; every image is another part of one large one."""
    large = noise_image(2 * SIZE[0], 2 * SIZE[1])
    return np.ascontiguousarray(
        large[90 * number : 90 * number + SIZE[1], 70 * number : 70 * number + SIZE[0]]
    )


def make(out: Path) -> None:
    """Writes everything that `check` needs."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(20)
    config = CapeFormerConfig.r50()
    model = CapeFormer(config).eval()
    crop = reference.crop_of(reference.clean_box(BOX, SIZE))
    made_up(model, crop_input(config, shot_image(0), crop))
    state = model.state_dict()
    copies = {
        name.replace("encoder_query.", "encoder_sample.", 1): tensor
        for name, tensor in state.items()
        if name.startswith("encoder_query.")
    }
    torch.save({"meta": {"epoch": 200}, "state_dict": {**copies, **state}}, out / "checkpoint.pth")
    model = checkpoint.load(config, out / "checkpoint.pth")
    assert isinstance(model, CapeFormer)
    for line in bundle.write(checkpoint.contents(model), out / "bundle", bundle.Options("random weights")):
        print(line)

    generator = np.random.default_rng(3)
    features = np.zeros((KEYPOINTS, config.width), np.float32)
    seen = np.ones(KEYPOINTS, bool)
    for shot in range(SHOTS):
        points = generator.uniform((135, 85), (325, 305), (KEYPOINTS, 2)).astype(np.float32)
        visible = np.ones(KEYPOINTS, bool)
        visible[HIDDEN] = shot != 1
        image = shot_image(shot)
        cv2.imwrite(str(out / f"shot-{shot}.png"), image[..., ::-1])
        keypoints = [
            {"name": f"point {k}", "x": float(x), "y": float(y), "visible": bool(visible[k])}
            for k, (x, y) in enumerate(points)
        ]
        (out / f"shot-{shot}.json").write_text(json.dumps({"box": BOX, "keypoints": keypoints}))
        weights, counts = reference.support_weights(crop.to_crop(points), visible)
        with torch.no_grad():
            tokens = model.features(crop_input(config, image, crop))[1][0].numpy()
        features += weights @ tokens / SHOTS
        seen &= counts
    kept = np.flatnonzero(seen)

    image = shot_image(SHOTS)
    cv2.imwrite(str(out / "query.png"), image[..., ::-1])
    (out / "boxes.jsonl").write_text(json.dumps({"name": "query.png", "boxes": [BOX]}))
    identity = identifiers(config.width)[kept]
    bias = torch.zeros(len(kept))
    with torch.no_grad():
        query = model.features(crop_input(config, image, crop))[0][0]
        similarity, memory, refined = model.match(query, torch.from_numpy(features[kept]), identity, bias)
        places = reference.proposals(similarity.numpy().reshape(-1, 8, 8))
        found = model.refine(memory, refined, identity, bias, torch.from_numpy(places)).numpy()
    best = np.sort(similarity.numpy(), axis=1)[:, -2:]
    unclear = best[:, 1] - best[:, 0] < 1e-3 * np.abs(best).max()
    poses = crop.to_image(found)
    np.savez_compressed(out / "expected.npz", poses=poses, unclear=unclear, side=crop.side, kept=kept)
    spread = found.std(0).round(3)
    print(f"{len(kept)} keypoints, {unclear.sum()} unclear, spread over {spread} of the crop")


def check(out: Path, sinew: Path) -> list[str]:
    """Enrols and runs; what differs from `expected.npz`, empty if nothing does."""
    expected = np.load(out / "expected.npz")
    shots: list[str] = []
    for shot in range(SHOTS):
        shots += ["--image", str(out / f"shot-{shot}.png"), "--keypoints", str(out / f"shot-{shot}.json")]
    model, template, lines = (str(out / name) for name in ("bundle", "object.template", "poses.jsonl"))
    run = ["run", "--model", model, "--template", template, "--source", str(out / "query.png")]
    run += ["--boxes", str(out / "boxes.jsonl")]
    for command in (
        ["enrol", "--model", model, *shots, "--out", template],
        [*run, "--sink", f"jsonl:{lines}"],
    ):
        status = subprocess.run([str(sinew), *command], check=False).returncode
        if status != 0:
            return [f"`sinew {' '.join(command)}` ended with exit code {status}"]
    frames = [json.loads(line) for line in Path(lines).read_text().splitlines()]
    found = np.array(next(frame["poses"] for frame in frames if "poses" in frame)[0]["keypoints"])[:, :2]
    if len(found) != len(expected["poses"]):
        return [f"{len(found)} keypoints, expected {len(expected['poses'])}"]
    unclear = expected["unclear"]
    wrong = []
    if unclear.mean() > 0.1:
        wrong.append(
            f"{unclear.sum()} of {unclear.size} keypoints are unclear: the comparison says too little"
        )
    difference = np.abs(found - expected["poses"]).max(1) / expected["side"]
    for keypoint in np.flatnonzero((difference > TOLERANCE) & ~unclear):
        wrong.append(f"keypoint {keypoint}: {found[keypoint]}, expected {expected['poses'][keypoint]}")
    worst = difference[~unclear].max()
    print(f"{len(found)} keypoints, largest difference {worst:.1e} of the crop, {unclear.sum()} skipped")
    return wrong


def main() -> int:
    """Makes the comparison's files, or compares."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("command", choices=["make", "check"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sinew", type=Path, default=Path("target/release/sinew"), help="the program")
    arguments = parser.parse_args()
    if arguments.command == "make":
        make(arguments.out)
        return 0
    wrong = check(arguments.out, arguments.sinew)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
