"""The PyTorch post-processing and the network's own modules against NumPy and the reference implementation's
arrays."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.networks import adaptation
from models.networks.logocap import LogoCap, LogoCapConfig
from models.reference import logocap, torch_logocap

CASES = ("case1_one_person", "case2_five_people", "case4_borders_integer")
SETTINGS = logocap.Settings()


@pytest.mark.parametrize("people", [1, 7, 20])
def test_equals_numpy(people: int) -> None:
    scene = torch_logocap.synthetic_scene(people, 64, seed=people)
    heatmaps, offsets, kam = scene
    result = torch_logocap.decode(heatmaps, offsets, kam, (300, 300), SETTINGS)
    expected = logocap.decode(heatmaps.numpy(), offsets.numpy(), kam.numpy(), (300, 300))
    assert len(result.centers) == people
    for field in fields(expected):
        np.testing.assert_allclose(getattr(result, field.name), getattr(expected, field.name), atol=1e-4)


def test_convolutional_message_passing(fixtures: Path) -> None:
    case = np.load(fixtures / "logocap" / "cmp_small.npz")

    config = replace(
        LogoCapConfig.tiny(), embedding=4, message_widths=(24, 16, 12), affine_mixture=20, mesh_radius=5
    )
    model = LogoCap(config).eval()
    state = {
        key.removeprefix("w_joints_mlp."): torch.from_numpy(case[key]) for key in case.files if key[0] == "w"
    }
    model.joints_mlp.load_state_dict(state)
    x = torch.from_numpy(case["in_x"])
    with torch.no_grad():
        for index, layer in enumerate(model.joints_mlp):
            if index == 4:
                attention = layer.attn_weights(x)
                np.testing.assert_allclose(attention, case["out_an_attention"], atol=1e-6)
            # The arrays were stored after any in-place ReLU that follows.
            x = layer(x.clone())
            np.testing.assert_allclose(x, case[f"out_layer{index}"], atol=2e-5)
    np.testing.assert_allclose(x.clamp(0, 1), case["out_kam"], atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_sampling_and_adaptation(fixtures: Path, name: str) -> None:
    case = {
        key: torch.from_numpy(value) for key, value in np.load(fixtures / "logocap" / f"{name}.npz").items()
    }
    poses = case["out_initial_poses"]
    batch_index = torch.zeros(len(poses), dtype=torch.long)
    found = adaptation.initial_poses(
        case["in_offsets_lr"][None], batch_index, case["out_centers_top30"][: len(poses), :2]
    )
    torch.testing.assert_close(found, poses, atol=2e-5, rtol=0)
    model = LogoCap(replace(LogoCapConfig.tiny(), window_radius=48))
    local = model.local_maps(case["in_embedding_lr"][None], batch_index, poses)
    count = len(case["out_local_kem"])
    torch.testing.assert_close(local[:count], case["out_local_kem"], atol=2e-5, rtol=0)
    person, keypoint = case["out_pick_nk"].long().T
    heatmaps = case["in_heatmaps_lr"][None]
    maps = adaptation.global_maps(heatmaps, batch_index, poses)
    torch.testing.assert_close(maps[person, keypoint], case["out_global_kem"], atol=2e-6, rtol=0)
    refined = model.adapt(heatmaps, batch_index, poses, case["in_kam_raw"])
    torch.testing.assert_close(refined[person, keypoint], case["out_refined"], atol=1e-6, rtol=0)


def test_adaptation_gradients() -> None:
    maps = torch.randn(1, 2, 7, 7, dtype=torch.float64, requires_grad=True)
    kernels = torch.rand(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: adaptation.adapt(a, b, 9.0), (maps, kernels))


def test_heads_equal_the_concatenated_features() -> None:
    torch.manual_seed(1)
    model = LogoCap(LogoCapConfig.tiny()).eval()
    image = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        branches = model.backbone(image)
        features = torch.cat(
            [branches[0]]
            + [
                torch.nn.functional.interpolate(
                    branch, size=branches[0].shape[-2:], mode="bilinear", align_corners=False
                )
                for branch in branches[1:]
            ],
            dim=1,
        )
        heatmaps, offsets, embedding = model.forward_backbone(image)
        torch.testing.assert_close(
            heatmaps, model.final_layer_cls(model.transition_cls(features)), atol=1e-5, rtol=1e-4
        )
        expected = model.final_layer_reg(model.transition_reg(features)) * model.config.offset_scale
        torch.testing.assert_close(offsets, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(embedding, model.transition_embedding(features), atol=1e-5, rtol=1e-4)
