"""Writes the templates that `make import` fills: `python -m models.checkpoints.make_templates [NAME ...]`.

To be run when the graphs of an official network change. Needs PyTorch. The nodes of a graph do not depend on
how wide its backbone is, so a narrow one is traced, and the shapes are those of the official one.
"""

from __future__ import annotations

import argparse
import json
import re
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from tqdm import tqdm

from models.checkpoints import template
from models.checkpoints.layout import Layout
from models.checkpoints.official import CONFIGS, Config, Model, contents, layout_of, network
from models.export.exporter import Graph, trace
from models.networks.capeformer import CapeFormerConfig
from models.networks.hrnet import HRNetConfig

DERIVED = (
    (r"mix\.(bias|weights\.\d)", "mixed-heads"),
    (r"enlarge\.(weight|bias)", "enlarged"),
    (r"mirrored\.group_model\.(kp_encoder\.type_embed\.weight)", "mirrored-types"),
    (r"mirrored\.group_model\.(prediction_heads\.3\.loc_attn\.[qkv]_linear\.\w+)", "mirrored-types"),
)
"""Weights of the graphs' modules that are computed from others, and from which part of `template.DERIVED`."""

LIKE = {"centergroup-w48": "centergroup-w32"}
"""Networks whose graphs differ from another's only in the width of the backbone.

LOGO-CAP's W48 has wider heads besides.
"""


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Values by which every tensor can be told from every other."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator)
            tensor.copy_(noise + 0.5 if name.endswith("running_var") else noise - 0.5)


def narrow(config: Config, width: int = 8) -> Config:
    """The same network with a backbone of few channels."""
    if isinstance(config, CapeFormerConfig):
        return replace(config, base=width)
    if not isinstance(config.backbone, HRNetConfig):
        raise TypeError(f"{config.name}: only HRNet backbones have templates")
    widths = (width, width + 1, width + 2, width + 3)
    backbone = replace(config.backbone, widths=widths, stem=width, layer1_planes=width)
    return replace(config, backbone=backbone)


def layout_without_weights(config: Config) -> Layout:
    """The layout of a network, without making its weights."""
    with torch.device("meta"):
        return layout_of(network(config))


def source(name: str, values: torch.Tensor, own: dict[str, torch.Tensor]) -> str:
    """Where the weight `name` of a graph comes from, given the network's own; empty for a constant."""
    for pattern, kind in DERIVED:
        if match := re.fullmatch(pattern, name):
            return f"{template.DERIVES}{kind} {match[1]}"
    same = [
        key for key, tensor in own.items() if tensor.shape == values.shape and torch.equal(tensor, values)
    ]
    if not same and values.is_floating_point() and values.numel() > 64:
        raise ValueError(f"{name}: no tensor of the checkpoint, and too large for a constant")
    return same[0] if same else ""


def stripped(graph: Graph, model: Model) -> onnx.ModelProto:
    """`graph` without the weights of `model`; notes say what fills them."""
    traced = trace(graph, fold=False)
    weights, own = graph.module.state_dict(), dict(model.state_dict())
    for initializer in traced.graph.initializer:
        note = source(initializer.name, weights[initializer.name], own)
        if note:
            initializer.ClearField("raw_data")
            initializer.doc_string = note
    for node in traced.graph.node:
        node.doc_string = ""
    # Sizes in between, which are those of the narrow network.
    del traced.graph.value_info[:]
    return traced


def shape(model: onnx.ModelProto, layout: Layout) -> onnx.ModelProto:
    """`model` with the shapes of weights that follow from `layout`."""
    # Only shapes matter here, and nothing is allocated for them.
    zeros = {name: np.broadcast_to(np.float32(0), sizes) for name, sizes in layout.items()}
    derived: dict[str, np.ndarray] = {}
    for initializer in model.graph.initializer:
        if initializer.doc_string:
            initializer.ClearField("dims")
            initializer.dims.extend(template.values(initializer.doc_string, zeros, derived).shape)
    return model


def write(config: Config, flip: bool, path: Path, width: int = 8) -> None:
    """The template of a network."""
    layout = layout_without_weights(config)
    model = network(narrow(config, width)).eval()
    if layout_of(model).keys() != layout.keys():
        raise ValueError(f"{config.name}: a narrow one has other tensors")
    randomise(model)
    with torch.device("meta"):
        described = asdict(replace(contents(network(config), flip), graphs=None))  # type: ignore[arg-type]
    del described["graphs"]
    entries = {"layout.json": json.dumps(layout).encode(), "bundle.json": json.dumps(described).encode()}
    for graph in contents(model, flip).graphs():
        assert isinstance(graph, Graph)
        entries[f"{graph.name}.onnx"] = _bytes(shape(stripped(graph, model), layout))
    _archive(path, entries)


def widen(config: Config, flip: bool, like: Path, path: Path) -> None:
    """The template of a network that has the graphs of the template `like`, and other widths."""
    layout = layout_without_weights(config)
    with torch.device("meta"):
        described = asdict(replace(contents(network(config), flip), graphs=None))  # type: ignore[arg-type]
    del described["graphs"]
    entries = {"layout.json": json.dumps(layout).encode(), "bundle.json": json.dumps(described).encode()}
    with zipfile.ZipFile(like) as archive:
        for role in described["engines"]:
            model = onnx.load_from_string(archive.read(f"{role}.onnx"))
            entries[f"{role}.onnx"] = _bytes(shape(model, layout))
    _archive(path, entries)


def _bytes(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString(deterministic=True)


def _archive(path: Path, entries: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            # Without the time of day, so that the same contents make the same file.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)


def main() -> None:
    """Writes all templates, or those of the networks that are named."""
    parser = argparse.ArgumentParser(
        prog="python -m models.checkpoints.make_templates", description=main.__doc__
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CONFIGS))
    parser.add_argument("--out", type=Path, default=template.FOLDER)
    arguments = parser.parse_args()
    configs = [CONFIGS[name] for name in arguments.names] or list(CONFIGS.values())
    ways = [
        (config, flip)
        for config in configs
        for flip in ((False,) if isinstance(config, CapeFormerConfig) else (False, True))
    ]
    for config, flip in tqdm(ways, disable=None):
        path = arguments.out / template.path_of(config.name, flip).name
        like = arguments.out / template.path_of(LIKE.get(config.name, ""), flip).name
        if config.name in LIKE and like.exists():
            widen(config, flip, like, path)
        else:
            write(config, flip, path)


if __name__ == "__main__":
    main()
