"""The NumPy post-processing of CenterGroup against arrays that the reference implementation computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
    answer = centergroup.decode(
        case.half(),
        case.peaks["pad_mask_full"],
        group["attn_logits"][0].transpose(1, 0, 2),
        group["vis_logit"][0].T,
        group["center_logit"][0],
        (int(width), int(height)),
        case.expected(),
    )
    np.testing.assert_array_equal(answer.network_poses[..., :2], poses["poses_net"][..., :2])
    np.testing.assert_allclose(answer.network_poses[..., 2], poses["poses_net"][..., 2], atol=1e-6)
    np.testing.assert_array_equal(answer.shifted_poses[..., :2], poses["poses_net_shifted"][..., :2])
    np.testing.assert_allclose(answer.poses[..., :2], poses["poses_image"][..., :2], atol=1e-3)
    np.testing.assert_allclose(answer.scores, poses["scores"], atol=1e-5)


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
    """OpenCV 4's warp of a white image, by count and by checksum; `tests/data/masks/make.py` made the file."""
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
