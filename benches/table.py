"""What the parts of `performance.py` share: a line of its table, and the program that is measured."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import side_by_side

from calib.measure import library

ROOT = side_by_side.ROOT
BUNDLES = ROOT / "models/bundles"
FRAMES = ROOT / "tests/data/people"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    against: str
    reach: str
    found: str
    reached: bool | None
    """Nothing where no limit is set."""


class Program:
    """`sinew`, on one core with one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = os.environ | {"SINEW_ONNXRUNTIME_LIBRARY": str(library())}

    def run(self, *arguments: str) -> str:
        """What it prints."""
        command = [str(self.path), *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def bench(self, backend: str, *arguments: str, frames: int = 30, camera: str = "1280x720") -> dict:
        """Milliseconds by stage; sizes of the network's input are the bundle's for such frames."""
        common = ["--as-camera", camera, "--threads", "1", "--frames", str(frames), "--json"]
        common += ["--backend", backend]
        return json.loads(self.run("bench", *common, *arguments))["milliseconds"]


def peer_session(path: Path) -> onnxruntime.InferenceSession:
    """ONNX Runtime itself, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
