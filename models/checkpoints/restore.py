"""A bundle's weights, to train on from.

    python -m models.checkpoints.restore lofr-tiny --out STATE/start.pt

A bundle holds graphs, in which batch norms are folded into convolutions and some layers are joined. A network
of random weights is exported in the same way: what became of each of its tensors tells where the bundle keeps
the trained one. Folded norms get their statistics from images, so that training begins with what the bundle
computes: `python -m models.train MODEL --weights-from STATE/start.pt`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from models.data.images import read_image
from models.export import capeformer_graphs, centergroup_graphs, float16_weights, lofr_graphs
from models.export.exporter import Graph, compare, export
from models.export.logocap_graphs import backbone_graph, kam_graph
from models.networks import centergroup_movenet
from models.networks.capeformer import SIDE
from models.networks.centergroup import GroupingHead, OffsetPrior, TokenEncoding
from models.networks.centergroup_movenet import OFFSET_SCALE, MoveNetCenterGroup
from models.networks.inputs import normalise
from models.networks.lofr import LofrConfig
from models.networks.logocap import AttentiveNorm, LogoCap, SecondStage
from models.networks.logocap_movenet import MoveNetLogoCap, config
from models.paths import BUNDLES, ROOT
from models.train.state import save
from models.train.tasks import TASKS

PEOPLE = "tests/data/people"
EPSILON = nn.BatchNorm2d(1).eps


class RestoreError(RuntimeError):
    """A bundle that was not made from this network."""


def randomise(model: nn.Module) -> None:
    """Values by which every tensor can be told from every other."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator)
            tensor.copy_(noise + 0.5 if name.endswith("running_var") else noise - 0.5)


def norms(graph: Graph) -> dict[str, str]:
    """Which batch norm follows which convolution, by their names in `graph.module`."""
    made: dict[int, str] = {}
    outputs: list[Tensor] = []
    followed: dict[str, str] = {}

    def after(name: str, output: Tensor) -> None:
        made[id(output)] = name
        outputs.append(output)

    def before(name: str, given: Tensor) -> None:
        if id(given) in made:
            followed[made[id(given)]] = name

    hooks = []
    for name, layer in graph.module.named_modules():
        if isinstance(layer, nn.Conv2d):
            hooks.append(layer.register_forward_hook(lambda _, __, out, name=name: after(name, out)))
        elif isinstance(layer, nn.BatchNorm2d):
            hooks.append(layer.register_forward_pre_hook(lambda _, given, name=name: before(name, given[0])))
    graph.module(*next(iter(graph.examples()))[0])
    for hook in hooks:
        hook.remove()
    return followed


def exported_values(graph: Graph) -> dict[str, np.ndarray]:
    """What an export writes of the tensors of `graph.module`, by the names they have there; a folded norm's
    shift stands for its bias. Attention's joined projections are three, `name[0]` to `name[2]`; a graph
    layer's relations are the two that it multiplies by, `name[own]` and `name[among]`; an attentive norm's
    statistics are what it multiplies by and subtracts then, `name[factor]` and `name[shift]`; an offsets'
    prior is scaled, a type's embedding an axis wider, and visibility's first layer two, of the person and of
    what attention gathered."""
    state = {name: tensor.numpy() for name, tensor in graph.module.state_dict().items()}
    values = dict(state)
    for convolution, norm in norms(graph).items():
        scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + EPSILON)
        values[f"{convolution}.weight"] = state[f"{convolution}.weight"] * scale[:, None, None, None]
        values[f"{norm}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    for name in [name for name in values if "in_proj_" in name]:
        parts = np.split(values.pop(name), 3)
        values |= {f"{name}[{index}]": part for index, part in enumerate(parts)}
    for name in [name for name in values if name.endswith(".relation")]:
        values.pop(name)
        layer = graph.module.get_submodule(name.rpartition(".")[0])
        weights = layer.weights().numpy()
        values[f"{name}[own]"] = np.diagonal(weights)[:, None]
        values[f"{name}[among]"] = weights * (1 - np.eye(len(weights), dtype=np.float32))
    for name, layer in graph.module.named_modules():
        if isinstance(layer, AttentiveNorm):
            factor = 1 / np.sqrt(values.pop(f"{name}.running_var") + layer.eps)
            values[f"{name}[factor]"] = factor
            values[f"{name}[shift]"] = values.pop(f"{name}.running_mean") * factor
        elif isinstance(layer, OffsetPrior):
            for part in ("weight", "bias"):
                values[f"{name}.linear.{part}[scaled]"] = values.pop(f"{name}.linear.{part}") * layer.scale
        elif isinstance(layer, TokenEncoding):
            values[f"{name}.type_embed.weight[each]"] = values.pop(f"{name}.type_embed.weight")[:, None]
        elif isinstance(layer, GroupingHead):
            weight = values.pop(f"{name}.mlp_vis.layers.0.weight")
            person, gathered = np.split(weight, [weight.shape[1] - layer.loc_attn.head_width], 1)
            values |= {
                f"{name}.mlp_vis.layers.0.weight[person]": person,
                f"{name}.mlp_vis.layers.0.weight[gathered]": gathered,
            }
    return values


def join_parts(found: dict[str, Tensor]) -> None:
    """What `exported_values` takes apart, whole again; what lacks a part is skipped."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name in [name for name in found if name.endswith("]")]:
        whole, _, part = name.removesuffix("]").partition("[")
        parts.setdefault(whole, {})[part] = found.pop(name)
    for name, by_part in parts.items():
        if by_part.keys() == {"0", "1", "2"}:
            found[name] = torch.cat([by_part[part] for part in "012"])
        elif by_part.keys() == {"own", "among"}:
            # Any logarithms do whose differences are these; those of 0 are of keypoints that are not joined.
            found[name] = (by_part["among"] + torch.diag(by_part["own"][:, 0])).clamp(min=1e-30).log()
        elif by_part.keys() == {"scaled"}:
            found[name] = by_part["scaled"] / OFFSET_SCALE
        elif by_part.keys() == {"each"}:
            found[name] = by_part["each"][:, 0]
        elif by_part.keys() == {"person", "gathered"}:
            found[name] = torch.cat([by_part["person"], by_part["gathered"]], 1)
        elif by_part.keys() == {"factor", "shift"}:
            found[f"{name}.running_var"] = by_part["factor"] ** -2 - EPSILON
            found[f"{name}.running_mean"] = by_part["shift"] / by_part["factor"]


def initializers(path: Path) -> dict[str, np.ndarray]:
    """Every weight of a graph, as float32."""
    model = onnx.load(path)
    float16_weights.unfold(model)
    # The joined heads' weights had another name when the shipped bundle was exported.
    return {
        tensor.name.replace("head_", "mix."): numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims
    }


def same(value: np.ndarray, written: np.ndarray) -> bool | None:
    """Whether `written` is `value` turned (true) or as it is (false); nothing where it is neither. A constant
    may have got axes of one before its own."""
    for turned, seen in ((False, written), (True, written.T)):
        fits = seen.shape[seen.ndim - value.ndim :] == value.shape and seen.size == value.size
        if fits and np.allclose(value, seen.reshape(value.shape), atol=1e-5):
            return turned
    return None


def read(graph: Graph, path: Path) -> dict[str, Tensor]:
    """The tensors of `graph.module`, which holds the values of `randomise`, as the bundle's graph at `path`
    has them."""
    with tempfile.TemporaryDirectory() as folder:
        fresh_path = Path(folder) / "fresh.onnx"
        export(graph, fresh_path)
        fresh = initializers(fresh_path)
    trained = initializers(path)
    found: dict[str, Tensor] = {}
    for name, value in exported_values(graph).items():
        for place, written in fresh.items():
            turned = same(value, written)
            if turned is None:
                continue
            if place not in trained or trained[place].shape != written.shape:
                raise RestoreError(f"{path}: {place} {written.shape}: missing or of another shape")
            taken = trained[place].T if turned else trained[place]
            found[name] = torch.from_numpy(taken.reshape(value.shape).copy())
    join_parts(found)
    return found


def named_values(path: Path) -> dict[str, Tensor]:
    """The weights of a graph whose exporter kept their names."""
    values = {name: torch.from_numpy(value.copy()) for name, value in initializers(path).items()}
    return {name: value for name, value in values.items() if name.startswith("model.")}


def without_norms(values: dict[str, Tensor], norms: Iterable[str]) -> dict[str, Tensor]:
    """Sets the batch norms of these prefixes to add their bias and change nothing else."""
    for norm in norms:
        ones = torch.ones_like(values[norm + "running_var"])
        values |= {norm + "running_var": ones, norm + "running_mean": ones * 0}
        values[norm + "weight"] = torch.sqrt(ones + EPSILON)
    return values


def take_apart(model: LogoCap, values: dict[str, Tensor]) -> None:
    """Undoes what LOGO-CAP's two graphs did."""
    for name in [name for name in values if name.startswith("message_passing.")]:
        values["model.joints_mlp." + name.removeprefix("message_passing.")] = values.pop(name)
    if "mix.bias" in values:
        separate_heads(model, values)


def separate_heads(model: LogoCap, values: dict[str, Tensor]) -> None:
    """Undoes `BranchMix` and the scale of the offsets."""
    levels = len(model.config.backbone.widths)
    weight = torch.cat([values.pop(f"mix.weights.{level}") for level in range(levels)], 1)
    bias = values.pop("mix.bias")
    names = ("transition_cls", "transition_reg", "transition_embedding")
    sizes = [getattr(model, name)[0].out_channels for name in names]
    for name, rows, shift in zip(names, weight.split(sizes), bias.split(sizes)):
        values[f"model.{name}.0.weight"] = rows.clone()
        values[f"model.{name}.1.bias"] = shift.clone()
    for part in ("weight", "bias"):
        values[f"model.final_layer_reg.{part}"] = values.pop(f"offset_{part}") / model.config.offset_scale


def name_folded_mix(model: MoveNetLogoCap, values: dict[str, Tensor]) -> None:
    """Undoes what LOGO-CAP's two graphs did: the norm behind `mix` was folded into it."""
    for name in [name for name in values if name.startswith("message_passing.")]:
        values["model.joints_mlp." + name.removeprefix("message_passing.")] = values.pop(name)
    if "model.mix.0.bias" in values:
        values["model.mix.1.bias"] = values.pop("model.mix.0.bias")


def find_people(model: SecondStage, images: Tensor, people: int = 4) -> None:
    """The network as an image sees it: kernels for the likeliest centres."""
    heatmaps, offsets, embedding = model.forward_backbone(images)
    _, cells = heatmaps[:, -1].flatten(1).topk(people)
    width = heatmaps.shape[-1]
    centres = (torch.stack([cells % width, cells // width], -1).flatten(0, 1) + 0.5) * model.config.stride
    rows = torch.arange(len(images)).repeat_interleave(people)
    model.attraction_maps(embedding, rows, model.initial_poses(offsets, rows, centres))


@dataclass(frozen=True)
class Shipped:
    """How one bundle's network is exported and run; `TASKS` has how it is made."""

    graphs: Callable[[Any], Sequence[Graph]]
    run: Callable[[Any, Tensor], object]
    """Lets every norm see a batch of inputs."""
    size: tuple[int, int]
    """Width and height of those inputs."""
    undo: Callable[[Any, dict[str, Tensor]], None] = lambda model, values: None
    """What the graphs' own modules did, undone."""
    network: Callable[[], nn.Module] | None = None
    """A new one, where `TASKS` has none."""
    named: tuple[str, ...] = ()
    """Graphs that have every weight under the network's own name."""


SHIPPED = {
    "logocap-tiny": Shipped(
        lambda model: [backbone_graph(model, flip=False), kam_graph(model, "gather")],
        find_people,
        (256, 256),
        take_apart,
    ),
    "logocap-movenet": Shipped(
        lambda model: [backbone_graph(model, flip=False), kam_graph(model, "gather")],
        find_people,
        (256, 256),
        name_folded_mix,
        lambda: MoveNetLogoCap(config()),
        ("backbone",),
    ),
    # The grouping modules before the last one only train, and are in no graph.
    "centergroup-movenet": Shipped(
        lambda model: [centergroup_graphs.backbone_graph(model), centergroup_graphs.grouping_graph(model)],
        lambda model, images: model.forward_backbone(images),
        (256, 256),
        network=lambda: MoveNetCenterGroup(centergroup_movenet.config()),
        named=("backbone",),
    ),
    "capeformer-tiny": Shipped(
        capeformer_graphs.graphs,
        lambda model, images: model.features(images),
        (SIDE, SIDE),
    ),
    "lofr-tiny": Shipped(
        lambda model: [lofr_graphs.graph(model)],
        lambda model, images: model(images),
        (LofrConfig.tiny().network_width, LofrConfig.tiny().height),
    ),
}


@torch.no_grad()
def restore(model: nn.Module, shipped: Shipped, bundle: Path, images: Iterable[Tensor]) -> list[str]:
    """Gives `model`, in eval mode, what the graphs of a bundle hold; the names of tensors that are in none.

    `images` are inputs of the network, for the statistics of its norms.
    """
    begun = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    randomise(model)
    own: dict[str, Tensor] = {}
    for graph in shipped.graphs(model):
        path = bundle / f"{graph.name}.onnx"
        values = named_values(path) if graph.name in shipped.named else read(graph, path)
        shipped.undo(model, values)
        own |= {
            name.removeprefix("model."): value
            for name, value in values.items()
            if name.removeprefix("model.") in begun
        }
    # Of a folded norm only the bias is left.
    folded = {name.removesuffix("bias") for name in own if name.removesuffix("bias") + "running_var" in begun}
    known = {*own, *(name for name in begun if name.startswith(tuple(folded)))}
    missing = [name for name in begun if name not in known and not name.endswith("num_batches_tracked")]
    model.load_state_dict(without_norms(begun | own, folded))
    measure_norms(model, shipped.run, images)
    return missing


def measure_norms(model: nn.Module, run: Callable[[Any, Tensor], object], images: Iterable[Tensor]) -> None:
    """Sets the statistics of all norms to what they see, and their weights so that nothing else changes."""
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def look(norm: nn.BatchNorm2d, given: tuple[Tensor, ...]) -> None:
        seen = given[0].transpose(0, 1).flatten(1)
        part = torch.stack([torch.full((len(seen),), seen.shape[1]), seen.sum(1), seen.square().sum(1)])
        sums.setdefault(norm, []).append(part.double())

    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    for image in images:
        run(model, image)
    for hook in hooks:
        hook.remove()
    for norm, parts in sums.items():
        count, total, squares = torch.stack(parts).sum(0)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=1e-8)
        # weight * (x - mean) / sqrt(variance + eps) + bias is what x + bias was.
        norm.weight.copy_(torch.sqrt(variance + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.bias.add_(mean.to(norm.bias))


def origin(name: str) -> tuple[Callable[[], nn.Module], Path]:
    """What makes a new network of that name, and the project's images that it has not seen."""
    if name in TASKS:
        return TASKS[name].network, ROOT / TASKS[name].held_out
    make = SHIPPED[name].network
    assert make is not None, f"{name}: neither here nor in TASKS"
    return make, ROOT / PEOPLE


def load_images(folder: Path, model: Any, size: tuple[int, int], limit: int = 40) -> list[Tensor]:
    """Images of a folder as inputs of the network."""
    paths = sorted(folder.glob("*.jpg"))[:limit]
    if not paths:
        raise FileNotFoundError(f"{folder}: no .jpg in it; --images wants images like those it will see")
    loaded = [cv2.resize(read_image(path), size) for path in paths]
    return [normalise(torch.from_numpy(image)[None], model.config) for image in loaded]


def main() -> None:
    """Writes a bundle's weights as a state to train on from."""
    parser = argparse.ArgumentParser(prog="python -m models.checkpoints.restore", description=main.__doc__)
    parser.add_argument("model", choices=sorted(SHIPPED))
    parser.add_argument("--bundle", type=Path, help="default: the one that is shipped")
    parser.add_argument(
        "--images", type=Path, help="for the norms (default: the network's set in tests/data)"
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    shipped = SHIPPED[arguments.model]
    bundle = arguments.bundle or BUNDLES / arguments.model
    make, own = origin(arguments.model)
    model = make().eval()
    folder = arguments.images or own
    missing = restore(model, shipped, bundle, load_images(folder, model, shipped.size))
    for graph in shipped.graphs(model):
        path = bundle / f"{graph.name}.onnx"
        print(f"{arguments.out}: computes what {path} does, to {compare(graph, path):.1e}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save(arguments.out, model.state_dict())
    parts = sorted({".".join(name.split(".")[:3]) for name in missing})
    print(f"not in it, and random: {', '.join(parts) or 'nothing'}")


if __name__ == "__main__":
    main()
