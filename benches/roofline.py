"""What the networks should take on a board at least, on paper: an estimate, not a measurement.

    python benches/roofline.py [--json] [--out docs/performance.md]

Of every layer of the graphs, at the size that the bundle runs at: its multiply-adds, and the bytes that it
reads and writes. A layer takes as long as the slower of the two at the board's published peak; what works
element by element is taken to be fused into the convolution before it. Launches, caches and everything that
keeps a real engine below the peak are left out: a board takes longer, small networks several times as long.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import side_by_side
from onnx import numpy_helper, shape_inference

BUNDLES = side_by_side.ROOT / "models/bundles"


@dataclass(frozen=True)
class Board:
    """Dense peaks of the GPU alone, from the published numbers of cores and clocks."""

    fp16: float
    """Tera-operations a second; a multiply-add is two."""
    int8: float | None
    bandwidth: float
    """Gigabytes a second."""


BOARDS = {
    "Nano": Board(0.47, None, 25.6),
    "Xavier NX": Board(6.8, 13.5, 59.7),
    "AGX Xavier": Board(11.3, 22.6, 136.5),
    "Orin Nano 8 GB": Board(10.2, 20.5, 68.0),
    "Orin NX 16 GB": Board(15.0, 30.1, 102.4),
    "AGX Orin 64 GB": Board(42.6, 85.2, 204.8),
    "Thor T5000": Board(259.0, 517.0, 273.0),
}

NETWORKS = {
    "logocap-tiny": ("backbone", {"image": (1, 3, 288, 512)}),
    "centergroup-tiny": ("backbone", {"image": (1, 3, 320, 576)}),
    "capeformer-tiny": ("features", {"image": (1, 3, 256, 256)}),
    "lofr-tiny": ("pose", {"image": (1, 3, 128, 96)}),
}
"""The part that sees the image, and its input for a frame of 1280x720; the crop for the last two."""

HEAVY = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


@dataclass
class Group:
    """Layers of the same kind at the same size."""

    macs: float = 0.0
    layers: list[tuple[float, float, float, bool]] = field(default_factory=list)
    """Multiply-adds, values read and written, weights, and whether int8 has it."""


def shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Of every value, as far as they are known."""
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    known = {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    return known | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}


def groups(path: Path, inputs: dict[str, tuple[int, ...]]) -> dict[str, Group]:
    """Layers by what they are and how fine their output is."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    for value in model.graph.input:
        for axis, extent in zip(value.type.tensor_type.shape.dim, inputs[value.name], strict=True):
            axis.dim_value = extent
    known = shapes(model)
    weights = {tensor.name: numpy_helper.to_array(tensor).size for tensor in model.graph.initializer}
    height = next(iter(inputs.values()))[2]
    found: dict[str, Group] = defaultdict(Group)
    for node in model.graph.node:
        if node.op_type not in HEAVY:
            continue
        output = known[node.output[0]]
        first, second = known[node.input[0]], known[node.input[1]]
        if node.op_type == "Conv":
            name = f"convolutions at stride {max(height // output[2], 1)}"
            macs = float(np.prod(output)) * float(np.prod(second[1:]))
        elif node.op_type == "ConvTranspose":
            name = f"convolutions at stride {max(height // output[2], 1)}"
            macs = float(np.prod(first)) * float(np.prod(second[1:]))
        else:
            name = "products of tokens"
            macs = float(np.prod(output)) * first[-1]
        held = sum(weights.get(source, 0) for source in node.input)
        values = float(np.prod(output)) + sum(
            float(np.prod(known[source])) for source in node.input if source not in weights
        )
        group = found[name]
        group.macs += macs
        group.layers.append((macs, values, held, "Conv" in node.op_type))
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))


def milliseconds(group: Group, board: Board, int8: bool) -> float:
    """The sum over its layers of the slower of computing and memory."""
    total = 0.0
    for macs, values, held, quantised in group.layers:
        bytes_each, peak = 2, board.fp16
        if int8 and quantised and board.int8:
            bytes_each, peak = 1, board.int8
        computing = 2 * macs / (peak * 1e12)
        memory = bytes_each * (values + held) / (board.bandwidth * 1e9)
        total += max(computing, memory)
    return 1e3 * total


def main() -> int:
    """Prints the estimates."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print lines of JSON")
    parser.add_argument("--out", type=Path, help="put the tables into this file, between its markers")
    arguments = parser.parse_args()
    lines = [
        "| network, group of layers | GMAC | MB at fp16 | " + " | ".join(BOARDS) + " |",
        "|---" * (3 + len(BOARDS)) + "|",
    ]
    for name, (role, inputs) in NETWORKS.items():
        found = groups(BUNDLES / name / f"{role}.onnx", inputs)
        layers = [layer for group in found.values() for layer in group.layers]
        parts = {**found, "all": Group(sum(layer[0] for layer in layers), layers)}
        for part, group in parts.items():
            megabytes = 2 * sum(values + held for _, values, held, _ in group.layers) / 1e6
            times = {
                board: (
                    milliseconds(group, peaks, False),
                    milliseconds(group, peaks, True) if peaks.int8 else None,
                )
                for board, peaks in BOARDS.items()
            }
            if arguments.json:
                line = {"network": name, "group": part, "gmac": group.macs / 1e9, "megabytes": megabytes}
                print(json.dumps(line | {"fp16_int8_ms": times}))
            cells = [
                f"{fp16:.2f}, {int8:.2f}" if int8 is not None else f"{fp16:.2f}"
                for fp16, int8 in times.values()
            ]
            title = f"**{name}**, {part}" if part == "all" else f"{name}, {part}"
            lines.append(
                f"| {title} | {group.macs / 1e9:.2f} | {megabytes:.1f} | " + " | ".join(cells) + " |"
            )
    if not arguments.json:
        print("\n".join(lines))
    if arguments.out:
        side_by_side.put_between(arguments.out, "roofline", "\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
