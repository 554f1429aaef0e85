"""The folder that the runtime opens: `bundle.toml` and its graphs; docs/bundle.md describes every key.

    python -m models.export.bundle accuracy models/bundles/logocap-tiny --level full \\
        --data tests/data/people --value 0.45

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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from models import skeleton

MANIFEST = "bundle.toml"
FORMAT = 1
"""Version of the manifest's schema."""
MOVENET_SIZES = {"small": 192, "large": 320}
"""Short sides by name that the bundles on MoveNet were measured at, besides their own."""


class InputConfig(Protocol):
    """How a network wants its images."""

    @property
    def short_side(self) -> int: ...

    @property
    def multiple(self) -> int: ...

    @property
    def mean(self) -> tuple[float, float, float]: ...

    @property
    def std(self) -> tuple[float, float, float]: ...


@dataclass(frozen=True)
class Options:
    """What a bundle says of its weights."""

    provenance: str
    licence: str = "MIT OR Apache-2.0"
    version: int = 1
    people: int = 30
    """The most candidates, and poses, per image."""


class Graph(Protocol):
    """A graph that can be written as ONNX."""

    @property
    def name(self) -> str:
        """The role of the engine."""

    def save(self, path: Path) -> str:
        """Writes the graph to `path`; what was checked, for people to read. Raises `ExportError`."""


@dataclass(frozen=True)
class Contents:
    """What a model puts into its bundle."""

    model: str
    graphs: Callable[[], Iterable[Graph]]
    """Makes the graphs, named after their roles."""
    input: dict[str, Any]
    """`[input]`"""
    keypoints: skeleton.Keypoints
    engines: dict[str, dict[str, Any]]
    """`[engine.<role>]` without the files."""
    decode: dict[str, Any]
    """`[decode]`"""
    limits: tuple[str, ...] = ("poses", "centers")
    """Keys of `[limits]`."""


def write(contents: Contents, folder: Path, options: Options) -> Iterator[str]:
    """Exports the graphs and writes the bundle; yields a line for people to read after each step.

    The graphs are made beside the folder and moved in when all of them are good, the manifest last. Raises
    `ExportError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as directory:
        made = Path(directory)
        hashes = {}
        for graph in contents.graphs():
            path = made / f"{graph.name}.onnx"
            checked = graph.save(path)
            hashes[graph.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            size = path.stat().st_size / 1e6
            yield f"{path.name}: {size:.1f} MB, {checked}"
        (made / MANIFEST).write_text(dump(manifest(contents, folder.name, options, hashes)))
        for name in (*(f"{role}.onnx" for role in hashes), MANIFEST):
            os.replace(made / name, folder / name)
    yield f"{folder / MANIFEST}: written"


def manifest(contents: Contents, name: str, options: Options, hashes: dict[str, str]) -> dict[str, Any]:
    """Everything that `bundle.toml` says."""
    keypoints = contents.keypoints
    return {
        "bundle": {
            "name": name,
            "model": contents.model,
            "version": options.version,
            "format": FORMAT,
            "licence": options.licence,
            "provenance": options.provenance,
        },
        "input": contents.input,
        "keypoints": {
            "names": list(keypoints.names),
            "edges": [list(edge) for edge in keypoints.edges],
            "flip_pairs": [list(pair) for pair in keypoints.flip_pairs],
            "sigmas": list(keypoints.sigmas),
        },
        "engine": {
            role: engine | {"precision": {"fp32": {"onnx": f"{role}.onnx", "sha256": hashes[role]}}}
            for role, engine in contents.engines.items()
        },
        "decode": contents.decode,
        "limits": {key: options.people for key in contents.limits},
    }


def input_section(config: InputConfig, rule: str) -> dict[str, Any]:
    """`[input]` of a network that sees whole images."""
    return {
        "rule": rule,
        "short_side": config.short_side,
        "multiple": config.multiple,
        "mean": list(config.mean),
        "std": list(config.std),
        "order": "rgb",
    }


def dump(contents: dict[str, Any]) -> str:
    """The manifest as TOML: tables with dotted names, everything below them on one line per key."""
    lines = ["# Written by models/export/bundle.py; docs/bundle.md says what the keys mean."]

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
    accuracy.add_argument("--data", required=True, help="the images it was measured on")
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
