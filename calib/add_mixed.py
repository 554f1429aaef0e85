"""Adds to a bundle the graphs that are INT8 and FP16, made of the int8 and fp16 graphs that it has.

    python -m calib.add_mixed models/bundles/logocap-tiny [--sinew target/release/sinew]

Nothing is calibrated again, and nothing recorded: `make calib` makes all graphs anew, these among them.
Accuracy is measured first and compared with the manifest's fp32 figures; exit code 1, and the bundle as it
was, where it drops by more than the bundle allows.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from calib import graphs, measure, mixed
from calib.__main__ import ALLOWED_DROP, install, record, variant
from calib.recipe import place, recipe_of
from models.export.bundle import MANIFEST, dump

PRECISION = "int8_fp16"


def main() -> int:
    """Runs the command; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--sinew", type=Path, default=Path("target/release/sinew"), help="the program")
    parser.add_argument("--threads", type=int, default=0, help="for measuring; 0 is one per core")
    arguments = parser.parse_args()

    manifest = tomllib.loads((arguments.bundle / MANIFEST).read_text())
    allowed = manifest.get("int8", {}).get("allowed_drop", ALLOWED_DROP[PRECISION])
    with tempfile.TemporaryDirectory(dir=arguments.bundle.parent, prefix=".calib-") as directory:
        trial = Path(directory) / arguments.bundle.name
        shutil.copytree(arguments.bundle, trial)
        if not add(trial, manifest):
            parser.error(f"{arguments.bundle}: no network has an int8 graph; `make calib` makes them")
        (trial / MANIFEST).write_text(dump(manifest))
        folder = variant(trial, manifest, PRECISION, Path(directory) / PRECISION / trial.name)
        figures = manifest.get("accuracy", [])
        rows = []
        for row in measure.measure(arguments.sinew, {PRECISION: folder}, figures, arguments.threads):
            row.values["fp32"] = fp32_figure(figures, row)
            rows.append(row)
            print(
                f"{row.metric} {row.data} {row.level or ''}  fp32 {row.values['fp32']:.4f}  "
                f"{PRECISION} {row.values[PRECISION]:.4f}  drop {row.drop(PRECISION):+.2f}, "
                f"allowed {allowed}",
                flush=True,
            )
        if not rows or any(row.drop(PRECISION) > allowed for row in rows):
            print(f"{arguments.bundle} stays as it was", file=sys.stderr)
            return 1
        record(manifest, rows)
        install(trial, arguments.bundle, manifest)
    return 0


def add(folder: Path, manifest: dict[str, Any]) -> int:
    """Makes the graphs in `folder` and names them in `manifest`; how many."""
    about = manifest["bundle"]
    made = 0
    for role, engine in manifest["engine"].items():
        files = engine["precision"]
        if "int8" not in files:
            continue
        original, quantised, halved = (folder / files[name]["onnx"] for name in ("fp32", "int8", "fp16"))
        placement = place(recipe_of(about["name"], about["model"], role), graphs.load(original).graph)
        target = original.with_suffix(".int8-fp16.onnx")
        mixed.mix(original, quantised, halved, placement, target)
        files[PRECISION] = {
            "onnx": target.name,
            "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        }
        made += 1
    return made


def fp32_figure(figures: list[dict[str, Any]], row: measure.Row) -> float:
    """What the manifest says of fp32 for the same measure."""
    key = (row.metric, row.data, row.level, "fp32")
    return next(
        float(figure["value"])
        for figure in figures
        if (figure["metric"], figure["data"], figure.get("level"), figure["precision"]) == key
    )


if __name__ == "__main__":
    sys.exit(main())
