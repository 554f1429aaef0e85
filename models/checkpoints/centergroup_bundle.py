"""Rebuilds `centergroup-movenet`'s first network from MoveNet's package and our trained weights.

    python -m models.checkpoints.centergroup_bundle [--package FOLDER] [--out FILE]

As `models.checkpoints.movenet_bundle` does for `logocap-movenet`, whose backbone and heads these are.
"""

from __future__ import annotations

import sys
from pathlib import Path

from models.checkpoints import movenet
from models.checkpoints.movenet_bundle import fill, movenet_command
from models.checkpoints.rebuild import check_equal
from models.export.centergroup_graphs import backbone_graph
from models.export.exporter import export
from models.networks.centergroup_movenet import MoveNetCenterGroup
from models.networks.logocap_movenet import MoveNetLogoCap
from models.paths import BUNDLES

BUNDLE = BUNDLES / "centergroup-movenet"


def assemble(package: Path, graph: Path) -> MoveNetCenterGroup:
    """The network in eval mode, see `fill`; grouping, which the graph does not hold, stays random."""
    logocap = MoveNetLogoCap.from_movenet(movenet.load(package / movenet.FILE))
    model = MoveNetCenterGroup.from_logocap(logocap)
    fill(model, graph, "group_model.")
    return model.eval()


def rebuild(package: Path, graph: Path, out: Path) -> None:
    """Writes the graph that `package` and the trained weights in `graph` make to `out`.

    Raises `RebuildError` if it is not `graph`, byte for byte.
    """
    export(backbone_graph(assemble(package, graph)), out)
    check_equal(out, graph)


def main() -> int:
    """Runs the command; the exit code."""
    return movenet_command(__doc__, BUNDLE, rebuild)


if __name__ == "__main__":
    sys.exit(main())
