"""Rows of `performance.py` about the networks alone: tract, our ONNX Runtime backend, ONNX Runtime."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import side_by_side
import torch
from table import BUNDLES, FRAMES, ROOT, Program, Row, peer_session

from calib import __main__ as calib
from models.export import bundle, capeformer_bundle, logocap_bundle
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.networks.logocap import LogoCap, LogoCapConfig


def model_arguments(template: Path) -> dict[str, list[str]]:
    """How each bundle is run over the same images."""
    return {
        "logocap-tiny, level none": ["--model", "logocap-tiny", "--level", "none"],
        "centergroup-tiny": ["--model", "centergroup-tiny"],
        "capeformer-tiny, one template": ["--model", "capeformer-tiny", "--template", str(template)],
        "lofr-tiny, one box": ["--model", "lofr-tiny"],
    }


def enrolled(program: Program, model: Path, folder: Path) -> Path:
    """A template of one image's object."""
    objects, template = ROOT / "tests/data/objects", folder / "scissors.template"
    of = ["--image", str(objects / "scissors-1.jpg"), "--keypoints", str(objects / "annotations.json")]
    program.run("enrol", "--model", str(model), *of, "--out", str(template))
    return template


def backend_rows(
    program: Program,
    name: str,
    reach: float | None,
    arguments: list[str],
    *,
    frames: int = 30,
    camera: str = "1280x720",
) -> Iterator[Row]:
    """One network on tract and on our ONNX Runtime backend, where a ratio is to `reach` at int8 too."""
    cases = [("tract", "fp32"), ("onnxruntime", "fp32")]
    if reach is not None:
        cases.append(("onnxruntime", "int8"))
    times: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for _ in range(3):
        for (backend, precision), found in times.items():
            stages = program.bench(
                backend, "--precision", precision, *arguments, frames=frames, camera=camera
            )
            found.append(stages["network"]["p50"])
    middle = {case: float(np.median(found)) for case, found in times.items()}
    tract, ours = middle["tract", "fp32"], middle["onnxruntime", "fp32"]
    yield Row(
        f"network, {name}",
        "our ONNX Runtime backend",
        "as near as it gets",
        f"tract takes {tract / ours:.2f} times as long: {tract:.1f} and {ours:.1f} ms",
        None,
    )
    if reach is not None:
        int8 = middle["onnxruntime", "int8"]
        yield Row(
            f"int8 on a CPU, {name}",
            "fp32 on the same, our ONNX Runtime backend",
            f">= {reach}x",
            f"{ours / int8:.2f}x: {int8:.1f} and {ours:.1f} ms",
            ours / int8 >= reach,
        )


def large_rows(program: Program) -> Iterator[Row]:
    """The same for networks of the papers' widths. Their weights are random, which the time does not see."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        torch.manual_seed(0)
        resnet = folder / "capeformer-r50"
        options = bundle.Options("random weights")
        things = CapeFormer(CapeFormerConfig.r50()).eval()
        list(bundle.write(capeformer_bundle.contents(things), resnet, options))
        template = enrolled(program, resnet, folder)
        frames = folder / "frames"
        frames.mkdir()
        for path in sorted(FRAMES.glob("*.jpg"))[:8]:
            (frames / path.name).symlink_to(path)
        recorded = folder / "recorded"
        record = [sys.executable, "-m", "calib.record", str(resnet), "--out", str(recorded)]
        record += ["--frames", str(frames), "--template", str(template), "--sinew", str(program.path)]
        subprocess.run(record, cwd=ROOT, env=program.environment, check=True, stdout=subprocess.DEVNULL)
        manifest = tomllib.loads((resnet / bundle.MANIFEST).read_text())
        calib.make(resnet, manifest, recorded, "minmax")
        of = ["--source", str(frames), "--warm-up", "1", "--model", str(resnet), "--template", str(template)]
        name = "CapeFormer with ResNet-50, 256x256, one template"
        yield from backend_rows(program, name, 2.5, of, frames=8)
        hrnet = folder / "logocap-w32"
        model = LogoCap(LogoCapConfig.w32()).eval()
        list(bundle.write(logocap_bundle.contents(model), hrnet, options))
        of = ["--source", str(frames), "--warm-up", "1", "--model", str(hrnet), "--level", "none"]
        name = "LOGO-CAP with HRNet-W32, 512x512"
        yield from backend_rows(program, name, None, of, frames=2, camera="512x512")


def network_rows(program: Program) -> Iterator[Row]:
    """The networks by themselves: tract, our ONNX Runtime backend, ONNX Runtime from Python."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        cases = model_arguments(enrolled(program, BUNDLES / "capeformer-tiny", folder))
        for name, arguments in cases.items():
            yield from backend_rows(program, name, 1.3, ["--source", str(FRAMES), *arguments])
    for name, path, shape, arguments in (
        ("logocap-tiny's backbone", "logocap-tiny/backbone.onnx", (1, 3, 288, 512), ["--level", "none"]),
        ("lofr-tiny", "lofr-tiny/pose.onnx", (1, 3, 128, 96), []),
    ):
        session = peer_session(BUNDLES / path)
        image = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        run = functools.partial(session.run, None, {"image": image})
        of = ["--source", str(FRAMES), "--model", path.partition("/")[0], *arguments]
        ours, peer = [], []
        for _ in range(3):
            ours.append(program.bench("onnxruntime", *of)["network"]["p50"])
            peer.append(side_by_side.median_milliseconds(run, 30))
        ratio = float(np.median(ours) / np.median(peer))
        yield Row(
            f"our ONNX Runtime backend, {name}",
            "ONNX Runtime from Python, fp32",
            "<= 1.05x",
            f"{ratio:.2f}x: {np.median(ours):.1f} and {np.median(peer):.1f} ms",
            ratio <= 1.05,
        )
