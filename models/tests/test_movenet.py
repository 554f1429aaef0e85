"""MoveNet: the strict reader, the fold onto LOGO-CAP, and the exported graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from models.checkpoints import movenet as reader
from models.export import float16_weights
from models.export.exporter import export
from models.export.logocap_graphs import backbone_graph, kam_graph
from models.networks.logocap_movenet import MoveNetLogoCap, config, fold_offsets
from models.networks.movenet import MoveNet, MoveNetConfig, SamePadded

SMALL = MoveNetConfig.small()


@pytest.fixture
def network() -> MoveNet:
    torch.manual_seed(3)
    return MoveNet(SMALL).eval()


def constants_of(model: MoveNet) -> dict[str, np.ndarray]:
    """The constants of a graph model with the weights of `model`, and one of its post-processing."""
    made = {"StatefulPartitionedCall/mul/y": np.array(4, np.int32)}
    for layer, weight, bias in reader.layers(model):
        values = layer.weight.detach()
        order = (2, 3, 0, 1) if layer.groups > 1 else (2, 3, 1, 0)
        made[weight] = values.permute(order).numpy()
        if bias is not None:
            made[bias] = layer.bias.detach().numpy()
    return made


def write_graph_model(folder: Path, constants: dict[str, np.ndarray], extra: bytes = b"") -> Path:
    entries, data = [], b""
    for name, values in constants.items():
        half = values.dtype == np.float32
        entry = {"name": name, "shape": list(values.shape), "dtype": "float32" if half else "int32"}
        if half:
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        entries.append(entry)
        data += values.astype("<f2" if half else "<i4").tobytes()
    (folder / "weights.bin").write_bytes(data + extra)
    path = folder / "model.json"
    path.write_text(json.dumps({"weightsManifest": [{"paths": ["weights.bin"], "weights": entries}]}))
    return path


def test_reader_puts_every_weight_into_its_layer(network: MoveNet, tmp_path: Path) -> None:
    network.load_state_dict(float16_weights.rounded(network.state_dict()))
    read = reader.load(write_graph_model(tmp_path, constants_of(network)), SMALL)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for name, expected in network(image).items():
            assert torch.equal(read(image)[name], expected), name


def test_reader_refuses_a_missing_weight(network: MoveNet, tmp_path: Path) -> None:
    constants = constants_of(network)
    name = next(name for name in constants if name.endswith("block_3_project/Conv2D_weights"))
    del constants[name]
    with pytest.raises(reader.GraphModelError, match="block_3_project/Conv2D_weights: missing"):
        reader.load(write_graph_model(tmp_path, constants), SMALL)


def test_reader_refuses_a_weight_without_a_layer(network: MoveNet, tmp_path: Path) -> None:
    constants = constants_of(network) | {
        f"{reader.TRUNK}block_17_expand/Conv2D_weights": np.ones((1, 1, 2, 2), np.float32)
    }
    with pytest.raises(reader.GraphModelError, match=r"1 tensors belong to no layer, such as .*block_17"):
        reader.load(write_graph_model(tmp_path, constants), SMALL)


def test_reader_refuses_another_shape(network: MoveNet, tmp_path: Path) -> None:
    constants = constants_of(network)
    name = f"{reader.TRUNK}Conv1/Conv2D_weights"
    constants[name] = constants[name][..., :-1]
    with pytest.raises(reader.GraphModelError, match=r"Conv1/Conv2D_weights: shape \(7, 3, 3, 3\)"):
        reader.load(write_graph_model(tmp_path, constants), SMALL)


@pytest.mark.parametrize("change", [b"\0\0", None])
def test_reader_refuses_a_weight_file_of_another_length(
    network: MoveNet, tmp_path: Path, change: bytes | None
) -> None:
    path = write_graph_model(tmp_path, constants_of(network), change or b"")
    if change is None:
        weights = tmp_path / "weights.bin"
        weights.write_bytes(weights.read_bytes()[:-2])
    with pytest.raises(reader.GraphModelError, match=r"bytes after the last weight|which hold"):
        reader.read_constants(path)


def test_reader_refuses_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text("[]")
    with pytest.raises(reader.GraphModelError, match="not a TensorFlow"):
        reader.read_constants(path)


def test_stride_2_pads_below_and_right_only() -> None:
    layer = SamePadded(1, 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 0, 0] = 1
        layer.bias.zero_()
        image = torch.arange(16.0).reshape(1, 1, 4, 4)
        # The kernel's first tap lies on the output cell's own first pixel.
        assert torch.equal(layer(image)[0, 0], image[0, 0, ::2, ::2])


def test_folded_offsets_are_in_logocaps_sign_order_and_origin() -> None:
    last = torch.nn.Conv2d(5, 34, 1)
    features = torch.randn(1, 5, 2, 3)
    with torch.no_grad():
        regress = last(features)
        fold_offsets(last)
        offsets = last(features)
    for keypoint in (0, 16):
        y, x = regress[:, 2 * keypoint], regress[:, 2 * keypoint + 1]
        torch.testing.assert_close(offsets[:, 2 * keypoint], 0.5 - x)
        torch.testing.assert_close(offsets[:, 2 * keypoint + 1], 0.5 - y)


def test_initial_pose_is_movenets_place(network: MoveNet) -> None:
    """A centre in the middle of a cell leads to MoveNet's keypoints, in whole pixel centres."""
    model = MoveNetLogoCap.from_movenet(network).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        regress = network(image)["regress"][0, :, 5, 7].unflatten(0, (17, 2))
        _, offsets, _ = model.forward_backbone(image)
        centers = torch.tensor([[4 * 7 + 1.5, 4 * 5 + 1.5]])
        pose = model.initial_poses(offsets, torch.tensor([0]), centers)[0]
    # MoveNet's coordinates are continuous: the centre of the first pixel is at 0.5.
    expected = 4 * (torch.tensor([5, 7]) + regress).flip(1) - 0.5
    torch.testing.assert_close(pose, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_best_cell_of_an_attraction_map_is_where_its_heatmap_peaks(network: MoveNet) -> None:
    """To a mesh cell, as the map is linear between its cells; and no other keypoint's heatmap counts."""
    model = MoveNetLogoCap.from_movenet(network).eval()
    share = model.config.evidence_share
    # A keypoint at pixel 62 of both axes peaks at cell (62 - 1.5) / 4 of its heatmap; the others are
    # unlikely.
    cells = torch.arange(32.0)
    bell = -((cells - (62 - 1.5) / 4) ** 2)
    logits = torch.full((1, 17, 32, 32), -8.0)
    logits[0, 3] = 4 + bell[:, None] + bell
    embedding = torch.cat([torch.rand(1, 16, 32, 32), model.on_the_mesh(logits)], 1)
    spacing = model.mesh_spacing[3]
    for dx, dy in ((0, 0), (2, -1), (-4, 3)):
        poses = torch.full((1, 17, 2), 62.0) - spacing * torch.tensor([dx, dy])
        index = torch.zeros(1, dtype=torch.long)
        maps = model.attraction_maps(embedding, index, poses)
        row, column = divmod(int(maps[0, 3].argmax()), 11)
        assert abs(column - 5 - dx) <= 1 and abs(row - 5 - dy) <= 1, (dx, dy)
        learnt = model.joints_mlp(model.local_maps(embedding[:, :16], index, poses))
        assert torch.allclose(maps[:, 4], (1 - share) * learnt[:, 4], atol=1e-3)


def test_the_exported_attraction_maps_hold_the_evidence(network: MoveNet, tmp_path: Path) -> None:
    model = MoveNetLogoCap.from_movenet(network).eval()
    assert export(kam_graph(model, "gather"), tmp_path / "kam.onnx") < 1e-4
    assert export(kam_graph(model, "grid-sample"), tmp_path / "sampled.onnx") < 1e-4


def test_backbone_must_be_movenet() -> None:
    from dataclasses import replace

    from models.networks.hrnet import HRNetConfig

    with pytest.raises(TypeError, match="expected MoveNetConfig"):
        MoveNetLogoCap(replace(config(SMALL), backbone=HRNetConfig((4, 8, 16, 32))))


def test_exported_graph_equals_the_network_and_stores_float16(network: MoveNet, tmp_path: Path) -> None:
    model = MoveNetLogoCap.from_movenet(network)
    model.load_state_dict(float16_weights.rounded(model.state_dict()))
    model.mix[1].running_mean.normal_()
    model.mix[1].running_var.uniform_(0.5, 2)
    path = tmp_path / "backbone.onnx"
    # `export` compares the file with the network and raises where they differ.
    assert export(backbone_graph(model.eval(), flip=False), path) < 1e-4
    graph = onnx.load(path).graph
    halves = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16]
    assert halves
    large = [
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and len(tensor.raw_data) >= float16_weights.LEAST_BYTES
    ]
    assert large == ["model.mix.0.weight"], "only the folded norm is not exact in float16"


def test_widen_undoes_narrow(network: MoveNet, tmp_path: Path) -> None:
    model = MoveNetLogoCap.from_movenet(network)
    model.load_state_dict(float16_weights.rounded(model.state_dict()))
    path = tmp_path / "backbone.onnx"
    export(backbone_graph(model.eval(), flip=False), path)
    narrowed = onnx.load(path)
    widened = onnx.load(path)
    float16_weights.unfold(widened)
    assert not any(tensor.data_type == TensorProto.FLOAT16 for tensor in widened.graph.initializer)
    assert float16_weights.narrow(widened) == sum(
        tensor.data_type == TensorProto.FLOAT16 for tensor in narrowed.graph.initializer
    )
    assert {tensor.name: tensor.raw_data for tensor in widened.graph.initializer} == {
        tensor.name: tensor.raw_data for tensor in narrowed.graph.initializer
    }


def test_values_that_float16_does_not_hold_stay(tmp_path: Path) -> None:
    assert float16_weights.is_exact(np.array([0.5, -1024.0], np.float32))
    assert not float16_weights.is_exact(np.array([0.1], np.float32))
    assert not float16_weights.is_exact(np.array([1e6], np.float32))
