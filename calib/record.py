"""Records what a shipped bundle's networks see, with the program itself.

    python -m calib.record models/bundles/logocap-tiny --out out/calib/logocap-tiny [--frames DIR]

Without frames of your own: people from `tests/data/people-hard`; for a bundle that finds enrolled objects new
images of drawn ones, each kind enrolled from five.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

from models.export.bundle import MANIFEST

PEOPLE = Path("tests/data/people-hard")
OBJECTS_SEED = 7
"""Not the one of tests/data/objects."""


def main() -> int:
    """Runs the commands; the exit code of the first that fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--out", type=Path, required=True, help="a folder that is empty or not there")
    parser.add_argument("--frames", type=Path, help="a folder of images, a video, ...")
    parser.add_argument(
        "--template", type=Path, action="append", default=[], help="of enrolled objects, with --frames"
    )
    parser.add_argument("--sinew", type=Path, default=Path("target/release/sinew"), help="the program")
    arguments = parser.parse_args()
    model = tomllib.loads((arguments.bundle / MANIFEST).read_text())["bundle"]["model"]
    frames, templates = arguments.frames, arguments.template
    if frames is None and model == "capeformer":
        frames = arguments.out.with_name(f"{arguments.out.name}-objects")
        templates = draw(arguments.sinew, arguments.bundle, frames)
    frames = frames or PEOPLE
    command = [str(arguments.sinew), "calib", "record", "--model", str(arguments.bundle)]
    command += ["--source", str(frames), "--out", str(arguments.out)]
    command += [word for template in templates for word in ("--template", str(template))]
    if model == "lofr":
        command += ["--boxes-from", "logocap-tiny"]
    return subprocess.run(command, check=False).returncode


def draw(sinew: Path, bundle: Path, folder: Path) -> list[Path]:
    """Images of drawn objects in `folder`, and a template of each kind beside it."""
    # Drawing needs more packages than the rest.
    from models.data.objects import heldout

    heldout.make(folder, OBJECTS_SEED)
    templates = folder.with_name(f"{folder.name}-templates")
    templates.mkdir(parents=True, exist_ok=True)
    made = []
    for image in sorted(folder.glob("*-1.jpg")):
        template = templates / f"{image.stem.removesuffix('-1')}.template"
        command = [str(sinew), "enrol", "--model", str(bundle), "--out", str(template)]
        # Every keypoint is visible in one of five.
        for shot in sorted(folder.glob(f"{template.stem}-*.jpg"))[:5]:
            command += ["--image", str(shot), "--keypoints", str(folder / "annotations.json")]
        subprocess.run(command, check=True)
        made.append(template)
    return made


if __name__ == "__main__":
    sys.exit(main())
