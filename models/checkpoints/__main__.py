"""Official checkpoints to bundles."""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from models.checkpoints.official import CONFIGS, contents, load
from models.checkpoints.read import CheckpointError
from models.export import bundle
from models.export.exporter import ExportError
from models.networks.capeformer import CapeFormerConfig
from models.networks.logocap import LogoCapConfig
from models.paths import BUNDLES
from models.reference.geometry import network_size


def _aspect(text: str) -> tuple[int, int]:
    width, separator, height = text.partition("x")
    if not (separator and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, such as 640x480")
    return int(width), int(height)


def main() -> int:
    """Imports an official checkpoint as a bundle."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", choices=sorted(CONFIGS))
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--aspect", type=_aspect, default=(640, 480), help="the camera's picture, WIDTHxHEIGHT"
    )
    parser.add_argument(
        "--flip",
        action="store_true",
        help="LOGO-CAP: average with the mirrored picture, as the reference does",
    )
    parser.add_argument("--sampling", choices=["gather", "grid-sample"], default="gather")
    parser.add_argument(
        "--out", type=Path, help="the bundle's folder (default: models/bundles/NAME-SIZE[-flip])"
    )
    arguments = parser.parse_args()
    config = CONFIGS[arguments.model]
    if arguments.flip and not isinstance(config, LogoCapConfig):
        parser.error("--flip is for LOGO-CAP; CenterGroup's reference groups the mirrored picture by itself")
    side = "" if isinstance(config, CapeFormerConfig) else f"-{config.short_side}"
    name = config.name + side + ("-flip" if arguments.flip else "")
    out = arguments.out or BUNDLES / name
    try:
        model = load(config, arguments.checkpoint)
        digest = hashlib.sha256(arguments.checkpoint.read_bytes()).hexdigest()
        options = bundle.Options(
            provenance=f"imported from {arguments.checkpoint.name}, SHA-256 {digest}",
            licence="LicenseRef-checkpoint",
        )
        made = contents(model, arguments.flip, arguments.sampling)
        for line in bundle.write(made, out, options):
            print(line)
    except (CheckpointError, ExportError) as error:
        print(f"import: {error}", file=sys.stderr)
        return 2
    if isinstance(config, CapeFormerConfig):
        print(f"try it: sinew enrol --model {out} --image PICTURE --keypoints JSON --out THING.template")
        return 0
    width, height = network_size(*arguments.aspect, config.short_side, config.multiple)
    picture = "x".join(str(side) for side in arguments.aspect)
    print(f"a picture of {picture} goes through the network at {width}x{height}")
    print(f"try it: sinew run --model {out} --source PICTURE")
    return 0


if __name__ == "__main__":
    sys.exit(main())
