"""CenterGroup's network against the reference arrays and the official layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.networks.centergroup import CenterGroup, CenterGroupConfig, GroupModel, position_rows
from models.reference.centergroup import taps

CASES = ("c1_one", "c5", "missing")


@pytest.fixture(scope="module")
def group_model(fixtures: Path) -> GroupModel:
    folder = fixtures / "centergroup"
    state: dict[str, torch.Tensor] = {}
    for part in ("encoder", "head"):
        with np.load(folder / f"group_weights_{part}.npz") as arrays:
            state |= {name: torch.from_numpy(arrays[name]) for name in arrays}
    model = GroupModel(CenterGroupConfig.w32()).eval()
    unmatched = model.load_state_dict(state, strict=False)
    assert not unmatched.unexpected_keys
    assert all(
        name.startswith(tuple(f"prediction_heads.{i}." for i in range(3))) for name in unmatched.missing_keys
    )
    return model


def load(fixtures: Path, case: str, part: str) -> dict[str, np.ndarray]:
    with np.load(fixtures / "centergroup" / f"{case}_{part}.npz") as arrays:
        return dict(arrays)


def tokens_of(arrays: dict[str, np.ndarray], kind: str) -> torch.Tensor:
    parts = [arrays[f"kp_{kind}"][0].reshape(510, -1), arrays[f"center_{kind}"][0].reshape(30, -1)]
    return torch.from_numpy(np.concatenate(parts))


@pytest.mark.parametrize("case", CASES)
def test_tokens_are_sampled_as_in_the_reference(fixtures: Path, case: str) -> None:
    peaks, tokens = load(fixtures, case, "peaks"), load(fixtures, case, "tokens")
    mask = peaks["pad_mask_quarter"].astype(bool)
    positions = position_rows(torch.from_numpy(mask), 128)
    for kind, name in (("kp", "kp"), ("center", "center")):
        feature_map = load(fixtures, case, f"fmap_{kind}")
        (embedding,) = feature_map.values()
        rows = torch.from_numpy(embedding.reshape(128, -1).T.copy())
        index, weight = taps(peaks[f"{name}_xy"].reshape(-1, 2), mask.shape)
        weights = torch.from_numpy(weight)[..., None]
        for source, part in ((rows, "embed"), (positions, "pos")):
            found = (source[torch.from_numpy(index)] * weights).sum(1)
            expected = torch.from_numpy(tokens[f"{name}_{part}"].reshape(-1, 128))
            assert float((found - expected).abs().max()) <= 4e-6, (name, part)


@pytest.mark.parametrize("case", CASES)
def test_encoder_and_logits_agree_with_the_reference(
    fixtures: Path, group_model: GroupModel, case: str
) -> None:
    peaks, tokens, group = (load(fixtures, case, part) for part in ("peaks", "tokens", "group"))
    keep = np.concatenate([peaks["kp_keep"].reshape(-1), peaks["center_keep"].reshape(-1)]).astype(bool)
    bias = torch.from_numpy(np.where(keep, 0, -1e4).astype(np.float32))
    features, positions = tokens_of(tokens, "embed"), tokens_of(tokens, "pos")
    with torch.no_grad():
        encoded, _ = group_model.encode(features, positions, bias)
        result = group_model(features, positions, bias)
    assert float((encoded[-1] - torch.from_numpy(group["encoder_out"][0])).abs().max()) <= 2e-5
    expected = torch.from_numpy(group["attn_logits"][0]).transpose(0, 1)
    counted = torch.from_numpy(keep[:510])
    assert torch.isneginf(expected[..., ~counted]).all()
    assert float((result.attention - expected)[..., counted].abs().max()) <= 2e-5
    for found, name in ((result.visible.T, "vis_logit"), (result.center, "center_logit")):
        assert float((found - torch.from_numpy(group[name][0])).abs().max()) <= 2e-5, name


def test_tokens_that_do_not_count_change_nothing() -> None:
    torch.manual_seed(0)
    model = GroupModel(CenterGroupConfig.tiny()).eval()
    tokens = 18 * 4
    features, positions = torch.randn(tokens, 64), torch.randn(tokens, 64)
    bias = torch.zeros(tokens)
    bias[[3, 20, 41]] = -1e4
    with torch.no_grad():
        before = model(features, positions, bias)
        features[[3, 20, 41]] = 9.0
        after = model(features, positions, bias)
    counted = bias[:-4] == 0
    torch.testing.assert_close(before.attention[..., counted], after.attention[..., counted])
    torch.testing.assert_close(before.visible, after.visible)
    torch.testing.assert_close(before.center, after.center)


def test_positions_count_from_where_the_padding_ends() -> None:
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[:, 2:5] = True
    rows = position_rows(mask, 8).reshape(4, 6, 8)
    # The first channel of either half is the plain sine of the count: rows 1 to 4, columns 0 0 1 2 3 3.
    torch.testing.assert_close(rows[:, 2, 0], torch.tensor([1.0, 2, 3, 4]).sin())
    torch.testing.assert_close(rows[0, :, 4], torch.tensor([0.0, 0, 1, 2, 3, 3]).sin())


@pytest.mark.parametrize("name", ["w32", "w48", "w48_crowdpose"])
def test_names_and_shapes_are_those_of_the_official_release(fixtures: Path, name: str) -> None:
    listing = f"centergroup_{name}" if "_" in name else f"centergroup_{name}_coco"
    path = fixtures.parent / "specs/checkpoints" / f"{listing}.txt"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    official = {
        key: shape for key, shape, _ in (line.split("\t") for line in path.read_text().splitlines() if line)
    }
    with torch.device("meta"):
        model = CenterGroup(getattr(CenterGroupConfig, name)())
    own = {key: str(tuple(value.shape)) for key, value in model.state_dict().items()}
    assert own == official


def test_a_new_network_looks_nearby_for_the_right_type() -> None:
    torch.manual_seed(1)
    model = CenterGroup(CenterGroupConfig.tiny()).eval()
    model.group_model.begin_nearby()
    # One centre in the middle of the image; of every type one token beside it and one far away.
    places = torch.tensor([[20, 20], [20, 44]])
    positions = position_rows(torch.ones(48, 48, dtype=torch.bool), model.config.width)
    rows = positions[(places[:, 1] * 48 + places[:, 0]).repeat(18)]
    features = torch.zeros(len(rows), model.config.width)
    with torch.no_grad():
        attention = model.group_model(features, rows, torch.zeros(len(rows))).attention[:, 0].softmax(-1)
    beside = attention.reshape(17, 17, 2)
    assert (beside[..., 0].sum(1) > 0.55).all(), "near before far"
    own = beside.sum(2).diagonal()
    assert (own > 1.5 / 17).all(), "its own type before the others"
