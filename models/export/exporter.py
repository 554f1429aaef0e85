"""Networks to ONNX, checked against PyTorch, as a bundle; and LOGO-CAP's graphs `backbone` and `kam`.

    python -m models.export logocap-tiny --checkpoint models/state/logocap-tiny/state.pt --out
    models/bundles/logocap-tiny

models/README.md says what goes into the graphs and what comes out. The height and width of the picture are
symbols of the graphs; the runtime makes them concrete when it opens an engine.
"""

from __future__ import annotations

import argparse
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnx
import onnxruntime
import onnxslim
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import skeleton
from models.networks.logocap import KEYPOINTS, LogoCap, LogoCapConfig

OPSET = 17
TOLERANCE = 1e-4
Sampling = Literal["gather", "grid-sample"]


class Network(Protocol):
    """A network that knows its own sizes."""

    config: Any

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> Any: ...


class ExportError(RuntimeError):
    """A graph that cannot be shipped."""


@dataclass(frozen=True)
class Graph:
    """A module with named tensors, and how its inputs may vary."""

    name: str
    module: nn.Module
    inputs: dict[str, dict[int, str]]
    """Per input its symbolic axes."""
    outputs: list[str]
    examples: list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]
    """Inputs of several sizes and what the network itself answers; the first is traced, all are compared."""


class BranchMix(nn.Module):
    """`hrnet.mix_branches` with the norms and ReLU that follow it, as an exporter and tract want them."""

    def __init__(self, layers: Sequence[nn.Sequential], widths: Sequence[int]) -> None:
        """`layers` are 1x1 convolutions of the same branches with their norms; their outputs are put one
        after the other."""
        super().__init__()
        # The norms follow a sum of convolutions, where no exporter can fold them.
        scales = [layer[1].weight / torch.sqrt(layer[1].running_var + layer[1].eps) for layer in layers]
        weight = torch.cat(
            [layer[0].weight * scale[:, None, None, None] for layer, scale in zip(layers, scales)]
        )
        shifts = [layer[1].bias - layer[1].running_mean * scale for layer, scale in zip(layers, scales)]
        self.bias = nn.Parameter(torch.cat(shifts).detach())
        parts = weight.detach().split(list(widths), dim=1)
        self.weights = nn.ParameterList(nn.Parameter(part.clone()) for part in parts)

    def forward(self, branches: list[Tensor]) -> Tensor:
        mixed = functional.conv2d(branches[0], self.weights[0], self.bias)
        coarse: Tensor | None = None
        for level, branch in enumerate(branches[1:], start=1):
            tall = stretch_rows(functional.conv2d(branch, self.weights[level]), 2**level)
            # Turned, so that columns too are stretched as rows: tract is ten times slower on the last axis.
            wide = stretch_rows(tall.transpose(2, 3), 2**level)
            coarse = wide if coarse is None else coarse + wide
        return functional.relu(mixed + coarse.transpose(2, 3))


class BackboneGraph(nn.Module):
    """`image [1, 3, H, W]` -> `heatmaps [18, h, w]`, `offsets [34, h, w]`, `embedding [C, h+2, w+2]`."""

    def __init__(self, model: LogoCap, flip: bool) -> None:
        super().__init__()
        self.model = model
        self.flip = flip
        order = skeleton.flip_order()
        self.register_buffer("heatmap_order", torch.tensor([*order, KEYPOINTS]))
        self.register_buffer("offset_order", torch.tensor([2 * k + axis for k in order for axis in (0, 1)]))
        self.register_buffer("offset_sign", torch.tensor([-1.0, 1.0]).repeat(KEYPOINTS)[:, None, None])
        layers = (model.transition_cls, model.transition_reg, model.transition_embedding)
        self.head_sizes = [layer[0].out_channels for layer in layers]
        self.mix = BranchMix(layers, model.config.backbone.widths)
        scale = model.config.offset_scale
        self.offset_weight = nn.Parameter((model.final_layer_reg.weight * scale).detach())
        self.offset_bias = nn.Parameter((model.final_layer_reg.bias * scale).detach())

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mixed = self.mix(self.model.backbone(image))
        heatmaps, offsets, embedding = mixed.split(self.head_sizes, dim=1)
        offsets = functional.conv2d(offsets, self.offset_weight, self.offset_bias)
        return self.model.final_layer_cls(heatmaps), offsets, embedding

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self.flip:
            heatmaps, offsets, embedding = (tensor[0] for tensor in self.maps(image))
            return heatmaps, offsets, pad_embedding(embedding)
        both = self.maps(torch.cat([image, image.flip(3)]))
        heatmaps, offsets = both[0], both[1]
        heatmaps = 0.5 * heatmaps[0] + 0.5 * heatmaps[1].flip(2)[self.heatmap_order]
        offsets = 0.5 * offsets[0] + 0.5 * offsets[1].flip(2)[self.offset_order] * self.offset_sign
        return heatmaps, offsets, pad_embedding(both[2][0])


class KamGraph(nn.Module):
    """`embedding [C, h+2, w+2]`, `grid [n*187, 11, 2]` -> raw `kam [n, 17, 11, 11]`."""

    def __init__(self, model: LogoCap, sampling: Sampling) -> None:
        super().__init__()
        self.message_passing = model.joints_mlp
        self.channels = model.config.embedding
        self.side = 2 * model.config.mesh_radius + 1
        self.sampling = sampling

    def forward(self, embedding: Tensor, grid: Tensor) -> Tensor:
        if self.sampling == "grid-sample":
            values = functional.grid_sample(
                embedding[None], grid[None], mode="bilinear", padding_mode="border", align_corners=True
            )
        else:
            values = gather_bilinear(
                embedding.flatten(1), torch._shape_as_tensor(embedding), grid.reshape(-1, 2)
            )
        local = values.reshape(self.channels, -1, KEYPOINTS, self.side, self.side).permute(1, 2, 0, 3, 4)
        return self.message_passing(local.reshape(-1, KEYPOINTS * self.channels, self.side, self.side))


def stretch_rows(maps: Tensor, factor: int) -> Tensor:
    """`[1, C, h, w]` -> `[1, C, h * factor, w]`, linear with half-pixel centres, the border repeated."""
    return functional.interpolate(maps, scale_factor=(factor, 1), mode="bilinear", align_corners=False)


def pad_embedding(embedding: Tensor) -> Tensor:
    """`[C, h, w]` -> `[C, h+2, w+2]`: a row and a column of zeros, then a copy of the last ones."""
    wide = torch.cat([functional.pad(embedding, (0, 1, 0, 0)), embedding[:, :, -1:]], dim=2)
    return torch.cat([functional.pad(wide, (0, 0, 0, 1)), wide[:, -1:]], dim=1)


def gather_bilinear(features: Tensor, shape: Tensor, grid: Tensor) -> Tensor:
    """`features [C, h*w]` at `grid [m, 2]` -> `[C, m]`, as GridSample with aligned corners and border padding
    does.

    `shape` holds `C, h, w` as a tensor, so that the graph asks for the size at run time.
    """
    size = shape[[2, 1]].float()
    position = torch.minimum(((grid + 1) * 0.5 * (size - 1)).clamp(min=0), size - 1)
    first = torch.minimum(position.floor(), size - 2)
    right, lower = (position - first).unbind(1)
    left, upper = 1 - right, 1 - lower
    index = (first[:, 1] * size[0] + first[:, 0]).long()
    below = index + shape[2]
    above = features[:, index] * left + features[:, index + 1] * right
    return above * upper + (features[:, below] * left + features[:, below + 1] * right) * lower


def normalised_grid(positions: Tensor, height: int, width: int) -> Tensor:
    """Positions `[..., 2]` in cells of an `height` x `width` embedding -> the values that `grid` holds for
    its padded form."""
    size = torch.tensor([width, height], dtype=positions.dtype)
    return (positions + (positions >= size - 1)) / (size + 1) * 2 - 1


@torch.no_grad()
def backbone_graph(model: LogoCap, flip: bool) -> Graph:
    """The first half of `model`, which must be in eval mode."""
    multiple = model.config.multiple
    generator = torch.Generator().manual_seed(1)
    order = skeleton.flip_order()
    examples = []
    for height, width in ((3, 4), (2, 2), (5, 3)):
        image = torch.randn(1, 3, height * multiple, width * multiple, generator=generator)
        heatmaps, offsets, embedding = (maps[0] for maps in model.forward_backbone(image))
        if flip:
            mirrored, vectors, _ = (maps[0].flip(2) for maps in model.forward_backbone(image.flip(3)))
            heatmaps = (heatmaps + mirrored[[*order, KEYPOINTS]]) / 2
            vectors = vectors.unflatten(0, (KEYPOINTS, 2))[order] * torch.tensor([-1, 1])[:, None, None]
            offsets = (offsets + vectors.flatten(0, 1)) / 2
        examples.append(((image,), (heatmaps, offsets, pad_embedding(embedding))))
    return Graph(
        name="backbone",
        module=BackboneGraph(model, flip).eval(),
        inputs={"image": {2: "H", 3: "W"}},
        outputs=["heatmaps", "offsets", "embedding"],
        examples=examples,
    )


@torch.no_grad()
def kam_graph(model: LogoCap, sampling: Sampling) -> Graph:
    """The second half of `model`, which must be in eval mode."""
    generator = torch.Generator().manual_seed(2)
    config = model.config
    examples = []
    embeddings = [torch.rand(config.embedding, 16, 24, generator=generator)]
    for rows, columns in ((1, 1), (3, 2)):
        # What the first half makes is of another size and spread than noise.
        image = torch.randn(1, 3, rows * config.multiple, columns * config.multiple, generator=generator)
        embeddings.append(model.forward_backbone(image)[2][0])
    for people, embedding in zip((4, 1, 3), embeddings):
        height, width = embedding.shape[1:]
        # Some keypoints lie outside on every side, some on whole cells.
        size = torch.tensor([width, height]) * config.stride
        poses = (torch.rand(people, KEYPOINTS, 2, generator=generator) * 1.4 - 0.2) * size
        poses[0, ::2] = poses[0, ::2].round()
        poses[0, 0] = size - config.stride
        first = torch.zeros(people, dtype=torch.long)
        grid = normalised_grid(model.local_mesh(poses) / config.stride, height, width)
        inputs = (pad_embedding(embedding), grid.flatten(0, 2))
        examples.append((inputs, (model.attraction_maps(embedding[None], first, poses),)))
    return Graph(
        name="kam",
        module=KamGraph(model, sampling).eval(),
        inputs={"embedding": {1: "rows", 2: "columns"}, "grid": {0: "points"}},
        outputs=["kam"],
        examples=examples,
    )


def export(graph: Graph, path: Path) -> float:
    """Writes `graph` to `path`, simplified, and compares it with PyTorch; returns the largest difference.

    Raises `ExportError` if ONNX's checker refuses it or an output differs by more than 1e-4 (of its largest
    value, where that is above 1).
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # It warns of sizes that become constants, which is meant, and of its own successor.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            graph.examples[0][0],
            buffer,
            input_names=list(graph.inputs),
            output_names=graph.outputs,
            dynamic_axes=graph.inputs,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnxslim.slim(onnx.load_from_string(buffer.getvalue()))
    # Only inputs keep their symbols: others would clash with the sizes that the runtime sets.
    del model.graph.value_info[:]
    for output in model.graph.output:
        for axis in output.type.tensor_type.shape.dim:
            if axis.HasField("dim_param"):
                axis.Clear()
    model.producer_name, model.producer_version = "sinew", ""
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path}: ONNX's checker refuses the graph: {error}") from error
    norms = [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
    if norms:
        raise ExportError(f"{path}: batch norms were left unfolded: {', '.join(norms)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return compare(graph, path)


def compare(graph: Graph, path: Path) -> float:
    """The largest difference between the file and the network over all examples of `graph`, as `export`
    counts it."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs, expected in graph.examples:
        feeds = {name: tensor.numpy() for name, tensor in zip(graph.inputs, inputs)}
        for name, found, tensor in zip(graph.outputs, session.run(graph.outputs, feeds), expected):
            reference = tensor.numpy()
            if found.shape != reference.shape:
                raise ExportError(
                    f"{path}: output {name}: shape {found.shape}, PyTorch gives {reference.shape}"
                )
            difference = float(np.abs(found - reference).max() / max(1.0, np.abs(reference).max()))
            if not difference <= TOLERANCE:
                raise ExportError(
                    f"{path}: output {name}: differs from PyTorch by {difference:.2e}, over {TOLERANCE}"
                )
            worst = max(worst, difference)
    return worst


def load_weights(model: Network, path: Path) -> None:
    """Loads a training state (its moving average), or a plain state dict, without running any pickled
    code."""
    contents = torch.load(path, map_location="cpu", weights_only=True)
    state = contents.get("average", contents)
    own = model.state_dict()
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    wrong += [name for name in state if name not in own]
    if wrong:
        raise ExportError(
            f"{path}: does not fit {model.config.name}: {', '.join(sorted(wrong)[:8])} ({len(wrong)} in all)"
        )
    model.load_state_dict(state)


def main() -> None:
    """Exports a network trained here as a bundle."""
    from models.export import bundle, capeformer_bundle, centergroup_bundle, lofr_bundle, logocap_bundle
    from models.networks.capeformer import CapeFormer, CapeFormerConfig
    from models.networks.centergroup import CenterGroup, CenterGroupConfig
    from models.networks.lofr import Lofr, LofrConfig

    networks = {
        "logocap-tiny": lambda: LogoCap(LogoCapConfig.tiny()),
        "centergroup-tiny": lambda: CenterGroup(CenterGroupConfig.tiny()),
        "capeformer-tiny": lambda: CapeFormer(CapeFormerConfig.tiny()),
        "lofr-tiny": lambda: Lofr(LofrConfig.tiny()),
        "lofr-r50": lambda: Lofr(LofrConfig.r50()),
        "lofr-w32": lambda: Lofr(LofrConfig.w32()),
        "lofr-w48": lambda: Lofr(LofrConfig.w48()),
    }
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", choices=sorted(networks))
    parser.add_argument("--checkpoint", type=Path, help="training state; without it the weights are random")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument(
        "--flip",
        action="store_true",
        help="LOGO-CAP: average with the mirrored picture, at twice the cost",
    )
    parser.add_argument("--sampling", choices=["gather", "grid-sample"], default="gather")
    parser.add_argument("--version", type=int, default=1, help="of the bundle's contents")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = networks[arguments.model]().eval()
    if arguments.checkpoint:
        load_weights(model, arguments.checkpoint)
    if isinstance(model, LogoCap):
        contents = logocap_bundle.contents(model, flip=arguments.flip, sampling=arguments.sampling)
    elif isinstance(model, CenterGroup):
        contents = centergroup_bundle.contents(model)
    elif isinstance(model, CapeFormer):
        contents = capeformer_bundle.contents(model)
    else:
        contents = lofr_bundle.contents(model)
    origin = "trained on generated pictures; see REPORT.md" if arguments.checkpoint else "random weights"
    options = bundle.Options(version=arguments.version, provenance=origin)
    for line in bundle.write(contents, arguments.out, options):
        print(line)


if __name__ == "__main__":
    main()
