"""The NumPy post-processing of CenterGroup against arrays that the reference implementation computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.end_to_end import centergroup as end_to_end
from models.export import centergroup_graphs
from models.networks.centergroup import CenterGroup, CenterGroupConfig, position_rows
from models.paths import ROOT
from models.reference import centergroup, geometry
from models.reference.logocap import upsample

CASES = ("c1_one", "c5", "missing")
SETTINGS = centergroup.Settings()


class Case:
    """The arrays of one case."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.peaks = self.load("peaks")

    def load(self, part: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{self.name}_{part}.npz") as arrays:
            return dict(arrays)

    def half(self) -> np.ndarray:
        return (upsample(self.peaks["out0"][0], 2) + self.peaks["out1"][0]) / 2

    def expected(self) -> centergroup.Peaks:
        """The peaks in the reference's own order."""
        both = [
            np.concatenate([self.peaks[f"kp_{part}"][0], self.peaks[f"center_{part}"][0]])
            for part in ("xy", "score", "keep")
        ]
        return centergroup.Peaks(both[0], both[1], both[2].astype(bool))


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, fixtures: Path) -> Case:
    return Case(fixtures / "centergroup", request.param)


def test_both_heatmaps_are_averaged_and_enlarged(case: Case) -> None:
    if case.name != "c5":
        np.testing.assert_allclose(case.half(), case.load("half")["heat_half"][0], atol=1.2e-7)
    full = upsample(case.half(), 2)
    np.testing.assert_allclose(full[0], case.peaks["heat_full_joint0"], atol=1.2e-7)
    np.testing.assert_allclose(full[-1], case.peaks["heat_full_center"], atol=1.2e-7)


def test_peaks(case: Case) -> None:
    mask = case.peaks["pad_mask_full"]
    found = centergroup.find_peaks(upsample(case.half(), 2), mask, SETTINGS)
    expected = case.expected()
    np.testing.assert_allclose(found.score, expected.score, atol=1.2e-7)
    untied = 0
    for channel, values in enumerate(expected.score):
        counts = dict(zip(*np.unique(values, return_counts=True)))
        for rank, value in enumerate(values):
            # The last one may tie with a pixel that was cut off.
            if value > values[-1] and counts[value] == 1:
                untied += 1
                np.testing.assert_array_equal(found.xy[channel, rank], expected.xy[channel, rank])
                assert found.keep[channel, rank] == expected.keep[channel, rank]
    assert untied > 17


def test_people(case: Case) -> None:
    group, poses = case.load("group"), case.load("poses")
    height, width = poses["image_hw"]
    decoded = centergroup.decode(
        case.half(),
        case.peaks["pad_mask_full"],
        group["attn_logits"][0].transpose(1, 0, 2),
        group["vis_logit"][0].T,
        group["center_logit"][0],
        (int(width), int(height)),
        case.expected(),
    )
    np.testing.assert_array_equal(decoded.network_poses[..., :2], poses["poses_net"][..., :2])
    np.testing.assert_allclose(decoded.network_poses[..., 2], poses["poses_net"][..., 2], atol=1e-6)
    np.testing.assert_array_equal(decoded.shifted_poses[..., :2], poses["poses_net_shifted"][..., :2])
    np.testing.assert_allclose(decoded.poses[..., :2], poses["poses_image"][..., :2], atol=1e-3)
    np.testing.assert_allclose(decoded.scores, poses["scores"], atol=1e-5)


def test_tokens_read_their_own_map() -> None:
    peaks = centergroup.Peaks(
        xy=np.array([[[0, 0]], [[6, 5]]]), score=np.ones((2, 1)), keep=np.array([[True], [False]])
    )
    index, weight, bias = centergroup.tokens(peaks, (4, 8))
    # Pixel (0, 0) lies outside of all cell centres; (6, 5) is cell (1.125, 0.875).
    assert (index[0] == 0).all()
    np.testing.assert_allclose(weight.sum(axis=1), 1)
    assert index[1].tolist() == [32 + 1, 32 + 2, 32 + 9, 32 + 10]
    np.testing.assert_allclose(weight[1], [0.125 * 0.875, 0.125 * 0.125, 0.875 * 0.875, 0.875 * 0.125])
    assert bias.tolist() == [0, -1e4]


def test_a_flat_map_and_one_below_zero_have_peaks_all_the_same() -> None:
    mask = np.ones((24, 32), np.uint8)
    for value in (0.25, 0.0, -0.25):
        full = np.full((2, 24, 32), value, np.float32)
        peaks = centergroup.find_peaks(full, mask, SETTINGS)
        assert peaks.keep.sum() == (60 if value > 0 else 6)
    nothing = centergroup.find_peaks(np.ones((2, 24, 32), np.float32), np.zeros_like(mask), SETTINGS)
    assert not nothing.keep.any()


def test_masks_are_those_of_the_official_warp() -> None:
    """By count and by checksum; `tests/data/masks/make.py` made the file with OpenCV 4."""
    lines = (ROOT / "tests/golden/centergroup-masks.txt").read_text().splitlines()[1:]
    assert len(lines) > 200
    for line in lines:
        width, height, short_side, divisor, valid, expected = (int(word) for word in line.split())
        network = geometry.network_size(width, height, short_side)
        size = (network[0] // divisor, network[1] // divisor)
        mask = centergroup.image_mask((width, height), size)
        assert mask.sum() == valid, line
        index = np.flatnonzero(mask).astype(np.uint64)
        assert int((index * index).sum() % np.uint64(2**32)) == expected, line


def test_the_mirrored_graphs_merge_as_the_official_test() -> None:
    """The graphs' modules against the NumPy merge, in which the mirrored image is grouped by itself."""
    torch.manual_seed(6)
    config = replace(CenterGroupConfig.tiny(), offset_prior=False)
    model = CenterGroup(config).eval()
    image = (117, 96)
    size = (128, 96)
    pixels = torch.randn(1, 3, size[1], size[0])
    frame = end_to_end.Frame(image, pixels, flip=True)
    end_to_end.made_up(model, frame)
    expected = end_to_end.expected(model, frame)
    assert len(expected["poses"]) >= 3 and not frame.mask.all()

    backbone = centergroup_graphs.HRNetGraph(model, flip=True).eval()
    grouping = centergroup_graphs.MirroredGroupingGraph(model).eval()
    with torch.no_grad():
        heat_half, rows = backbone(pixels)
        found = centergroup.find_peaks(upsample(heat_half.numpy(), 2), frame.mask, SETTINGS)
        index, weight, bias = centergroup.tokens(found, (size[1] // 4, size[0] // 4))
        small = torch.from_numpy(frame.mask[::4, ::4].copy())
        mirrored = position_rows(small.flip(1), config.width).reshape(*small.shape, -1).flip(1).flatten(0, 1)
        positions = torch.cat([position_rows(small, config.width), mirrored])
        tokens = (torch.from_numpy(part) for part in (index, weight, bias))
        attention, visible, center = (part.numpy() for part in grouping(rows, positions, *tokens))
    people = centergroup.grouped(attention, visible, center, found)
    result = centergroup.finish(people, upsample(heat_half.numpy(), 2), image)
    clear = ~expected["ambiguous"]
    assert clear.mean() > 0.9
    np.testing.assert_allclose(result.poses[..., :3][clear], expected["poses"][clear], atol=1e-3)
    np.testing.assert_allclose(result.scores, expected["scores"], atol=1e-4)
    # Without the mirrored image the result is another one.
    alone = end_to_end.expected(model, frame._replace(flip=False))
    assert (
        alone["poses"].shape != expected["poses"].shape
        or np.abs(alone["poses"] - expected["poses"]).max() > 0.1
    )
