"""Exports a network trained here as a bundle.

    python -m models.export logocap-tiny --checkpoint models/state/logocap-tiny/weights.pt \\
        --out models/bundles/logocap-tiny
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from models.export import (
    bundle,
    capeformer_bundle,
    centergroup_bundle,
    float16_weights,
    lofr_bundle,
    logocap_bundle,
)
from models.export.capeformer_graphs import narrowed
from models.networks import centergroup_movenet, logocap_movenet
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.networks.centergroup import CenterGroup, CenterGroupConfig, Grouper
from models.networks.centergroup_movenet import MoveNetCenterGroup
from models.networks.lofr import Lofr, LofrConfig
from models.networks.logocap import LogoCap, LogoCapConfig
from models.networks.logocap_movenet import MoveNetLogoCap
from models.networks.weights import load_weights

MOVENET_ORIGIN = (
    "MoveNet MultiPose Lightning (Google, Apache-2.0; COCO and Active), trained further with a second "
    "stage on generated people and unlabelled photographs; see REPORT.md"
)

CENTERGROUP_ORIGIN = (
    "MoveNet MultiPose Lightning (Google, Apache-2.0; COCO and Active) as logocap-movenet has it, under a "
    "grouping network trained on generated people and unlabelled photographs; see REPORT.md"
)

LITE0_ORIGIN = (
    "EfficientNet-Lite0 (Google, Apache-2.0; ImageNet) as it is, under a matcher trained on generated "
    "images and cut-out photographs; see REPORT.md"
)


def main() -> None:
    """Exports a network trained here as a bundle."""
    networks = {
        "logocap-tiny": lambda: LogoCap(LogoCapConfig.tiny()),
        "logocap-movenet": lambda: MoveNetLogoCap(logocap_movenet.config()),
        "centergroup-tiny": lambda: CenterGroup(CenterGroupConfig.tiny()),
        "centergroup-movenet": lambda: MoveNetCenterGroup(centergroup_movenet.config()),
        "capeformer-lite0": lambda: CapeFormer(CapeFormerConfig.lite0()),
        "capeformer-tiny": lambda: CapeFormer(CapeFormerConfig.tiny()),
        "lofr-tiny": lambda: Lofr(LofrConfig.tiny()),
        "lofr-r50": lambda: Lofr(LofrConfig.r50()),
        "lofr-w32": lambda: Lofr(LofrConfig.w32()),
        "lofr-w48": lambda: Lofr(LofrConfig.w48()),
    }
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", choices=sorted(networks))
    parser.add_argument("--checkpoint", type=Path, help="training state; without it the weights are random")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument(
        "--flip",
        action="store_true",
        help="LOGO-CAP: average with the mirrored image, at twice the cost",
    )
    parser.add_argument("--sampling", choices=["gather", "grid-sample"], default="gather")
    parser.add_argument("--version", type=int, default=1, help="of the bundle's contents")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = networks[arguments.model]().eval()
    if arguments.checkpoint:
        load_weights(model, arguments.checkpoint)
    licence, origin = "MIT OR Apache-2.0", "trained on generated images; see REPORT.md"
    if isinstance(model, MoveNetLogoCap | MoveNetCenterGroup):
        # Published as float16, and stored so: what is trained is rounded too.
        model.load_state_dict(float16_weights.rounded(model.state_dict()))
    if isinstance(model, MoveNetLogoCap):
        licence, origin = "Apache-2.0", MOVENET_ORIGIN
        contents = logocap_bundle.contents(
            model, logocap_bundle.Decode.movenet(), arguments.flip, arguments.sampling
        )
    elif isinstance(model, LogoCap):
        contents = logocap_bundle.contents(model, flip=arguments.flip, sampling=arguments.sampling)
    elif isinstance(model, MoveNetCenterGroup):
        licence, origin = "Apache-2.0", CENTERGROUP_ORIGIN
        contents = centergroup_bundle.contents(model, centergroup_bundle.Decode.movenet())
    elif isinstance(model, Grouper):
        contents = centergroup_bundle.contents(model)
    elif isinstance(model, CapeFormer):
        if model.config.backbone == "lite0":
            model = narrowed(model)
            licence, origin = "Apache-2.0", LITE0_ORIGIN
        contents = capeformer_bundle.contents(model)
    else:
        contents = lofr_bundle.contents(model)
    if not arguments.checkpoint:
        origin = "random weights"
    options = bundle.Options(version=arguments.version, provenance=origin, licence=licence)
    for line in bundle.write(contents, arguments.out, options):
        print(line)


if __name__ == "__main__":
    main()
