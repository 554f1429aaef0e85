"""`centergroup-movenet` on a small random backbone: where its maps peak, what its tokens read, its graphs and
its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from models.export import centergroup_graphs, float16_weights
from models.export.exporter import TOLERANCE, Graph, export
from models.losses import centergroup as losses
from models.networks.centergroup_movenet import MoveNetCenterGroup, Upsampling, config
from models.networks.hrnet import HRNetConfig
from models.networks.logocap_movenet import MoveNetLogoCap
from models.networks.movenet import MoveNet, MoveNetConfig
from models.reference import centergroup as reference
from models.reference.logocap import upsample
from models.train import grouping_training, token_bank

SMALL = MoveNetConfig.small()
SIDE = 128
CELLS = SIDE // 4


@pytest.fixture
def logocap() -> MoveNetLogoCap:
    torch.manual_seed(3)
    return MoveNetLogoCap.from_movenet(MoveNet(SMALL)).eval()


@pytest.fixture
def model(logocap: MoveNetLogoCap) -> MoveNetCenterGroup:
    return MoveNetCenterGroup.from_logocap(logocap).eval()


def test_backbone_must_be_movenet() -> None:
    with pytest.raises(TypeError, match="expected MoveNetConfig"):
        MoveNetCenterGroup(replace(config(SMALL), backbone=HRNetConfig((4, 8, 16, 32))))


@torch.no_grad()
@pytest.mark.parametrize(
    ("keypoint", "error"), [((61.3, 40.8), 0.6), ((2.2, 125.4), 2.5)], ids=["inside", "corner"]
)
def test_a_bell_of_logocaps_decodes_to_its_keypoint(keypoint: tuple[float, float], error: float) -> None:
    """A keypoint at pixel `p` peaks at cell `(p - 1.5) / 4` of the coarse map; upsampled, chosen and shifted
    it is back at `p`, but for the outermost cells, behind which the border is repeated."""
    cells = (torch.tensor(keypoint) - 1.5) / 4
    along = torch.arange(float(CELLS))
    bell = 2 - (along[:, None] - cells[1]).square() / 2 - (along - cells[0]).square() / 2
    upsampling = Upsampling(4, 4, 18)
    half = upsampling(bell.expand(1, 18, -1, -1), torch.rand(1, 4, CELLS, CELLS)).sigmoid()[0].numpy()
    full = upsample(half, 2)
    found = reference.find_peaks(full, np.ones((SIDE, SIDE), np.uint8), reference.Settings())
    place = reference.shift(found.xy[:-1, :1].transpose(1, 0, 2).astype(np.float32), full)[0, 0]
    assert np.abs(place - keypoint).max() < error, place


@torch.no_grad()
def test_the_prior_points_where_logocaps_offsets_do(
    logocap: MoveNetLogoCap, model: MoveNetCenterGroup
) -> None:
    """Half a pixel before it, as the heatmaps are taught."""
    image = torch.randn(1, 3, SIDE, SIDE)
    _, offsets, _ = logocap.forward_backbone(image)
    _, rows = model.forward_backbone(image)
    cell = 11 * CELLS + 20
    center = torch.tensor([20.0, 11.0]) * 4 + 1.5
    predicted = center + model.group_model.prior.offsets(rows[0, CELLS * CELLS + cell][None])[0] * 4
    expected = center - offsets[0].flatten(1)[:, cell].reshape(17, 2) * 4
    torch.testing.assert_close(predicted, expected - 0.5, atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_tokens_read_of_the_bank_what_they_read_of_rows(model: MoveNetCenterGroup) -> None:
    """The layers that training learns, folded into convolutions, give tokens the same features."""
    pyramid = model.movenet.pyramid(*model.movenet.early(torch.randn(1, 3, SIDE, SIDE)))
    of_keypoints, of_centers = token_bank.features(model, pyramid)
    places = torch.randint(0, SIDE, (9, 2))

    def read(maps: torch.Tensor) -> torch.Tensor:
        return losses.read_map(maps[0], places, (CELLS, CELLS))

    scales = {}
    for name, maps in (("keypoint", of_keypoints), ("center", of_centers)):
        scales[f"{name}_mean"] = torch.randn(maps.shape[1])
        scales[f"{name}_spread"] = torch.rand(maps.shape[1]) + 1
    rows = grouping_training.Rows(model, scales).eval()
    learnt = rows(read(of_keypoints)[None], read(of_centers)[None], read(model.offsets(pyramid[-1]))[None])
    rows.fold(model)
    _, map_of_keypoints, map_of_centers = model.maps(pyramid)
    both = torch.cat([read(map_of_keypoints), read(map_of_centers)])
    torch.testing.assert_close(learnt[0], both, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("half", ["backbone", "grouping"])
def test_graphs_compute_what_the_network_does(model: MoveNetCenterGroup, half: str, tmp_path: Path) -> None:
    torch.nn.init.normal_(model.upsampling.correct.weight, std=0.1)
    model.load_state_dict(float16_weights.rounded(model.state_dict()))
    graph: Graph = getattr(centergroup_graphs, f"{half}_graph")(model)
    path = tmp_path / f"{half}.onnx"
    # `export` compares with PyTorch on three sizes.
    assert export(graph, path) <= TOLERANCE
    written = onnx.load(path).graph
    wide = [
        tensor.name
        for tensor in written.initializer
        if tensor.data_type == TensorProto.FLOAT and len(tensor.raw_data) >= float16_weights.LEAST_BYTES
    ]
    assert not wide, "float16 holds every weight"


def write_shard(folder: Path, logocap: MoveNetLogoCap) -> None:
    """Random images of 256 pixels, each with one person."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(4)
    shard: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        early = logocap.movenet.early(torch.randn(6, 3, 256, 256, generator=generator))
        for name, level in zip(token_bank.LEVELS, logocap.movenet.pyramid(*early)):
            shard[name] = level.half()
    shard["index"] = torch.arange(6)
    shard["keypoints"] = torch.rand(6, 17, 2, generator=generator) * 256
    shard["labelled"] = torch.ones(6, 17, dtype=torch.bool)
    shard["area"] = torch.full((6,), 9000.0)
    torch.save(shard, folder / "scenes-01-000.pt")


def test_training_changes_what_it_should_and_resumes(
    logocap: MoveNetLogoCap, model: MoveNetCenterGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(grouping_training, "monotonic", lambda: float(next(ticks)))
    shards = tmp_path / "shards"
    write_shard(shards, logocap)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    grouping_training.train_upsampling(model, shards, 0.1, 3, generator)
    tokens = token_bank.tokens_of(model, torch.load(shards / "scenes-01-000.pt", weights_only=True))
    (shards / "tokens").mkdir()
    torch.save(tokens, shards / "tokens/scenes-01-000.pt")
    first = grouping_training.train_grouping(model, tmp_path, shards / "tokens", 0.1, 4, 0.3, 1)
    assert first > 1
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    trained = ("upsampling.own.", "upsampling.correct.", "coarse_rows.", "keypoint_rows.", "group_model.")
    for prefix in trained:
        assert any(name.startswith(prefix) for name in changed), prefix
    assert not [name for name in changed if not name.startswith((*trained, "center_rows."))]
    weights = torch.load(tmp_path / "weights.pt", weights_only=True)
    MoveNetCenterGroup(config(SMALL)).load_state_dict(weights)
    again = grouping_training.train_grouping(model, tmp_path, shards / "tokens", 0.2, 4, 0.3, 1)
    assert again > first


def test_centers_are_matched_by_where_their_offsets_point() -> None:
    keypoints = torch.rand(2, 17, 2) * 50 + torch.tensor([[[0.0, 0.0]], [[100.0, 0.0]]])
    labelled, area = torch.ones(2, 17, dtype=torch.bool), torch.full((2,), 2500.0)
    poses = torch.stack([keypoints[1] + 1, keypoints[0], keypoints[0] + 400])
    person, counted = token_bank.match(poses, keypoints, labelled, area)
    assert person.tolist() == [1, 0, -1]
    assert counted.tolist() == [True, True, True]
    between = keypoints[:1] + 11
    assert 0.1 < float(token_bank.oks(between, keypoints, labelled, area).max()) < 0.4
    assert token_bank.match(between, keypoints, labelled, area)[1].tolist() == [False]
