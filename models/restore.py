"""A bundle's weights, to train on from: `python -m models.restore logocap-tiny --out STATE/start.pt`.

A bundle holds graphs, in which batch norms are folded into convolutions and some layers are joined. A network
of random weights is exported in the same way: what became of each of its tensors tells where the bundle keeps
the trained one. Folded norms get their statistics from pictures, so that training begins with what the bundle
computes: `python -m models.train MODEL --backbone-from STATE/start.pt`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from models.export import BackboneGraph, Graph, backbone_graph, compare, export
from models.logocap import LogoCap, LogoCapConfig
from models.training.objective import normalise
from models.training.state import save

EPSILON = nn.BatchNorm2d(1).eps
ROOT = Path(__file__).parents[1]


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
    graph.module(*graph.examples[0][0])
    for hook in hooks:
        hook.remove()
    return followed


def exported_values(graph: Graph) -> dict[str, np.ndarray]:
    """What an export writes of the tensors of `graph.module`, by the names they have there; a folded norm's
    shift stands for its bias."""
    state = {name: tensor.numpy() for name, tensor in graph.module.state_dict().items()}
    values = dict(state)
    for convolution, norm in norms(graph).items():
        scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + EPSILON)
        values[f"{convolution}.weight"] = state[f"{convolution}.weight"] * scale[:, None, None, None]
        values[f"{norm}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return values


def initializers(path: Path) -> dict[str, np.ndarray]:
    """Every weight of a graph."""
    # The joined heads' weights had another name when the shipped bundle was exported.
    return {
        tensor.name.replace("head_", "mix."): numpy_helper.to_array(tensor)
        for tensor in onnx.load(path).graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims
    }


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
            for turned in (False, True):
                seen = written.T if turned else written
                if value.shape == seen.shape and np.allclose(value, seen, atol=1e-5):
                    if place not in trained or trained[place].shape != written.shape:
                        raise RestoreError(f"{path}: {place} {written.shape}: missing or of another shape")
                    taken = trained[place].T if turned else trained[place]
                    found[name] = torch.from_numpy(taken.copy())
    return found


def without_norms(values: dict[str, Tensor], norms: Iterable[str]) -> dict[str, Tensor]:
    """Sets the batch norms of these prefixes to add their bias and change nothing else."""
    for norm in norms:
        ones = torch.ones_like(values[norm + "running_var"])
        values |= {norm + "running_var": ones, norm + "running_mean": ones * 0}
        values[norm + "weight"] = torch.sqrt(ones + EPSILON)
    return values


def separate_heads(graph: BackboneGraph, values: dict[str, Tensor]) -> None:
    """Undoes `BranchMix` and the scale of the offsets."""
    model = graph.model
    weight = torch.cat([values.pop(f"mix.weights.{level}") for level in range(len(graph.mix.weights))], 1)
    bias = values.pop("mix.bias")
    names = ("transition_cls", "transition_reg", "transition_embedding")
    sizes = graph.head_sizes
    for name, rows, shift in zip(names, weight.split(sizes), bias.split(sizes)):
        values[f"model.{name}.0.weight"] = rows.clone()
        values[f"model.{name}.1.bias"] = shift.clone()
    for part in ("weight", "bias"):
        values[f"model.final_layer_reg.{part}"] = values.pop(f"offset_{part}") / model.config.offset_scale


@torch.no_grad()
def restore(model: LogoCap, path: Path, pictures: Iterable[Tensor]) -> list[str]:
    """Gives `model` what the graph at `path`, a bundle's `backbone.onnx`, holds; the names of tensors that
    are not in it.

    `pictures` are inputs of the network, for the statistics of its norms.
    """
    begun = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    randomise(model)
    graph = backbone_graph(model, flip=False)
    values = read(graph, path)
    separate_heads(graph.module, values)
    own = {name.removeprefix("model."): value for name, value in values.items() if name.startswith("model.")}
    # Of a folded norm only the bias is left.
    folded = {name.removesuffix("bias") for name in own if name.removesuffix("bias") + "running_var" in begun}
    missing = [name for name in begun if name not in own and name.rpartition(".")[0] + "." not in folded]
    model.load_state_dict(without_norms(begun | own, folded))
    measure_norms(model, pictures)
    return missing


def measure_norms(model: LogoCap, pictures: Iterable[Tensor]) -> None:
    """Sets the statistics of all norms to what they see, and their weights so that nothing else changes."""
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def look(norm: nn.BatchNorm2d, given: tuple[Tensor, ...]) -> None:
        seen = given[0].transpose(0, 1).flatten(1)
        part = torch.stack([torch.full((len(seen),), seen.shape[1]), seen.sum(1), seen.square().sum(1)])
        sums.setdefault(norm, []).append(part.double())

    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    for picture in pictures:
        model.forward_backbone(picture)
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


def pictures(folder: Path, model: LogoCap, limit: int = 40) -> list[Tensor]:
    """Pictures of a folder as inputs of the network."""
    paths = sorted(folder.glob("*.jpg"))[:limit]
    if not paths:
        raise FileNotFoundError(f"{folder}: no .jpg in it; --pictures wants pictures of people")
    read_pictures = [cv2.resize(cv2.imread(str(path))[..., ::-1], (256, 256)) for path in paths]
    return [normalise(torch.from_numpy(picture)[None], model.config) for picture in read_pictures]


def main() -> None:
    """Writes a bundle's weights as a state to train on from."""
    parser = argparse.ArgumentParser(prog="python -m models.restore", description=main.__doc__)
    parser.add_argument("model", choices=["logocap-tiny"])
    parser.add_argument("--bundle", type=Path, help="default: the one that is shipped")
    parser.add_argument("--pictures", type=Path, default=ROOT / "tests/data/people", help="for the norms")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    path = (arguments.bundle or ROOT / "models/bundles" / arguments.model) / "backbone.onnx"
    model = LogoCap(LogoCapConfig.tiny()).eval()
    missing = restore(model, path, pictures(arguments.pictures, model))
    difference = compare(backbone_graph(model, flip=False), path)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save(arguments.out, model.state_dict())
    print(f"{arguments.out}: computes what {path} does, to {difference:.1e}")
    parts = sorted({name.partition(".")[0] for name in missing})
    print(f"not in it, and random: {', '.join(parts)}")


if __name__ == "__main__":
    main()
