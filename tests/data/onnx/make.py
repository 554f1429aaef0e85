"""Writes the small graphs beside this file: bundles that can be worked out by hand, and broken graphs.

    python tests/data/onnx/make.py

`spots` is a LOGO-CAP bundle without learning. It sees a picture's colours, averaged over cells of 4x4 pixels:

- green is the centre map, red is the heatmap of each of the three keypoints;
- the offsets are the same everywhere: keypoint 0 lies at the centre, 1 lies 8 pixels to the left of it, 2
  lies 8 pixels below;
- the embedding is red and green, and the attraction map of a keypoint is red around it;
- the maps are divided by 1 - blue, so that pure blue makes them infinite or not a number.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parent
OPSET = 17
KEYPOINTS = 3
SIDE = 11
OFFSETS = [0.0, 0.0, 2.0, 0.0, 0.0, -2.0]
"""x and y per keypoint, in cells, centre minus keypoint."""


def graph(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, np.ndarray],
    domains: tuple[str, ...] = (),
) -> onnx.ModelProto:
    """A model of one graph."""
    tensors = [numpy_helper.from_array(value, key) for key, value in constants.items()]
    made = helper.make_graph(nodes, name, inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8, producer_name="sinew")


def tensor(
    name: str, shape: list[int | str | None] | None, kind: int = TensorProto.FLOAT
) -> onnx.ValueInfoProto:
    """Name, type and shape of an input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def mixing(rows: list[list[float]]) -> np.ndarray:
    """Weights of a 1x1 convolution."""
    return np.array(rows, np.float32)[:, :, None, None]


def backbone(
    heatmaps: str = "heatmaps", keypoints: int = KEYPOINTS, height: int | str = "H"
) -> onnx.ModelProto:
    """Colours to maps; the output's name, the number of heatmaps and the height may be made wrong."""
    constants = {
        "to_maps": mixing([[1, 0, 0]] * keypoints + [[0, 1, 0]]),
        "to_blue": mixing([[0, 0, 1]]),
        "one": np.float32(1),
        "zero": np.float32(0),
        "to_offsets": np.zeros((2 * KEYPOINTS, 3, 1, 1), np.float32),
        "offset_values": np.array(OFFSETS, np.float32),
        "to_embedding": mixing([[1, 0, 0], [0, 1, 0]]),
        "batch": np.array([0], np.int64),
        "last": np.array([-1], np.int64),
        "end": np.array([np.iinfo(np.int64).max], np.int64),
        "rows": np.array([1], np.int64),
        "columns": np.array([2], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("AveragePool", ["image"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Conv", ["cells", "to_maps"], ["maps"]),
        node("Conv", ["cells", "to_blue"], ["blue"]),
        node("Sub", ["one", "blue"], ["sound"]),
        node("Div", ["maps", "sound"], ["divided"]),
        node("Squeeze", ["divided", "batch"], [heatmaps]),
        node("Conv", ["cells", "to_offsets", "offset_values"], ["moved"]),
        node("Squeeze", ["moved", "batch"], ["offsets"]),
        node("Conv", ["cells", "to_embedding"], ["mixed"]),
        node("Squeeze", ["mixed", "batch"], ["embedded"]),
        node("Slice", ["embedded", "last", "end", "rows"], ["last_row"]),
        node("Mul", ["last_row", "zero"], ["zero_row"]),
        node("Concat", ["embedded", "zero_row", "last_row"], ["tall"], axis=1),
        node("Slice", ["tall", "last", "end", "columns"], ["last_column"]),
        node("Mul", ["last_column", "zero"], ["zero_column"]),
        node("Concat", ["tall", "zero_column", "last_column"], ["embedding"], axis=2),
    ]
    outputs = [tensor(name, [None, None, None]) for name in (heatmaps, "offsets", "embedding")]
    return graph("backbone", nodes, [tensor("image", [1, 3, height, "W"])], outputs, constants)


def kam() -> onnx.ModelProto:
    """The first channel of the embedding, where the grid says."""
    constants = {
        "batch": np.array([0], np.int64),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "kernels": np.array([-1, KEYPOINTS, SIDE, SIDE], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Slice", ["embedding", "first", "second", "batch"], ["red"]),
        node("Unsqueeze", ["red", "batch"], ["features"]),
        node("Unsqueeze", ["grid", "batch"], ["points"]),
        node("GridSample", ["features", "points"], ["values"], align_corners=1, padding_mode="border"),
        node("Reshape", ["values", "kernels"], ["kam"]),
    ]
    inputs = [tensor("embedding", [2, "h", "w"]), tensor("grid", ["rows", SIDE, 2])]
    return graph("kam", nodes, inputs, [tensor("kam", [None, KEYPOINTS, SIDE, SIDE])], constants)


def broken() -> dict[str, onnx.ModelProto]:
    """Graphs that are not the one that `spots` describes, each in its own way."""
    node = helper.make_node
    wrong_type = backbone()
    cast = node("Cast", ["divided"], ["whole"], to=TensorProto.INT64)
    wrong_type.graph.node.insert(5, cast)
    wrong_type.graph.node[6].input[0] = "whole"
    wrong_type.graph.output[0].CopyFrom(tensor("heatmaps", [None, None, None], TensorProto.INT64))
    hidden_type = backbone()
    hidden_type.graph.node.insert(5, cast)
    hidden_type.graph.node[6].input[0] = "whole"
    nothing_made = backbone()
    del nothing_made.graph.node[5]
    image, flat = tensor("image", [1, 3, "H", "W"]), tensor("y", [1, 10])
    outputs = [tensor(name, [None, None, None]) for name in ("heatmaps", "offsets", "embedding")]
    unknown = [node("Guess", ["image"], ["heatmaps", "offsets", "embedding"], domain="elsewhere")]
    bad_weights = backbone()
    bad_weights.graph.initializer[0].dims[1] = 7
    return {
        "foreign": graph("foreign", [node("Relu", ["x"], ["y"])], [tensor("x", [1, 10])], [flat], {}),
        "other-name": backbone(heatmaps="heat_maps"),
        "fixed-height": backbone(height=48),
        "five-keypoints": backbone(keypoints=5),
        "whole-numbers": wrong_type,
        "whole-numbers-undeclared": hidden_type,
        "nothing-made": nothing_made,
        "unknown-operator": graph("unknown", unknown, [image], outputs, {}, ("elsewhere",)),
        "bad-weights": bad_weights,
    }


MANIFEST = """\
[keypoints]
names = ["middle", "left", "below"]
edges = [[0, 1], [0, 2]]
flip_pairs = []
sigmas = [0.1, 0.1, 0.1]

[engine.backbone]
inputs = [{{ name = "image", shape = [1, 3, "H", "W"] }}]
outputs = [
    {{ name = "heatmaps", shape = [4, "H/4", "W/4"] }},
    {{ name = "offsets", shape = [6, "H/4", "W/4"] }},
    {{ name = "embedding", shape = [2, "H/4+2", "W/4+2"] }},
]
precision.fp32 = {{ onnx = "backbone.onnx", sha256 = "{backbone}" }}

[engine.kam]
inputs = [
    {{ name = "embedding", shape = [2, "H/4+2", "W/4+2"] }},
    {{ name = "grid", shape = ["33*n", 11, 2] }},
]
outputs = [{{ name = "kam", shape = ["n", 3, 11, 11] }}]
chunks = [1, 2]
precision.fp32 = {{ onnx = "kam.onnx", sha256 = "{kam}" }}

[decode]
stride = 4
center_threshold = 0.1
center_fallback = false
collapse_ties = true
zero_kernel = "keep-initial"
mesh_radius = 5
kernel_divisor = 121.0
window_radius = 48
prior_sigma = 16.0
top2_weights = [0.75, 0.25]
score_threshold = 0.0
nms_distance = 0.05
nms_keypoints = 1
level = "full"

[limits]
poses = 10
centers = 10
"""


HEAD = """\
# Written by tests/data/onnx/make.py.

[bundle]
name = "{name}"
model = "{model}"
version = 1
format = 1
licence = "MIT OR Apache-2.0"
provenance = "written by hand, for tests"

[input]
rule = "{rule}"
short_side = {side}
multiple = {multiple}
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
order = "rgb"

"""


@dataclass(frozen=True)
class Head:
    """What the first sections of a manifest say."""

    name: str
    model: str
    rule: str
    side: int
    multiple: int


def write_bundle(head: Head, models: dict[str, onnx.ModelProto], manifest: str) -> None:
    """Graphs by role, and the manifest with their hashes; `manifest` begins with the keypoints."""
    name = head.name
    bundle = FOLDER / name
    bundle.mkdir(exist_ok=True)
    hashes = {}
    for role, model in models.items():
        onnx.checker.check_model(model, full_check=True)
        path = bundle / f"{role}.onnx"
        path.write_bytes(model.SerializeToString())
        hashes[role] = hashlib.sha256(path.read_bytes()).hexdigest()
    (bundle / "bundle.toml").write_text(HEAD.format(**asdict(head)) + manifest.format(**hashes))


def main() -> None:
    """Writes everything."""
    import colours
    import nearest
    import painted
    import quantised

    write_bundle(
        Head("spots", "logocap", "short-side", 64, 32), {"backbone": backbone(), "kam": kam()}, MANIFEST
    )
    write_bundle(
        Head("nearest", "centergroup", "short-side-even", 64, 32),
        {"backbone": nearest.backbone(), "grouping": nearest.grouping()},
        nearest.MANIFEST,
    )
    write_bundle(
        Head("colours", "capeformer", "crop", 256, 256),
        {"features": colours.features(), "match": colours.match(), "refine": colours.refine()},
        colours.MANIFEST,
    )
    write_bundle(Head("painted", "lofr", "crop", 32, 32), {"pose": painted.pose()}, painted.MANIFEST)
    for name, model in (broken() | quantised.models()).items():
        (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
