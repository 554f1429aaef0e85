"""The NumPy post-processing against arrays that the reference implementation computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.reference import geometry, logocap

CASES = ("case1_one_person", "case2_five_people", "case4_borders_integer")
SETTINGS = logocap.Settings()
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, fixtures: Path) -> dict[str, np.ndarray]:
    return dict(np.load(fixtures / "logocap" / f"{request.param}.npz"))


def run(case: dict[str, np.ndarray]) -> logocap.Decoded:
    return logocap.decode(
        case["in_heatmaps_lr"], case["in_offsets_lr"], case["in_kam_raw"], tuple(case["in_image_wh"].tolist())
    )


def in_fixture_order(centers: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """For each expected centre its row in `centers`; tied centres come in any order."""
    return np.array([np.flatnonzero((centers[:, :2] == row[:2]).all(axis=1)).item() for row in expected])


def test_upsampled_maps(case: dict[str, np.ndarray]) -> None:
    large = logocap.upsample(case["in_heatmaps_lr"], 4)
    np.testing.assert_array_equal(large[-1], case["out_center_hr"])
    np.testing.assert_array_equal(large[0], case["out_heatmap0_hr"])


def test_centers_and_initial_poses(case: dict[str, np.ndarray]) -> None:
    result = run(case)
    expected = case["out_centers_top30"][case["out_mask_top30"] > 0]
    assert len(result.centers) == len(expected)
    order = in_fixture_order(result.centers, expected)
    np.testing.assert_allclose(result.centers[order], expected, atol=1e-6)
    np.testing.assert_allclose(result.initial_poses[order], case["out_initial_poses"], atol=2e-5)


def test_mesh_and_local_maps(case: dict[str, np.ndarray]) -> None:
    mesh = logocap.local_mesh(case["out_initial_poses"], SETTINGS)
    expected = case["out_mesh_first"][0].transpose(2, 0, 1, 3)
    np.testing.assert_allclose(mesh[0], expected, atol=2e-5)
    count = len(case["out_local_kem"])
    maps = logocap.local_maps(case["in_embedding_lr"], mesh[:count], SETTINGS)
    np.testing.assert_allclose(maps, case["out_local_kem"], atol=2e-5)


def test_adaptation(case: dict[str, np.ndarray]) -> None:
    person, keypoint = case["out_pick_nk"].T
    large = logocap.upsample(case["in_heatmaps_lr"][:17], 4)
    maps = logocap.global_maps(large, case["out_initial_poses"], SETTINGS)
    np.testing.assert_allclose(maps[person, keypoint], case["out_global_kem"], atol=2e-6)
    weights = logocap.kernels(case["in_kam_raw"], SETTINGS)
    np.testing.assert_allclose(weights[person, keypoint], case["out_conv_kernel"], atol=1e-7)
    refined = logocap.convolve(maps, weights)
    np.testing.assert_allclose(refined[person, keypoint], case["out_refined"], atol=1e-6)
    values, index = logocap.top2(refined)
    np.testing.assert_allclose(values, case["out_top2_val"], atol=1e-6)
    differ = index != case["out_top2_idx"]
    close = np.abs(values[..., 0] - values[..., 1]) < 1e-5 * np.abs(values[..., 0])
    assert not (differ.any(axis=-1) & ~close).any()


def test_poses(case: dict[str, np.ndarray]) -> None:
    result = run(case)
    order = in_fixture_order(result.centers, case["out_centers_top30"][case["out_mask_top30"] > 0])
    # The attraction maps of tied centres follow the fixture's order, so hand them over in ours.
    case = case | {"in_kam_raw": case["in_kam_raw"][np.argsort(order)]}
    result = run(case)
    assert (result.refined_poses[..., 2].mean(axis=1) > 0).all()
    np.testing.assert_allclose(result.refined_poses[order], case["out_poses_net"], atol=2e-5)
    np.testing.assert_allclose(result.scores[order], case["out_scores"], atol=1e-6)
    assert len(result.keep) == len(case["out_nms_keep"])
    # Which of several equal poses survives depends on the order of ties; where it stands must not.
    for pose, expected in zip(result.poses, case["out_final_poses_img"]):
        np.testing.assert_allclose(pose, expected, atol=2e-5)


def test_pose_nms(case: dict[str, np.ndarray]) -> None:
    keep = logocap.pose_nms(case["out_poses_img_before_nms"], case["out_scores"], SETTINGS)
    np.testing.assert_array_equal(keep, case["out_nms_keep"])


def test_affine(case: dict[str, np.ndarray]) -> None:
    image, network = tuple(case["in_image_wh"].tolist()), tuple(case["in_net_wh"].tolist())
    assert geometry.network_size(image[0], image[1], int(case["in_input_size"])) == network
    affine = geometry.network_from_image(image, network)
    np.testing.assert_allclose(affine, case["out_affine_img_to_net"], atol=1e-9)
    np.testing.assert_allclose(geometry.invert(affine), case["out_affine_net_to_img"], atol=1e-9)


def test_flip_merge(fixtures: Path) -> None:
    case = np.load(fixtures / "logocap" / "flip_merge.npz")
    heatmaps, offsets = logocap.merge_flipped(case["in_heatmaps"], case["in_offsets"])
    np.testing.assert_allclose(heatmaps, case["out_heatmaps"][0], atol=1e-6)
    np.testing.assert_allclose(offsets, case["out_offsets"][0], atol=1e-6)
    np.testing.assert_allclose(logocap.upsample(heatmaps, 4), case["out_heatmaps_hr"][0], atol=1e-6)


@pytest.mark.parametrize("name", ["land", "port", "odd", "square"])
def test_preprocess(fixtures: Path, name: str) -> None:
    arrays = np.load(fixtures / "logocap" / "preprocess.npz")
    case = {key.removeprefix(f"{name}_"): arrays[key] for key in arrays.files if key.startswith(name)}
    image = case["in_rgb_u8"]
    size = (image.shape[1], image.shape[0])
    network = geometry.network_size(*size, int(case["in_input_size"]))
    assert network == tuple(case["out_size_wh"].tolist())
    assert geometry.image_center(*size) == tuple(case["out_center"].tolist())
    affine = geometry.network_from_image(size, network)
    np.testing.assert_allclose(affine, case["out_affine"], atol=1e-9)
    tensor = geometry.warp(image, geometry.invert(affine), network, MEAN, STD)
    # OpenCV rounds to whole grey levels; two of them are the agreed distance.
    difference = np.abs(tensor - case["out_tensor"]) * STD[:, None, None] * 255
    assert difference.max() <= 2.0
    assert difference.mean() <= 0.5
