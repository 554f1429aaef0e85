"""Reading official checkpoints, and refusing everything else."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoints import official as checkpoint
from models.checkpoints.__main__ import main
from models.checkpoints.read import CheckpointError, read
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.networks.centergroup import CenterGroup, CenterGroupConfig
from models.networks.logocap import LogoCap, LogoCapConfig

TINY = LogoCapConfig.tiny()


@pytest.mark.parametrize(
    ("config", "scalars"),
    [(LogoCapConfig.w32(), 36_051_580), (LogoCapConfig.w48(), 72_194_268)],
    ids=["w32", "w48"],
)
def test_official_layout(config: LogoCapConfig, scalars: int, fixtures: Path) -> None:
    with torch.device("meta"):
        state = LogoCap(config).state_dict()
    assert len(state) == 1873
    assert sum(tensor.numel() for tensor in state.values()) == scalars
    listing = fixtures.parent / "specs" / "checkpoints" / f"{config.name.replace('-', '_')}_coco.txt"
    if not listing.exists():
        pytest.skip(f"{listing} is not there: names and shapes are not compared one by one")
    rows = [line.split("\t") for line in listing.read_text().splitlines() if not line.startswith("#")]
    found = {name: "x".join(map(str, tensor.shape)) or "scalar" for name, tensor in state.items()}
    assert found == {row[0]: row[1] for row in rows}


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return LogoCap(TINY).state_dict()


def refused(state: object, tmp_path: Path) -> str:
    path = tmp_path / "file.pth"
    torch.save(state, path)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(TINY, path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_the_right_checkpoint_loads(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    torch.save(state, path)
    loaded = checkpoint.load(TINY, path)
    assert not loaded.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())


def test_missing_tensor(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    del state["joints_mlp.4.weight_"]
    assert "1 missing: joints_mlp.4.weight_" in refused(state, tmp_path)


def test_unknown_tensor(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state["head.weight"] = torch.zeros(1)
    assert "1 unknown: head.weight" in refused(state, tmp_path)


def test_shape(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state["final_layer_cls.weight"] = torch.zeros(17, 32, 1, 1)
    assert "final_layer_cls.weight is 17x32x1x1, expected 18x32x1x1" in refused(state, tmp_path)


def test_type(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state["final_layer_cls.bias"] = state["final_layer_cls.bias"].int()
    assert "1 that are no floats: final_layer_cls.bias is int32" in refused(state, tmp_path)


def test_values(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state["final_layer_cls.bias"][3] = torch.nan
    assert "1 with values that are not finite: final_layer_cls.bias" in refused(state, tmp_path)


def test_everything_that_is_wrong_is_listed(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    del state["final_layer_cls.weight"]
    state["more"] = torch.zeros(1)
    state["final_layer_cls.bias"] = torch.zeros(1)
    message = refused(state, tmp_path)
    assert all(part in message for part in ("1 missing", "1 unknown", "1 of another shape"))


SMALL = CenterGroupConfig.tiny()


@pytest.fixture
def centergroup_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return CenterGroup(SMALL).state_dict()


class OfTheTrainer:
    """A class that the reader does not know, with everything that pickling can do to it."""

    def __init__(self) -> None:
        self.inner = {"rate": 0.1}

    def __reduce__(self) -> tuple[object, ...]:
        return OfTheTrainer, (), {"inner": 1}, iter([1, 2]), iter([("a", 3)])

    def append(self, _: object) -> None:
        pass

    extend = append

    def __setitem__(self, _: object, __: object) -> None:
        pass


def test_training_state_of_another_program(
    centergroup_state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.ckpt"
    old = {
        "module." + name.replace("tr_encoder", "graph_net").replace("group_model", "graph_model"): value
        for name, value in centergroup_state.items()
    }
    torch.save({"state_dict": old, "hyper_parameters": {"config": OfTheTrainer()}, "epoch": 7}, path)
    # Were it looked up, it would not be found.
    monkeypatch.delattr(sys.modules[__name__], "OfTheTrainer")
    loaded = checkpoint.load(SMALL, path)
    assert all(torch.equal(tensor, centergroup_state[name]) for name, tensor in loaded.state_dict().items())


def test_pickled_code_of_a_training_state_is_not_run(
    centergroup_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path, marker = tmp_path / "file.ckpt", tmp_path / "ran"
    torch.save({"state_dict": centergroup_state, "callbacks": Intruder(marker)}, path)
    checkpoint.load(SMALL, path)
    assert not marker.exists()
    # Where the tensors should be it is refused.
    torch.save({"state_dict": Intruder(marker)}, path)
    with pytest.raises(CheckpointError):
        checkpoint.load(SMALL, path)
    assert not marker.exists()


def test_training_states_are_strict_too(centergroup_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    del centergroup_state["group_model.initial_mlp.layers.0.bias"]
    centergroup_state["more"] = torch.zeros(1)
    torch.save(centergroup_state, path)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(SMALL, path)
    assert "1 missing: group_model.initial_mlp.layers.0.bias" in str(caught.value)
    assert "1 unknown: more" in str(caught.value)
    for contents in (b"", b"not a checkpoint", b"PK\x03\x04 cut off"):
        path.write_bytes(contents)
        with pytest.raises(CheckpointError, match="damaged"):
            checkpoint.load(SMALL, path)


class Intruder:
    """Runs a command where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    message = refused({"a": Intruder(marker)}, tmp_path)
    assert "these are no tensors: a" in message
    assert not marker.exists()


@pytest.mark.parametrize("contents", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_damaged_file(contents: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(contents)
    with pytest.raises(CheckpointError):
        read(path)


def test_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logocap-w32", str(tmp_path / "nothing.pth")]) == 2
    assert "no such file" in capsys.readouterr().err


# With the backbone that the release has, but small.
CAPE = replace(CapeFormerConfig.tiny(), backbone=None, blocks=(1, 1, 1, 1), base=8)


@pytest.fixture
def capeformer_state() -> dict[str, torch.Tensor]:
    """As the release has it, with the backbone twice."""
    torch.manual_seed(0)
    state = CapeFormer(CAPE).state_dict()
    copies = {
        name.replace("encoder_query.", "encoder_sample.", 1): tensor.clone()
        for name, tensor in state.items()
        if name.startswith("encoder_query.")
    }
    return {**copies, **state}


def test_two_equal_backbones_are_one(capeformer_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    torch.save({"meta": {"epoch": 1}, "state_dict": capeformer_state}, path)
    loaded = checkpoint.load(CAPE, path)
    assert all(torch.equal(tensor, capeformer_state[name]) for name, tensor in loaded.state_dict().items())


def test_two_backbones_must_be_equal(capeformer_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    capeformer_state["encoder_sample.layer1.0.conv1.weight"][0] += 1
    torch.save(capeformer_state, path)
    with pytest.raises(CheckpointError, match=r"1 tensors differ: layer1\.0\.conv1\.weight"):
        checkpoint.load(CAPE, path)
    del capeformer_state["encoder_sample.layer1.0.conv1.weight"]
    torch.save(capeformer_state, path)
    with pytest.raises(CheckpointError, match="only one of the two backbones"):
        checkpoint.load(CAPE, path)
