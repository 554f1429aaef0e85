"""Official checkpoints to bundles: `make import MODEL=logocap-w32 CKPT=file.pth [FLIP=1] [ASPECT=640x480]`.

    python -m models.checkpoints logocap-w32 file.pth --flip
    python -m models.checkpoints centergroup-w32 file.ckpt --flip
    python -m models.checkpoints capeformer-r50 file.pth

The bundle behaves as the reference implementation does, flaws included. With `--flip` the networks also see
the mirrored image, as the official tests of LOGO-CAP and CenterGroup do. The file is read without running any
code that is pickled in it, and its tensors must be exactly those of the network. Needs no PyTorch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
import zipfile
from pathlib import Path
from typing import Any

from models.checkpoints import layout, template
from models.checkpoints.read import CheckpointError, read
from models.export import bundle
from models.export.simplify import ExportError
from models.paths import BUNDLES
from models.reference.geometry import network_size

MIRRORED = {"logocap", "centergroup"}
"""Whose official tests also see the mirrored image."""


def _aspect(text: str) -> tuple[int, int]:
    width, separator, height = text.partition("x")
    if not (separator and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, such as 640x480")
    return int(width), int(height)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def advice(flip: bool, out: Path, described: dict[str, Any], aspect: tuple[int, int]) -> list[str]:
    """What to know about the bundle, and the command to try it with."""
    folder = shlex.quote(str(out))
    family = described["model"]
    if family == "capeformer":
        return [
            "equals the official test: one image at a time, with the box of the object",
            f"try it: sinew enrol --model {folder} --image IMAGE --keypoints JSON --out OBJECT.template",
        ]
    given = described["input"]
    width, height = network_size(*aspect, given["short_side"], given["multiple"])
    lines = [f"a {aspect[0]}x{aspect[1]} image is run at {width}x{height}, whatever camera it comes from"]
    if flip:
        lines.append(
            "equals the official test, which also sees the mirrored image; that takes twice the time"
        )
    else:
        lines.append(
            "half the cost of the official test, which also sees the mirrored image; FLIP=1 imports that"
        )
    threshold = ""
    if family == "centergroup":
        threshold = " --threshold 0.3"
        lines.append(
            "as in the official test every centre is a pose, up to 30 on any image: --threshold chooses what "
            "is shown"
        )
    return [*lines, f"try it: sinew run --model {folder} --source IMAGE{threshold}"]


def main(arguments: list[str] | None = None) -> int:
    """Imports an official checkpoint as a bundle."""
    layouts = template.layouts()
    parser = argparse.ArgumentParser(prog="make import", description=main.__doc__)
    parser.add_argument("model", choices=template.NAMES, metavar="MODEL", help=", ".join(template.NAMES))
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--aspect", type=_aspect, default=(640, 480), help="an image size to print the network's size for"
    )
    parser.add_argument(
        "--flip", action="store_true", help="also see the mirrored image, as official tests do"
    )
    parser.add_argument(
        "--out", type=Path, help="the bundle's folder (default: models/bundles/NAME-SIZE[-flip])"
    )
    given = parser.parse_args(arguments)
    if given.flip and given.model.partition("-")[0] not in MIRRORED:
        parser.error("FLIP=1: the official test of CapeFormer sees no mirrored image")
    for path in (template.path_of(given.model, flip) for flip in (False, given.flip)):
        if not path.exists():
            parser.error(f"{path}: missing; `python -m models.checkpoints.make_templates` in .venv makes it")
    with zipfile.ZipFile(template.path_of(given.model, False)) as archive:
        described = json.loads(archive.read("bundle.json"))
    side = "" if described["model"] == "capeformer" else f"-{described['input']['short_side']}"
    out = given.out or BUNDLES / f"{given.model}{side}{'-flip' if given.flip else ''}"
    try:
        state = read(given.checkpoint)
        if any(name.startswith(layout.BACKBONES) for name in state):
            state = layout.one_backbone(given.checkpoint, state)
        layout.check(given.checkpoint, state, given.model, layouts)
        options = bundle.Options(
            provenance=f"imported from {given.checkpoint.name}, SHA-256 {_digest(given.checkpoint)}",
            licence="LicenseRef-checkpoint",
        )
        for line in bundle.write(
            template.contents(template.path_of(given.model, given.flip), state), out, options
        ):
            print(line)
    except (CheckpointError, ExportError) as error:
        print(f"import: {error}", file=sys.stderr)
        return 2
    for line in advice(given.flip, out, described, given.aspect):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
