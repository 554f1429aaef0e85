"""The runtime against LOFR's network: both run for the same people in the same image.

    python -m models.end_to_end.lofr --sinew PROGRAM [--model lofr-r50] [--checkpoint FILE]

Without a checkpoint the weights are random, and the last attention is sharpened, so that it has a highest
cell. Every box becomes a crop of whole pixels, so that no interpolation is involved. Keypoints whose two best
cells are nearly equal could swap by rounding alone; they are skipped and counted, and no more than one in
ten may be.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from models.end_to_end.bottom_up import network_input, noise_image
from models.export import bundle, lofr_bundle
from models.networks.lofr import Lofr, LofrConfig
from models.reference import lofr as reference

CONFIGS = {
    "lofr-tiny": LofrConfig.tiny,
    "lofr-small": LofrConfig.small,
    "lofr-r50": LofrConfig.r50,
    "lofr-w32": LofrConfig.w32,
    "lofr-w48": LofrConfig.w48,
}
TOLERANCE = 1e-3
"""Of positions in parts of the crop's longer side, and of scores."""
MARGIN = 1.25


def network(config: LofrConfig, checkpoint: Path | None) -> Lofr:
    """In eval mode."""
    torch.manual_seed(20)
    model = Lofr(config).eval()
    if checkpoint is not None:
        model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
        return model
    attention = model.decoder[-1].cross_attention
    with torch.no_grad():
        for part in (attention.query, attention.key):
            part.weight.mul_(6.0)
    return model


def boxes_of(config: LofrConfig) -> np.ndarray:
    """`[3, 4]`: boxes whose crops are whole pixels of an image twice as large as a crop."""
    width, height = config.network_width, config.height
    corners = np.array([[0, 0], [width // 2, height // 3], [width - 5, height - 3]])
    middles = corners + np.array([width / 2, height / 2])
    size = np.array([width, height]) / MARGIN
    return np.column_stack([middles - size / 2, np.tile(size, (3, 1))])


@torch.no_grad()
def expected(model: Lofr, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poses `[n, J, 3]` in the image's pixels, and which keypoints `[n, J]` are unclear."""
    config = model.config
    poses, unclear = [], []
    for box in boxes:
        crop = reference.crop_of(box, (config.network_width, config.height), MARGIN)
        left, top = np.round(crop.center - crop.size / 2).astype(int)
        pixels = image[top : top + config.height, left : left + config.network_width]
        result = model(network_input(config, pixels))
        response = result.response[0].numpy()
        poses.append(reference.locate(response, result.presence[0].numpy(), crop))
        best = np.sort(response.reshape(len(response), -1), axis=1)[:, -2:]
        unclear.append(best[:, 1] - best[:, 0] < 1e-4 * best[:, 1])
    return np.stack(poses), np.stack(unclear)


def found(sinew: Path, folder: Path, backend: str) -> np.ndarray:
    """What the program returns for the image and the boxes in a folder: `[n, J, 3]`."""
    lines = folder / "poses.jsonl"
    command = [str(sinew), "run", "--model", str(folder / "bundle"), "--source", str(folder / "image.png")]
    command += ["--boxes", str(folder / "boxes.jsonl"), "--backend", backend, "--sink", f"jsonl:{lines}"]
    subprocess.run([*command, "--threshold", "0", "--quiet"], check=True)
    frames = [json.loads(line) for line in lines.read_text().splitlines()]
    poses = next(frame["poses"] for frame in frames if "poses" in frame)
    return np.array([pose["keypoints"] for pose in poses])


def compare(model: Lofr, sinew: Path, backend: str) -> list[str]:
    """What differs; empty if nothing does."""
    config = model.config
    image = noise_image(2 * config.network_width, 2 * config.height)
    boxes = boxes_of(config)
    poses, unclear = expected(model, image, boxes)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for line in bundle.write(
            lofr_bundle.contents(model), folder / "bundle", bundle.Options("for a comparison")
        ):
            print(line)
        cv2.imwrite(str(folder / "image.png"), image[..., ::-1])
        (folder / "boxes.jsonl").write_text(json.dumps({"name": "image.png", "boxes": boxes.tolist()}) + "\n")
        results = found(sinew, folder, backend)
    if results.shape != poses.shape:
        return [f"results {results.shape}, expected {poses.shape}"]
    # Whatever order they come in.
    distances = np.abs(results[None] - poses[:, None]).mean(axis=(2, 3))
    nearest = distances.argmin(axis=1)
    if len(set(nearest)) < len(poses):
        return ["one result is the nearest of two people"]
    results = results[nearest]
    wrong = []
    if unclear.mean() > 0.1:
        wrong.append(
            f"{unclear.sum()} of {unclear.size} keypoints are unclear: the comparison says too little"
        )
    places = np.abs(results - poses)[..., :2].max(axis=2) / max(config.height, config.network_width)
    scores = np.abs(results - poses)[..., 2]
    for row, keypoint in np.argwhere((places > TOLERANCE) & ~unclear | (scores > TOLERANCE)):
        wrong.append(
            f"person {row}, keypoint {keypoint}: {results[row, keypoint]}, expected {poses[row, keypoint]}"
        )
    print(
        f"{len(results)} people, largest difference {places[~unclear].max():.1e} of the crop, "
        f"{scores.max():.1e} of the score, {unclear.sum()} keypoints skipped"
    )
    return wrong


def main() -> int:
    """Compares; exits with 1 where something differs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--model", choices=sorted(CONFIGS), default="lofr-tiny")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--sinew", type=Path, required=True, help="the program")
    parser.add_argument("--backend", default="tract")
    arguments = parser.parse_args()
    wrong = compare(
        network(CONFIGS[arguments.model](), arguments.checkpoint), arguments.sinew, arguments.backend
    )
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
