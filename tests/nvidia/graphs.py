"""Graphs and shapes of `sinew engine build --dry-run` through TensorRT-RTX's ONNX parser and builder.

graphs.py COMMANDS     the file COMMANDS holds the printed trtexec commands; the bindings are on PYTHONPATH

Neither needs a GPU. A row fails where the graph is not parsed or built, where the library warns, where
`--shapes` is given for a graph of fixed shapes (trtexec refuses that), or where an output's inferred shape is
not the manifest's; also where a graph for CPUs, with other zero points than 0, is taken (the negative
control). It shows acceptance only: not speed, nor which kernels compute in 8 bits.
"""

from __future__ import annotations

import ctypes
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

HARMLESS = re.compile(r"Converting conv (activation|weight) scales to fp32\.")
"""Said of every quantised convolution whose scales have 16 bits: 32 bits hold them exactly."""

PRECISION = re.compile(r"-(fp32|fp16|int8)-[0-9a-f]{8}\.engine")


def libraries() -> None:
    for name in ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"):
        found = [
            path for folder in sys.path for path in Path(folder or ".").glob(f"tensorrt_rtx_libs/{name}")
        ]
        ctypes.CDLL(str(found[0]), mode=ctypes.RTLD_GLOBAL)


def jobs(commands: Path) -> list[tuple[Path, str, dict[str, list[int]]]]:
    """Graph, precision and shapes of every command, each once.

    RTX knows strongly typed graphs only, so 16 bits mean the 16-bit graph, which TensorRT before 11
    is not given.
    """
    unique: dict[str, tuple[Path, str, dict[str, list[int]]]] = {}
    for line in commands.read_text().splitlines():
        onnx, precision = re.search(r"--onnx=(\S+)", line), PRECISION.search(line)
        if onnx is None or precision is None:
            continue
        path = Path(onnx[1])
        if precision[1] == "fp16" and ".fp16." not in path.name:
            path = path.with_name(path.name.replace(".onnx", ".fp16.onnx"))
        if precision[1] == "int8" and ".int8." not in path.name:
            continue
        if not path.exists():
            continue  # an import has no graph of 16 bits
        given = re.search(r"--shapes=(\S+)", line)
        pairs = (pair.split(":") for pair in given[1].split(",")) if given else ()
        shapes = {name: [int(extent) for extent in text.split("x")] for name, text in pairs}
        typed = path.with_name(path.name.replace(".int8.", ".int8-fp16."))
        for graph in (path, typed) if typed.exists() else (path,):
            unique[f"{graph} {shapes}"] = (graph, precision[1], shapes)
    return list(unique.values())


def evaluate(extent: int | str, symbols: dict[str, int]) -> int:
    return extent if isinstance(extent, int) else int(eval(extent.replace("/", "//"), {}, symbols))


def symbols_of(section: dict[str, Any], shapes: dict[str, list[int]]) -> dict[str, int]:
    """Values of H, W and n that the inputs' shapes stand for."""
    symbols: dict[str, int] = {}
    for tensor in section["inputs"]:
        for extent, value in zip(tensor["shape"], shapes.get(tensor["name"], tensor["shape"])):
            if extent in ("H", "W", "n"):
                symbols[extent] = int(value)
            elif isinstance(extent, str) and (product := re.fullmatch(r"(\d+)\*n", extent)):
                symbols["n"] = int(value) // int(product[1])
    return symbols


def main() -> int:
    commands = Path(sys.argv[1])
    libraries()
    import tensorrt_rtx_bindings as trt  # type: ignore[import-not-found]

    logged: list[str] = []

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.WARNING and not HARMLESS.search(text):
                logged.append(text)

    logger, bad = Logger(), 0
    rows = jobs(commands)
    for path, precision, shapes in rows:
        faults: list[str] = []
        builder = trt.Builder(logger)
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(path)):
            faults.append(parser.get_error(0).desc())
        manifest = tomllib.loads((path.parent / "bundle.toml").read_text())
        section = manifest["engine"][path.name.split(".")[0]]
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        is_open = any(-1 in tuple(tensor.shape) for tensor in inputs)
        if shapes and not is_open:
            faults.append("--shapes is given for a graph of fixed shapes, which trtexec refuses")
        if is_open and not shapes:
            faults.append("the graph has open shapes, but no --shapes is given")
        for tensor in inputs:
            if -1 in tuple(tensor.shape) and tensor.name in shapes:
                tensor.shape = tuple(shapes[tensor.name])
        symbols = symbols_of(section, shapes)
        for tensor in (network.get_output(index) for index in range(network.num_outputs)):
            written = next(output["shape"] for output in section["outputs"] if output["name"] == tensor.name)
            try:
                expected = tuple(evaluate(extent, symbols) for extent in written)
            except NameError:
                continue  # it follows from another graph's input
            if expected != tuple(tensor.shape):
                faults.append(f"output {tensor.name}: inferred {tuple(tensor.shape)}, manifest {expected}")
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
        if builder.build_serialized_network(network, config) is None:
            faults.append("not built")
        faults += logged
        logged.clear()
        bad += bool(faults)
        name = f"{path.parent.name}/{path.name}"
        status = "FAILED" if faults else "ok"
        print(f"{status:7} {name:44} {precision} {shapes or 'fixed'} {'; '.join(faults)}", flush=True)
    for path in sorted({cpu for row in rows for cpu in row[0].parent.glob("*.int8-cpu.onnx")}):
        builder = trt.Builder(logger)
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, logger)
        taken = parser.parse_from_file(str(path))
        logged.clear()
        bad += taken
        said = (
            "taken, though its zero points are not 0" if taken else f"refused: {parser.get_error(0).desc()}"
        )
        print(
            f"{'FAILED' if taken else 'ok':7} {path.parent.name + '/' + path.name:44} {said[:120]}",
            flush=True,
        )
    print(f"parser: {len(rows)} graphs and shapes, {bad} with faults")
    return int(bad > 0 or not rows)


if __name__ == "__main__":
    sys.exit(main())
