"""CapeFormer's NumPy functions against arrays that the reference implementation computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.reference import capeformer


@pytest.fixture(scope="module")
def folder(fixtures: Path) -> Path:
    return fixtures / "capeformer"


def test_encodings(folder: Path) -> None:
    with np.load(folder / "pe_and_sigmoid.npz") as arrays:
        np.testing.assert_allclose(capeformer.grid_encoding(), arrays["pe_grid_8x8"], atol=2e-6)
        np.testing.assert_allclose(capeformer.identifiers(), arrays["support_id_k100"], atol=2e-6)
        np.testing.assert_allclose(capeformer.encode_points(arrays["coords"]), arrays["pe_coords"], atol=2e-6)
        np.testing.assert_allclose(
            capeformer.inverse_sigmoid(arrays["inv_sigmoid_x"]), arrays["inv_sigmoid_y"], atol=1e-6
        )


def test_support_weights(folder: Path) -> None:
    with np.load(folder / "a_support_1shot.npz") as arrays:
        weights, counts = capeformer.support_weights(arrays["joints_crop"], arrays["visible"])
        np.testing.assert_allclose(weights, arrays["derived_fold_weights"], atol=1e-6)
        np.testing.assert_array_equal(counts, arrays["target_weight"][:20] > 0)
        cells = arrays["feature"].reshape(len(arrays["feature"]), -1)
        np.testing.assert_allclose(weights @ cells.T, arrays["pooled"], atol=2e-6)


def test_proposals(folder: Path) -> None:
    with np.load(folder / "b_proposals.npz") as arrays:
        found = capeformer.proposals(arrays["similarity"])
        np.testing.assert_allclose(found, arrays["proposals"], atol=1e-6)


def test_positions_move(folder: Path) -> None:
    with np.load(folder / "c_position_update.npz") as arrays:
        points = arrays["out_points"]
        for layer in range(3):
            np.testing.assert_allclose(
                capeformer.move(points[layer], arrays["delta_loop"][layer]), points[layer + 1], atol=1e-5
            )
            np.testing.assert_allclose(
                capeformer.move(points[layer], arrays["delta_head"][layer]),
                arrays["final_per_layer"][layer],
                atol=1e-5,
            )


def test_crops(folder: Path) -> None:
    with np.load(folder / "e_preprocess.npz") as arrays:
        crop = capeformer.crop_of(arrays["bbox_xywh"])
        np.testing.assert_allclose(crop.center, arrays["center"], atol=1e-4)
        np.testing.assert_allclose(crop.side / 200, arrays["scale"], atol=1e-6)
        seen = arrays["visible"] > 0
        np.testing.assert_allclose(
            crop.to_crop(arrays["joints_src"][seen]), arrays["joints_crop"][seen], atol=1e-3
        )
        np.testing.assert_allclose(crop.to_image(arrays["pred_norm"]), arrays["pred_image"], atol=1e-3)


def test_boxes_are_cut_to_the_image() -> None:
    np.testing.assert_array_equal(capeformer.clean_box((-5, 10, 30, 400), (100, 80)), [0, 10, 29, 69])
    assert capeformer.clean_box((100, 10, 30, 40), (100, 80)) is None
    assert capeformer.clean_box((10, 10, 1, 40), (100, 80)) is None


def test_full_forward_pools_with_these_weights(folder: Path) -> None:
    for count in (8, 17):
        with np.load(folder / f"d_full_1shot_k{count}.npz") as arrays:
            weights, counts = capeformer.support_weights(arrays["joints_crop"][0], arrays["visible"][0])
            np.testing.assert_allclose(weights, arrays["fold_weights"][0], atol=1e-6)
            np.testing.assert_array_equal(counts, arrays["mask"][:count] > 0)
            live = arrays["mask"] > 0
            found = capeformer.proposals(arrays["similarity"][live])
            np.testing.assert_allclose(found, arrays["proposals"][live], atol=1e-6)
