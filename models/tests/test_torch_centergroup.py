"""The PyTorch post-processing of CenterGroup that benches compare with results what the NumPy one does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.reference import centergroup, torch_centergroup

SETTINGS = centergroup.Settings()


@pytest.mark.parametrize("people", [0, 1, 6])
def test_same_results(people: int) -> None:
    # Of seeds without equal peaks, whose order `topk` leaves open.
    scene = torch_centergroup.synthetic_scene(people, 64, width=8, seed=10 + people)
    attention, visible, center = (scene[name] for name in ("attn", "vis", "center"))
    maps = (scene["keypoint_map"], scene["center_map"])
    found = torch_centergroup.decode(
        scene["heat_half"], maps, attention, visible, center, (300, 300), SETTINGS
    )
    mask = np.ones((128, 128), np.uint8)
    expected = centergroup.decode(
        scene["heat_half"].numpy(), mask, attention.numpy(), visible.numpy(), center.numpy(), (300, 300)
    )
    assert len(expected.poses) >= 3
    np.testing.assert_allclose(found.poses, expected.poses, atol=1e-4)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_features_are_those_of_the_taps() -> None:
    scene = torch_centergroup.synthetic_scene(3, 64, width=8)
    full = torch_centergroup.enlarge(scene["heat_half"], 2)
    peaks = torch_centergroup.find_peaks(full, torch.ones(128, 128), SETTINGS)
    maps = (scene["keypoint_map"], scene["center_map"])
    features, positions = torch_centergroup.token_features(maps, torch.ones(32, 32), peaks)
    index, weight, _ = centergroup.tokens(peaks, (32, 32))
    rows = np.concatenate([part.flatten(1).T.numpy() for part in maps])
    expected = (rows[index] * weight[..., None]).sum(1)
    np.testing.assert_allclose(features.numpy(), expected, atol=1e-5)
    assert positions.shape == features.shape
