"""The folder that the runtime opens: `bundle.toml` and its graphs; docs/bundle.md describes every key.

    python -m models.bundle accuracy models/bundles/logocap-tiny --data tests/data/people --level full --value
    0.45

records a measured figure in a manifest that is already there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import export, skeleton
from models.logocap import KEYPOINTS, LogoCap

MANIFEST = "bundle.toml"
FORMAT = 1
"""Version of the manifest's schema."""


@dataclass(frozen=True)
class Decode:
    """The decoder's hyper-parameters that a bundle may choose; the defaults are for networks trained here."""

    center_threshold: float = 0.1
    center_fallback: bool = False
    collapse_ties: bool = True
    zero_kernel: str = "keep-initial"
    top2_weights: tuple[float, float] = (0.75, 0.25)
    score_threshold: float = 0.02
    """What is shown; accuracy is measured on everything above 0."""
    nms_distance: float = 0.05
    nms_keypoints: int = 8
    level: str = "full"

    @classmethod
    def reference(cls) -> Decode:
        """What the reference implementation does, flaws included."""
        return cls(
            center_threshold=0.01,
            center_fallback=True,
            collapse_ties=False,
            zero_kernel="reference",
            score_threshold=0.0,
        )


@dataclass(frozen=True)
class Options:
    """What a bundle says beyond the network's own sizes."""

    provenance: str
    licence: str = "MIT OR Apache-2.0"
    version: int = 1
    flip: bool = False
    sampling: export.Sampling = "gather"
    decode: Decode = field(default_factory=Decode)
    people: int = 30
    """The most candidates, and poses, per picture."""
    chunks: tuple[int, ...] = (1,)
    """People per run of the second network. One at a time is the fastest on tract, which convolves a batch of
    several through a copied matrix."""


def write(model: LogoCap, folder: Path, options: Options) -> Iterator[str]:
    """Exports `model` (in eval mode) and writes the bundle; yields a line for people to read after each step.

    The graphs are made beside the folder and moved in when all of them are good, the manifest last. Raises
    `export.ExportError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as directory:
        made = Path(directory)
        hashes = {}
        for graph in (export.backbone_graph(model, options.flip), export.kam_graph(model, options.sampling)):
            path = made / f"{graph.name}.onnx"
            difference = export.export(graph, path)
            hashes[graph.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            size = path.stat().st_size / 1e6
            yield f"{path.name}: {size:.1f} MB, differs from PyTorch by at most {difference:.1e}"
        contents = manifest(model, folder.name, options, hashes)
        (made / MANIFEST).write_text(dump(contents))
        for name in (*(f"{role}.onnx" for role in hashes), MANIFEST):
            os.replace(made / name, folder / name)
    yield f"{folder / MANIFEST}: written"


def manifest(model: LogoCap, name: str, options: Options, hashes: dict[str, str]) -> dict[str, Any]:
    """Everything that `bundle.toml` says."""
    config, decode = model.config, options.decode
    stride, side = config.stride, 2 * config.mesh_radius + 1
    cells = [f"H/{stride}", f"W/{stride}"]
    embedding = {"name": "embedding", "shape": [config.embedding, *(f"{cell}+2" for cell in cells)]}
    return {
        "bundle": {
            "name": name,
            "model": "logocap",
            "version": options.version,
            "format": FORMAT,
            "licence": options.licence,
            "provenance": options.provenance,
        },
        "input": {
            "rule": "short-side",
            "short_side": config.short_side,
            "multiple": config.multiple,
            "mean": list(config.mean),
            "std": list(config.std),
            "order": "rgb",
        },
        "keypoints": {
            "names": list(skeleton.NAMES),
            "edges": [list(edge) for edge in skeleton.EDGES],
            "flip_pairs": [list(pair) for pair in skeleton.FLIP_PAIRS],
            "sigmas": list(skeleton.SIGMAS),
        },
        "engine": {
            "backbone": {
                "inputs": [{"name": "image", "shape": [1, 3, "H", "W"]}],
                "outputs": [
                    {"name": "heatmaps", "shape": [KEYPOINTS + 1, *cells]},
                    {"name": "offsets", "shape": [2 * KEYPOINTS, *cells]},
                    embedding,
                ],
                "precision": {"fp32": {"onnx": "backbone.onnx", "sha256": hashes["backbone"]}},
            },
            "kam": {
                "inputs": [embedding, {"name": "grid", "shape": [f"{KEYPOINTS * side}*n", side, 2]}],
                "outputs": [{"name": "kam", "shape": ["n", KEYPOINTS, side, side]}],
                "chunks": list(options.chunks),
                "precision": {"fp32": {"onnx": "kam.onnx", "sha256": hashes["kam"]}},
            },
        },
        "decode": {
            "stride": stride,
            "center_threshold": decode.center_threshold,
            "center_fallback": decode.center_fallback,
            "collapse_ties": decode.collapse_ties,
            "zero_kernel": decode.zero_kernel,
            "mesh_radius": config.mesh_radius,
            "kernel_divisor": config.kernel_divisor,
            "window_radius": config.window_radius,
            "prior_sigma": config.prior_sigma,
            "top2_weights": list(decode.top2_weights),
            "score_threshold": decode.score_threshold,
            "nms_distance": decode.nms_distance,
            "nms_keypoints": decode.nms_keypoints,
            "level": decode.level,
        },
        "limits": {"poses": options.people, "centers": options.people},
    }


def dump(contents: dict[str, Any]) -> str:
    """The manifest as TOML: tables with dotted names, everything below them on one line per key."""
    lines = ["# Written by models/bundle.py; docs/bundle.md says what the keys mean."]

    def table(header: str, values: dict[str, Any]) -> None:
        lines.extend(["", header])
        for key, value in values.items():
            if key == "precision" and isinstance(value, dict):
                lines.extend(f"precision.{kind} = {_value(file)}" for kind, file in value.items())
            else:
                lines.append(f"{key} = {_value(value)}")

    for section, values in contents.items():
        if section == "engine":
            for role, engine in values.items():
                table(f"[engine.{role}]", engine)
        elif isinstance(values, list):
            for row in values:
                table(f"[[{section}]]", row)
        else:
            table(f"[{section}]", values)
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        rows = [_value(item) for item in value]
        one_line = "[" + ", ".join(rows) + "]"
        if len(one_line) <= 100:
            return one_line
        if isinstance(value[0], dict):
            return "[\n    " + ",\n    ".join(rows) + ",\n]"
        filled = textwrap.fill(", ".join(rows) + ",", 100, initial_indent="    ", subsequent_indent="    ")
        return f"[\n{filled}\n]"
    # Strings, whole numbers and floats look the same in TOML as in JSON, but for exponents without a sign.
    return json.dumps(value, ensure_ascii=False)


def record_accuracy(folder: Path, row: dict[str, Any]) -> None:
    """Puts a figure into the manifest of `folder`, in place of an older one of the same metric, data,
    precision and level."""
    path = folder / MANIFEST
    contents = tomllib.loads(path.read_text())

    def identity(entry: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(entry.get(key) for key in ("metric", "data", "precision", "level"))

    rows = [entry for entry in contents.get("accuracy", []) if identity(entry) != identity(row)]
    contents["accuracy"] = sorted([*rows, row], key=lambda entry: [str(part) for part in identity(entry)])
    path.write_text(dump(contents))


def main() -> None:
    """Edits a bundle's manifest."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    accuracy = commands.add_parser("accuracy", help="record a measured figure")
    accuracy.add_argument("folder", type=Path)
    accuracy.add_argument("--metric", default="oks-ap")
    accuracy.add_argument("--data", required=True, help="the pictures it was measured on")
    accuracy.add_argument("--precision", default="fp32", choices=["fp32", "int8"])
    accuracy.add_argument("--level", choices=["none", "partial", "full"])
    accuracy.add_argument("--value", type=float, required=True, help="0 to 1")
    arguments = parser.parse_args()
    row = {"metric": arguments.metric, "data": arguments.data, "precision": arguments.precision}
    if arguments.level:
        row["level"] = arguments.level
    record_accuracy(arguments.folder, row | {"value": arguments.value})


if __name__ == "__main__":
    main()
