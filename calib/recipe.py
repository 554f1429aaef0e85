"""What is quantised in each model, what stays as it is, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import onnx


@dataclass(frozen=True)
class Recipe:
    """How one network is made less precise."""

    quantised: tuple[str, ...] = ()
    """Kinds of operators whose inputs are quantised; none leaves the network out of int8."""
    float_nodes: tuple[str, ...] = ()
    """Regular expressions of nodes that stay float all the same."""
    half_nodes: tuple[str, ...] = ()
    """Regular expressions of nodes that have 8 bits in the int8 graph, but 16 in the one of INT8 and FP16."""
    seven_bits: bool = False
    """Weights of 7 bits in the CPU's graph: processors without VNNI add two products in 16 bits, which 8 bits
    overflow."""
    fp32_nodes: tuple[str, ...] = ()
    """Regular expressions of nodes that keep 32 bits in the fp16 graph."""
    why: str = ""
    """What stays float and the reason, for the report."""


CONVOLUTIONS = ("Conv", "ConvTranspose")
PRODUCTS = ("Gemm", "MatMul")
"""A last layer too, which stays float anyway: what comes before it is none."""

RECIPES: dict[tuple[str, str], Recipe] = {
    ("logocap-movenet", "backbone"): Recipe(
        CONVOLUTIONS,
        float_nodes=(
            "/movenet/(stem|blocks.[0-6]/|lateral.[23]|smooth).*",
            "/(center|hidden|last|offsets|local|own|mix|Conv).*",
        ),
        # Of what int8 quantises, the pyramid loses most alone, and everything follows from the first block.
        # With 16 bits elsewhere it was too much.
        half_nodes=("/movenet/(lateral|blocks.7/).*",),
        seven_bits=True,
        why="the layers that lose most, each measured alone: stem, first blocks, fine pyramid, heads",
    ),
    ("centergroup-movenet", "backbone"): Recipe(
        CONVOLUTIONS,
        float_nodes=(
            "/(stem|blocks.[0-6]/|lateral.[23]|smooth).*",
            "/(hidden|last|offsets|upsampling|coarse_rows|keypoint_rows|center_rows).*",
        ),
        seven_bits=True,
        why="what stays float in logocap-movenet, whose backbone this is; upsampling and rows",
    ),
    ("logocap", "backbone"): Recipe(
        CONVOLUTIONS,
        why="last layers of the heads: their outputs are places in pixels",
    ),
    ("logocap", "kam"): Recipe(
        why="samples at fractions of a pixel and normalises by what it finds",
        fp32_nodes=("(?!/message_passing/).*",),
    ),
    ("centergroup", "backbone"): Recipe(
        CONVOLUTIONS,
        why="last layers: heatmaps, and rows for attention",
    ),
    ("centergroup", "grouping"): Recipe(
        why="attention over at most 510 tokens: its softmax decides who belongs to whom",
    ),
    ("capeformer", "features"): Recipe(
        CONVOLUTIONS,
        why="the last layer: its tokens are what templates keep",
    ),
    ("capeformer", "match"): Recipe(why="attention over 64 + 32 tokens"),
    ("capeformer", "refine"): Recipe(
        why="attention, and a chain of positions that are added up to fractions of a pixel",
    ),
    ("lofr", "pose"): Recipe(
        CONVOLUTIONS,
        why="attention, from which a response per keypoint and presence come",
    ),
}


def recipe_of(bundle: str, model: str, role: str) -> Recipe:
    """The recipe of a bundle's network: its own if it has one, else that of its model."""
    return RECIPES.get((bundle, role)) or RECIPES.get((model, role)) or Recipe()


@dataclass(frozen=True)
class Placement:
    """Which nodes of a graph a recipe means."""

    quantised: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    """Those that are quantised in the graph of INT8 and FP16 too."""
    kept: list[str] = field(default_factory=list)
    """Nodes of kinds that are quantised, which stay float."""
    fp32: list[str] = field(default_factory=list)


def place(recipe: Recipe, graph: onnx.GraphProto) -> Placement:
    """Names of nodes.

    Last layers, those from which an output is reached without another one, stay float.
    """
    patterns = [re.compile(pattern) for pattern in recipe.float_nodes]
    wide = [re.compile(pattern) for pattern in recipe.fp32_nodes]
    half = [re.compile(pattern) for pattern in recipe.half_nodes]
    last = last_layers(graph, (*recipe.quantised, *PRODUCTS))
    placement = Placement()
    for node in graph.node:
        if any(pattern.fullmatch(node.name) for pattern in wide):
            placement.fp32.append(node.name)
        if node.op_type in recipe.quantised:
            kept = node.name in last or any(pattern.fullmatch(node.name) for pattern in patterns)
            (placement.kept if kept else placement.quantised).append(node.name)
            if not kept and not any(pattern.fullmatch(node.name) for pattern in half):
                placement.mixed.append(node.name)
    return placement


def last_layers(graph: onnx.GraphProto, kinds: tuple[str, ...]) -> set[str]:
    """Nodes of these kinds from which an output of the graph is reached without another of them."""
    maker = {output: node for node in graph.node for output in node.output}
    found: set[str] = set()
    seen: set[str] = set()
    open_values = [output.name for output in graph.output]
    while open_values:
        value = open_values.pop()
        node = maker.get(value)
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type in kinds:
            found.add(node.name)
        else:
            open_values.extend(node.input)
    return found
