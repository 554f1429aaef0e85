"""Drives a double of libnvinfer through NVIDIA's compiled Python bindings, and compares what comes back.

drive.py FOLDER MAJOR     FOLDER holds the double as libnvinfer.so.MAJOR; the bindings are on PYTHONPATH
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

PLAN = b"double\ninput image 0 1 3 -1 96\ninput idx 3 7 4\noutput maps 0 18 -1 24\n"


def main() -> None:
    folder, major = Path(sys.argv[1]), sys.argv[2]
    names = ["nvinfer", "nvinfer_plugin", "nvonnxparser"] + (["nvparsers"] if major == "8" else [])
    libraries = [ctypes.CDLL(str(folder / f"lib{name}.so.{major}"), ctypes.RTLD_GLOBAL) for name in names]
    import tensorrt_bindings as trt  # type: ignore[import-not-found]

    logged: list[str] = []

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: object, text: str) -> None:
            logged.append(text)

    def expect(what: str, found: object, expected: object) -> None:
        if found != expected:
            raise SystemExit(f"{what}: found {found!r}, expected {expected!r}")

    logger = Logger()
    runtime = trt.Runtime(logger)
    expect("a plan that is none", runtime.deserialize_cuda_engine(b"nonsense"), None)
    expect("the logger's line", any("magicTag" in line for line in logged), True)
    engine = runtime.deserialize_cuda_engine(PLAN)
    tensors = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    expect("names", tensors, ["image", "idx", "maps"])
    modes = [engine.get_tensor_mode(name) for name in tensors]
    expect("modes", modes, [trt.TensorIOMode.INPUT, trt.TensorIOMode.INPUT, trt.TensorIOMode.OUTPUT])
    types = [engine.get_tensor_dtype(name) for name in tensors]
    expect("types", types, [trt.float32, trt.int32, trt.float32])
    shapes = [tuple(engine.get_tensor_shape(name)) for name in tensors]
    expect("shapes", shapes, [(1, 3, -1, 96), (7, 4), (18, -1, 24)])
    context = engine.create_execution_context()
    expect("a shape that fits", context.set_input_shape("image", (1, 3, 64, 96)), True)
    expect("a shape that does not fit", context.set_input_shape("image", (1, 3, 64, 97)), False)
    expect("the context's shape", tuple(context.get_tensor_shape("image")), (1, 3, 64, 96))

    image = (ctypes.c_float * (3 * 64 * 96))(*([1.0] * (3 * 64 * 96)))
    indices = (ctypes.c_int * 28)(*([2] * 28))
    maps = (ctypes.c_float * (18 * 24))()
    for name, buffer in (("image", image), ("idx", indices), ("maps", maps)):
        expect(f"binding {name}", context.set_tensor_address(name, ctypes.addressof(buffer)), True)
    work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    submit = ctypes.CFUNCTYPE(None, ctypes.c_void_p, work, ctypes.c_void_p, ctypes.c_int)
    run_now = submit(lambda stream, function, argument, microseconds: function(argument))
    stream = (ctypes.c_void_p * 2)(ctypes.cast(run_now, ctypes.c_void_p).value, 0)
    expect("a run", context.execute_async_v3(ctypes.addressof(stream)), True)
    expect("what it computed", (maps[0], maps[18 * 24 - 1]), (6.0, 6.0))
    del context, engine, runtime
    expect("objects that were not deleted", libraries[0].double_live(), 0)
    print(f"bindings {trt.__version__}: names, types, shapes, addresses, a run and deletion agree")


if __name__ == "__main__":
    main()
