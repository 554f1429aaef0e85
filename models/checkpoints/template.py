"""Bundles without their weights: what `make import` fills from a checkpoint. Needs no PyTorch.

A template is a zip archive under `templates/`, one for every official network and every way to export it. It
holds `layout.json` (names and shapes of the checkpoint's tensors), `bundle.json` (the manifest's contents)
and the graphs, as PyTorch's exporter wrote them, without their weights: each `doc_string` names the tensor of
the checkpoint that belongs there, or what is computed from several (`DERIVED`).
`models.checkpoints.make_templates` writes them.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from models import skeleton
from models.checkpoints.layout import Layout
from models.checkpoints.read import State
from models.export import bundle
from models.export.simplify import ExportError, simplify

FOLDER = Path(__file__).parent / "templates"
NAMES = (
    "logocap-w32",
    "logocap-w48",
    "centergroup-w32",
    "centergroup-w48",
    "centergroup-w48-crowdpose",
    "capeformer-r50",
)
"""The official networks."""
EPSILON = 1e-5
"""Of every batch norm in the official networks."""
SMALL = {
    "H": 256,
    "W": 256,
    "rows": 66,
    "columns": 66,
    "points": 187,
    "features": 256,
    "cells": 128,
    # As many of 18 types as of 15.
    "tokens": 90,
    "keypoints": 17,
}
"""Sizes of the symbolic axes for a trial run."""
DERIVES = "derived: "
"""Begins the note of a weight that is computed from the checkpoint's tensors."""


def path_of(name: str, flip: bool) -> Path:
    """Where the template of a network is."""
    return FOLDER / f"{name}{'-flip' if flip else ''}.zip"


def layouts() -> dict[str, Layout]:
    """Of every network that has a template."""
    found = {}
    for path in sorted(FOLDER.glob("*.zip")):
        if not path.stem.endswith("-flip"):
            with zipfile.ZipFile(path) as archive:
                found[path.stem] = json.loads(archive.read("layout.json"))
    return found


@dataclass(frozen=True)
class Filled:
    """A graph with a checkpoint's weights."""

    name: str
    model: onnx.ModelProto

    def save(self, path: Path) -> str:
        """Writes it simplified, and runs it once."""
        simplify(self.model, path)
        _run(path)
        return "runs"


def contents(path: Path, state: State) -> bundle.Contents:
    """The bundle of a template, with the weights of `state`, which has its layout."""
    with zipfile.ZipFile(path) as archive:
        described: dict[str, Any] = json.loads(archive.read("bundle.json"))
        graphs = {role: archive.read(f"{role}.onnx") for role in described["engines"]}
    described["keypoints"] = skeleton.Keypoints(**described["keypoints"])
    described["limits"] = tuple(described["limits"])
    return bundle.Contents(
        graphs=lambda: [
            Filled(role, fill(onnx.load_from_string(data), state)) for role, data in graphs.items()
        ],
        **described,
    )


def fill(model: onnx.ModelProto, state: State) -> onnx.ModelProto:
    """`model` with the weights that its notes ask for."""
    derived: State = {}
    for initializer in model.graph.initializer:
        if not initializer.doc_string:
            continue
        weights = values(initializer.doc_string, state, derived)
        if list(weights.shape) != list(initializer.dims):
            raise ExportError(f"{initializer.name}: {list(weights.shape)}, expected {list(initializer.dims)}")
        filled = numpy_helper.from_array(np.ascontiguousarray(weights, np.float32), initializer.name)
        initializer.CopyFrom(filled)
    return model


def values(note: str, state: State, derived: State) -> np.ndarray:
    """What a note asks for; `derived` keeps what was computed."""
    if not note.startswith(DERIVES):
        return state[note]
    if note not in derived:
        kind = note.removeprefix(DERIVES).partition(" ")[0]
        derived |= {f"{DERIVES}{kind} {part}": found for part, found in DERIVED[kind](state).items()}
    return derived[note]


def _scale(state: State, norm: str) -> np.ndarray:
    return state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + np.float32(EPSILON))


def _shift(state: State, norm: str) -> np.ndarray:
    return state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * _scale(state, norm)


def mixed_heads(state: State) -> State:
    """LOGO-CAP's three heads, which read all branches at once, as one convolution a branch (`BranchMix`)."""
    heads = ("transition_cls", "transition_reg", "transition_embedding")
    weight = np.concatenate(
        [state[f"{head}.0.weight"] * _scale(state, f"{head}.1")[:, None, None, None] for head in heads]
    )
    widths = [len(state[f"backbone.stage4.0.branches.{branch}.0.conv1.weight"]) for branch in range(4)]
    parts = np.split(weight, np.cumsum(widths)[:-1], axis=1)
    bias = np.concatenate([_shift(state, f"{head}.1") for head in heads])
    return {"bias": bias} | {f"weights.{branch}": part for branch, part in enumerate(parts)}


def enlarged(state: State) -> State:
    """CenterGroup's deconvolution with the norm that follows it."""
    layers = "bu_model.keypoint_head.deconv_layers.0.0"
    scale = _scale(state, f"{layers}.1")
    return {
        "weight": state[f"{layers}.0.weight"] * scale[None, :, None, None],
        "bias": _shift(state, f"{layers}.1"),
    }


def mirrored_types(state: State) -> State:
    """CenterGroup's grouping network for tokens of the mirrored image (`with_mirrored_types`)."""
    types = state["group_model.kp_encoder.type_embed.weight"]
    keypoints = len(types) - 1
    order = skeleton.flip_order(skeleton.of(keypoints))
    found = {"kp_encoder.type_embed.weight": types[[*order, keypoints]]}
    for layer in ("q_linear", "k_linear", "v_linear"):
        for part in ("weight", "bias"):
            name = f"prediction_heads.3.loc_attn.{layer}.{part}"
            values = state[f"group_model.{name}"]
            by_type = values.reshape(keypoints, -1, *values.shape[1:])
            found[name] = by_type[order].reshape(values.shape)
    return found


DERIVED: dict[str, Callable[[State], State]] = {
    "mixed-heads": mixed_heads,
    "enlarged": enlarged,
    "mirrored-types": mirrored_types,
}
"""What is computed from a checkpoint's tensors, by the note's first word; the second names a part."""


def _run(path: Path) -> None:
    """Runs a graph on noise, at a small size. Raises `ExportError` if its outputs are not finite."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {}
    for given in session.get_inputs():
        shape = [size if isinstance(size, int) else SMALL[size] for size in given.shape]
        if given.type == "tensor(int32)":
            feeds[given.name] = np.zeros(shape, np.int32)
        else:
            feeds[given.name] = rng.uniform(-1, 1, shape).astype(np.float32)
    for output, values in zip(session.get_outputs(), session.run(None, feeds)):
        if not np.isfinite(values).all():
            raise ExportError(f"{path}: output {output.name} is not finite")
