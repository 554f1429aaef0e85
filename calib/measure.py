"""The bundle's own measure at every precision, by the program itself on ONNX Runtime."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

PRECISIONS = ("fp32", "fp16", "int8", "int8_fp16", "int8_cpu")
"""`int8` and `int8_fp16` are TensorRT's graphs, computed by ONNX Runtime all the same, `int8_cpu` its own."""
COLUMNS = {"oks-ap": "ap", "pck": "pck@0.2"}


def library() -> Path:
    """ONNX Runtime's own library, as its Python package holds it."""
    found = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"))
    if not found:
        raise FileNotFoundError("onnxruntime's package holds no libonnxruntime.so")
    return found[0]


@dataclass(frozen=True)
class Row:
    """One measure on one set of images."""

    metric: str
    data: str
    level: str | None
    values: dict[str, float]
    """0 to 1, by precision."""

    def drop(self, precision: str) -> float:
        """Points lost against fp32."""
        return 100 * (self.values["fp32"] - self.values[precision])


def measure(
    sinew: Path,
    folders: dict[str, Path],
    figures: list[dict[str, Any]],
    threads: int,
) -> Iterator[Row]:
    """Measures again what the manifest's `[[accuracy]]` has at fp32; `folders` has a bundle by precision."""
    for figure in figures:
        if figure["precision"] != "fp32" or figure["metric"] not in COLUMNS:
            continue
        level = figure.get("level")
        values = {
            precision: evaluate(
                sinew, folder, figure["metric"], Path(figure["data"]), level, precision, threads
            )
            for precision, folder in folders.items()
        }
        yield Row(figure["metric"], figure["data"], level, values)


def evaluate(
    sinew: Path, folder: Path, metric: str, data: Path, level: str | None, precision: str, threads: int
) -> float:
    """One run of `sinew eval`."""
    command = [str(sinew), "eval", "--quiet", "--json", "--model", str(folder), "--backend", "onnxruntime"]
    asked, _, _ = precision.partition("_")
    command += ["--coco", str(data / "annotations.json"), "--images", str(data), "--precision", asked]
    command += ["--threads", str(threads), "--metric", metric.removesuffix("-ap")]
    if level:
        command += ["--level", level]
    done = subprocess.run(
        command,
        env=os.environ | {"SINEW_ONNXRUNTIME_LIBRARY": str(library())},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
    return float(json.loads(done.stdout)["figures"][COLUMNS[metric]])
