"""The teacher and the trainer of `logocap-movenet`, on small random networks."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from models.networks.logocap_movenet import MoveNetLogoCap
from models.networks.movenet import MoveNet, MoveNetConfig
from models.train import movenet_teacher, movenet_training

SMALL = MoveNetConfig.small()
SIDE = 64


@pytest.fixture
def network() -> MoveNet:
    torch.manual_seed(3)
    return MoveNet(SMALL).eval()


def write_shard(folder: Path, network: MoveNet) -> None:
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(6, 3, SIDE, SIDE, generator=generator)
    with torch.no_grad():
        fine, middle = network.backbone.early(images)
    folder.mkdir(parents=True)
    keypoints = torch.rand(6, 17, 2, generator=generator) * SIDE
    shard = {
        "fine": fine.half(),
        "middle": middle.half(),
        "heatmaps": torch.randint(0, 255, (6, 18, 16, 16), generator=generator).to(torch.uint8),
        "offsets": torch.randn(6, 34, 16, 16, generator=generator).half(),
        "index": torch.arange(6),
        "keypoints": keypoints,
        "labelled": torch.ones(6, 17, dtype=torch.bool),
        "area": torch.full((6,), 900.0),
    }
    torch.save(shard, folder / "scenes-01-000.pt")


def test_training_changes_what_it_should_and_resumes(
    network: MoveNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movenet_training, "DEEP_AFTER", 0)
    # A second passes each time that the clock is read: runs take as many steps on any machine.
    seconds = itertools.count()
    monkeypatch.setattr(movenet_training, "monotonic", lambda: float(next(seconds)))
    write_shard(tmp_path / "shards", network)
    model = MoveNetLogoCap.from_movenet(network)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    taken = movenet_training.train(model, tmp_path, tmp_path / "shards", 0.1, 4, 0.3, 1)
    assert taken > 1
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    for prefix in ("movenet.blocks.6.", "movenet.smooth.2.", "keypoints.", "offsets.", "own.", "joints_mlp."):
        assert any(name.startswith(prefix) for name in changed), prefix
    kept = ("movenet.stem.", *(f"movenet.blocks.{number}." for number in range(6)))
    assert not any(name.startswith(kept) for name in changed)
    average = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in average.values() if value.is_floating_point())
    again = MoveNetLogoCap.from_movenet(network)
    assert movenet_training.train(again, tmp_path, tmp_path / "shards", 0.2, 4, 0.3, 1) > taken


def test_training_without_shards_says_what_makes_them(network: MoveNet, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="movenet_bank"):
        movenet_training.train(MoveNetLogoCap.from_movenet(network), tmp_path, tmp_path, 0.01, 4, 0.3, 1)


def test_rates_follow_the_size_of_each_tensor(network: MoveNet) -> None:
    model = MoveNetLogoCap.from_movenet(network)
    with torch.no_grad():
        model.movenet.smooth[2].pointwise.weight.mul_(1e-2)
    groups = movenet_training.optimisers(model)[0].param_groups
    share = {id(parameter): group["share"] for group in groups for parameter in group["params"]}
    weight = model.movenet.smooth[2].pointwise.weight
    size = float(weight.detach().square().mean().sqrt())
    expected = movenet_training.RELATIVE_RATE * max(size, 1e-3) / movenet_training.SECOND_STAGE_RATE
    assert share[id(weight)] == pytest.approx(expected)


def test_mirroring_maps_twice_gives_the_same(network: MoveNet) -> None:
    with torch.no_grad():
        maps = network(torch.randn(1, 3, SIDE, SIDE))
    twice = movenet_teacher.mirrored(movenet_teacher.mirrored(maps))
    for name, values in maps.items():
        torch.testing.assert_close(twice[name], values)


def test_resized_vectors_keep_their_place() -> None:
    """A vector to a point of the image leads to the same point at another size of the maps."""
    cells = torch.arange(6) + 0.5
    point = 2.0
    # From the cell's index `i` (continuous `i`), to the point, at 6 cells.
    regress = (point - (cells - 0.5)).expand(1, 1, 6, 6).repeat(1, 34, 1, 1)
    maps = {"center": torch.zeros(1, 1, 6, 6), "regress": regress}
    found = movenet_teacher.resized(maps, (12, 12), 0.5)["regress"][0, 0, 0]
    # Borders repeat their cell, so the first and the last vector are skipped.
    reached = torch.arange(12) + found
    torch.testing.assert_close(reached[1:-1], torch.full((10,), 2 * point))


def test_parabola_finds_the_peak_between_cells() -> None:
    rows, columns = np.arange(16)[:, None], np.arange(16)
    place = np.array([33.0, 26.0])
    x, y = place / 4 - 0.5
    bell = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 1.5**2)).astype(np.float32)
    keypoints = np.repeat(np.round(place / 4 - 0.5)[None] * 4 + 2, 17, 0)
    found = movenet_teacher.sharpened(np.repeat(bell[None], 17, 0), keypoints)
    np.testing.assert_allclose(found, np.repeat(place[None], 17, 0), atol=0.05)
