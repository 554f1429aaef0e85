"""Writes the templates that `make import` fills: `python -m models.checkpoints.make_templates [NAME ...]`.

To be run when the graphs of an official network change; a test compares them. Needs PyTorch.
"""

from __future__ import annotations

import argparse
import json
import re
import zipfile
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from torch import nn
from tqdm import tqdm

from models.checkpoints import template
from models.checkpoints.official import CONFIGS, Model, contents, layout_of, network
from models.export.exporter import Graph, trace
from models.networks.capeformer import CapeFormerConfig

DERIVED = (
    (r"mix\.(bias|weights\.\d)", "mixed-heads"),
    (r"enlarge\.(weight|bias)", "enlarged"),
    (r"mirrored\.group_model\.(kp_encoder\.type_embed\.weight)", "mirrored-types"),
    (r"mirrored\.group_model\.(prediction_heads\.3\.loc_attn\.[qkv]_linear\.\w+)", "mirrored-types"),
)
"""Weights of the graphs' modules that are computed from others, and from which part of `template.DERIVED`."""


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Values by which every tensor can be told from every other."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator)
            tensor.copy_(noise + 0.5 if name.endswith("running_var") else noise - 0.5)


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
    """`graph` without the weights of `model`, which notes say how to fill."""
    traced = trace(graph, fold=False)
    weights, own = graph.module.state_dict(), dict(model.state_dict())
    for initializer in traced.graph.initializer:
        note = source(initializer.name, weights[initializer.name], own)
        if note:
            initializer.ClearField("raw_data")
            initializer.doc_string = note
    for node in traced.graph.node:
        node.doc_string = ""
    return traced


@torch.no_grad()
def write(model: Model, flip: bool, path: Path) -> None:
    """The template of `model`, whose weights do not matter."""
    randomise(model)
    made = contents(model.eval(), flip)
    described = asdict(made)
    del described["graphs"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:

        def add(name: str, data: bytes) -> None:
            # Without the time of day, so that the same contents make the same file.
            entry = zipfile.ZipInfo(name)
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)

        add("layout.json", json.dumps(layout_of(model)).encode())
        add("bundle.json", json.dumps(described).encode())
        for graph in made.graphs():
            assert isinstance(graph, Graph)
            add(f"{graph.name}.onnx", stripped(graph, model).SerializeToString(deterministic=True))


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
        write(network(config), flip, arguments.out / template.path_of(config.name, flip).name)


if __name__ == "__main__":
    main()
