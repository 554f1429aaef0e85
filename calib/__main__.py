"""Makes the int8 and fp16 graphs of a bundle, measures them, and fails where they lose too much.

    python -m calib models/bundles/logocap-tiny --recorded recorded/logocap-tiny [--json]

`make calib BUNDLE=logocap-tiny` records the frames first. Nothing is put into the bundle before it is
measured; the manifest then gets the files and the figures. Exit code 1 where int8 or fp16 loses more than the
bundle allows.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from calib import graphs, measure, mixed
from calib.recipe import place, recipe_of
from models.export.bundle import MANIFEST, dump

ALLOWED_DROP = {"fp16": 0.5, "int8": 1.0, "int8_fp16": 1.0, "int8_cpu": 1.0}
"""Points of the metric."""


def main() -> int:
    """Runs the command; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--recorded", type=Path, required=True, help="what `sinew calib record` wrote")
    parser.add_argument("--sinew", type=Path, default=Path("target/release/sinew"), help="the program")
    parser.add_argument(
        "--method", choices=list(graphs.METHODS), default="entropy", help="how ranges are chosen"
    )
    parser.add_argument("--threads", type=int, default=0, help="for measuring; 0 is one per core")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()

    manifest = tomllib.loads((arguments.bundle / MANIFEST).read_text())
    if not manifest.get("accuracy"):
        parser.error(
            f"{arguments.bundle / MANIFEST}: [[accuracy]] is missing, and says what to measure; "
            "`python -m models.export.bundle accuracy` writes one, with what `sinew eval` found"
        )
    with tempfile.TemporaryDirectory(dir=arguments.bundle.parent, prefix=".calib-") as directory:
        trial = Path(directory) / arguments.bundle.name
        shutil.copytree(arguments.bundle, trial)
        layers = make(trial, manifest, arguments.recorded, arguments.method)
        rows = []
        folders = dict.fromkeys(measure.PRECISIONS, trial)
        for precision in ("int8", "int8_fp16"):
            folders[precision] = variant(trial, manifest, precision, Path(directory) / precision / trial.name)
        for row in measure.measure(arguments.sinew, folders, manifest["accuracy"], arguments.threads):
            rows.append(row)
            print(describe(row), file=sys.stderr)
        drop = manifest.get("int8", {}).get("allowed_drop", ALLOWED_DROP["int8"])
        allowed = ALLOWED_DROP | dict.fromkeys(("int8", "int8_fp16", "int8_cpu"), drop)
        report(arguments.bundle.name, layers, rows, allowed, arguments.json)
        too_much = [
            (row, precision)
            for row in rows
            for precision in ALLOWED_DROP
            if row.drop(precision) > allowed[precision]
        ]
        if too_much:
            for row, precision in too_much:
                print(
                    f"{row.metric} on {row.data}: {precision} loses {row.drop(precision):.2f} points, "
                    f"allowed {allowed[precision]:.1f}; the bundle stays as it was",
                    file=sys.stderr,
                )
            return 1
        record(manifest, rows)
        install(trial, arguments.bundle, manifest)
    return 0


def make(folder: Path, manifest: dict[str, Any], recorded: Path, method: str) -> list[dict[str, Any]]:
    """Writes the graphs into `folder` and names them in `manifest`; what became of each network."""
    layers = []
    for role, engine in manifest["engine"].items():
        recipe = recipe_of(manifest["bundle"]["name"], manifest["bundle"]["model"], role)
        original = folder / engine["precision"]["fp32"]["onnx"]
        placement = place(recipe, graphs.load(original).graph)
        made = {}
        if placement.quantised:
            target = original.with_suffix(".int8.onnx")
            graphs.quantise(original, recorded / role, placement, target, method)
            made["int8"] = target
            made["int8_cpu"] = original.with_suffix(".int8-cpu.onnx")
            graphs.quantise_for_cpu(original, recorded / role, placement, made["int8_cpu"], recipe.seven_bits)
        made["fp16"] = original.with_suffix(".fp16.onnx")
        graphs.halve(original, placement, made["fp16"])
        if placement.quantised:
            made["int8_fp16"] = original.with_suffix(".int8-fp16.onnx")
            mixed.mix(original, made["int8"], made["fp16"], placement, made["int8_fp16"])
        engine["precision"] = {"fp32": engine["precision"]["fp32"]}
        for precision in sorted(made):
            path = made[precision]
            engine["precision"][precision] = {
                "onnx": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        layers.append(
            {
                "role": role,
                "quantised": len(placement.quantised),
                "float": placement.kept if placement.quantised else "all",
                "why": recipe.why,
                "differences": {
                    precision: graphs.difference(original, path, recorded / role)
                    for precision, path in made.items()
                },
                "bytes": {precision: path.stat().st_size for precision, path in made.items()},
            }
        )
    (folder / MANIFEST).write_text(dump(manifest))
    return layers


def variant(trial: Path, manifest: dict[str, Any], precision: str, folder: Path) -> Path:
    """A copy of the bundle in which ONNX Runtime finds no other quantised graphs than those of `precision`.

    Networks that have none of it take their fp16 graph where that is what TensorRT would take.
    """
    shutil.copytree(trial, folder)
    signed = copy.deepcopy(manifest)
    for engine in signed["engine"].values():
        files = engine["precision"]
        kept = files.get(precision)
        for name in ("int8", "int8_fp16", "int8_cpu"):
            files.pop(name, None)
        if kept:
            files[precision] = kept
        elif precision == "int8_fp16" and "fp16" in files:
            files["int8"] = files["fp16"]
    (folder / MANIFEST).write_text(dump(signed))
    return folder


def describe(row: measure.Row) -> str:
    """One line of progress."""
    values = "  ".join(f"{precision} {value:.4f}" for precision, value in row.values.items())
    return f"{row.metric} {row.data} {row.level or ''}  {values}"


def report(
    name: str, layers: list[dict[str, Any]], rows: list[measure.Row], allowed: dict[str, float], as_json: bool
) -> None:
    """The tables, as Markdown or as JSON."""
    if as_json:
        measured = [
            {"metric": row.metric, "data": row.data, "level": row.level, "values": row.values} for row in rows
        ]
        print(
            json.dumps(
                {"bundle": name, "networks": layers, "accuracy": measured, "allowed": allowed}, indent=2
            )
        )
        return
    print("| network | quantised | float | why | rms difference int8, int8 with fp16, int8 on CPUs, fp16 |")
    print("|---|---|---|---|---|")
    for layer in layers:
        kept = layer["float"] if isinstance(layer["float"], str) else len(layer["float"])
        found = layer["differences"]
        kinds = ("int8", "int8_fp16", "int8_cpu")
        quantised = [f"{found[name]:.3f}" if name in found else "-" for name in kinds]
        differences = ", ".join([*quantised, f"{found['fp16']:.4f}"])
        print(f"| {layer['role']} | {layer['quantised']} | {kept} | {layer['why']} | {differences} |")
    print()
    print(
        "| measure | data | level | fp32 | fp16 | int8 | int8 with fp16 | int8 on CPUs "
        f"| drop fp16 (<= {allowed['fp16']}) | drop int8 (<= {allowed['int8']}) | with fp16 | on CPUs |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        values = " | ".join(f"{row.values[precision]:.4f}" for precision in measure.PRECISIONS)
        drops = " | ".join(f"{row.drop(precision):+.2f}" for precision in ALLOWED_DROP)
        print(f"| {row.metric} | {row.data} | {row.level or '-'} | {values} | {drops} |")


def record(manifest: dict[str, Any], rows: list[measure.Row]) -> None:
    """Puts the figures that were measured into the manifest, in place of older ones."""
    measured = [precision for precision in ALLOWED_DROP if any(precision in row.values for row in rows)]
    kept = [figure for figure in manifest["accuracy"] if figure["precision"] not in measured]
    for row in rows:
        for precision in measured:
            figure: dict[str, Any] = {"metric": row.metric, "data": row.data, "precision": precision}
            if row.level:
                figure["level"] = row.level
            kept.append(figure | {"value": round(row.values[precision], 4)})
    key = ("metric", "data", "precision", "level")
    manifest["accuracy"] = sorted(kept, key=lambda figure: [str(figure.get(part)) for part in key])
    manifest["int8"] = manifest.get("int8", {"allowed_drop": ALLOWED_DROP["int8"]})


def made_graphs(folder: Path) -> list[Path]:
    """Those that `make` writes."""
    return [
        path for kind in ("fp16", "int8", "int8-fp16", "int8-cpu") for path in folder.glob(f"*.{kind}.onnx")
    ]


def install(trial: Path, folder: Path, manifest: dict[str, Any]) -> None:
    """Moves the graphs into the bundle, the manifest last; graphs of an earlier calibration go."""
    for path in made_graphs(trial):
        path.replace(folder / path.name)
    named = {file["onnx"] for engine in manifest["engine"].values() for file in engine["precision"].values()}
    for path in made_graphs(folder):
        if path.name not in named:
            path.unlink()
    written = folder / f".{MANIFEST}.partial"
    written.write_text(dump(manifest))
    written.replace(folder / MANIFEST)


if __name__ == "__main__":
    sys.exit(main())
