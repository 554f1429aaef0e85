"""The generator of people: labels, targets, sprites, and the geometry under them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.people import labels, rotations, sprites, targets
from models.data.people.canvas import CLUTTER, Canvas
from models.data.people.ragged import Images, write_images
from models.networks import adaptation


def person_at(keypoints: np.ndarray) -> labels.Person:
    return labels.Person(
        keypoints.astype(np.float32), np.full(17, labels.VISIBLE, np.uint8), 900.0, (0, 0, 30, 30)
    )


def test_a_network_that_meets_its_targets_decodes_without_bias() -> None:
    generator = np.random.default_rng(0)
    errors = []
    for _ in range(40):
        keypoints = generator.uniform(60, 196, 2) + generator.normal(0, 25, (17, 2))
        made = targets.make_targets([person_at(keypoints)], 256)
        offsets = torch.from_numpy(made.offsets)[None]
        # The decoder's centre is the highest pixel of the upsampled map.
        high = torch.nn.functional.interpolate(
            torch.from_numpy(made.heatmaps)[None, 17:], scale_factor=4, mode="bilinear", align_corners=False
        )[0, 0]
        row, column = divmod(int(high.argmax()), 256)
        center = torch.tensor([[float(column), float(row)]])
        pose = adaptation.initial_poses(offsets, torch.zeros(1, dtype=torch.long), center)[0].numpy()
        errors.append(pose - keypoints)
    all_errors = np.concatenate(errors)
    # A centre's place within its cell is worth up to a pixel and a half, evenly to both sides.
    assert np.abs(all_errors).max() <= 1.51
    assert np.abs(all_errors.mean(0)).max() < 0.35


def test_a_heatmap_peaks_at_its_keypoint_after_upsampling() -> None:
    keypoints = np.tile([[101.5, 77.5]], (17, 1))
    heatmap = torch.from_numpy(targets.make_targets([person_at(keypoints)], 256).heatmaps)[None, :1]
    high = torch.nn.functional.interpolate(heatmap, scale_factor=4, mode="bilinear", align_corners=False)[
        0, 0
    ]
    weight = high / high.sum()
    steps = torch.arange(256.0)
    assert float((weight.sum(0) * steps).sum()) == pytest.approx(101.5, abs=0.02)
    assert float((weight.sum(1) * steps).sum()) == pytest.approx(77.5, abs=0.02)


def test_mirroring_swaps_sides_and_twice_is_the_identity() -> None:
    generator = np.random.default_rng(1)
    rgba = generator.integers(0, 255, (20, 30, 4), dtype=np.uint8)
    sprite = sprites.Sprite(rgba, generator.uniform(0, 20, (17, 2)), generator.random(17) < 0.5, "stand")
    mirrored = sprite.mirrored()
    left_wrist, right_wrist = 9, 10
    assert mirrored.keypoints[left_wrist, 0] == pytest.approx(29 - sprite.keypoints[right_wrist, 0])
    assert mirrored.visible[left_wrist] == sprite.visible[right_wrist]
    twice = mirrored.mirrored()
    np.testing.assert_allclose(twice.keypoints, sprite.keypoints)
    np.testing.assert_array_equal(twice.rgba, rgba)


def test_labels_tell_visible_hidden_and_absent() -> None:
    canvas = Canvas(np.zeros((100, 100, 3), np.float32))
    canvas.owner[10:90, 30:70] = 0
    keypoints = np.tile([[50.0, 40.0]], (17, 1))
    keypoints[9] = [-5, 40]
    keypoints[13], keypoints[15] = [50, 70], [50, 80]
    canvas.owner[60:90, 30:70] = CLUTTER
    visible = np.ones(17, bool)
    visible[3] = False
    person = labels.label_person(keypoints, visible, canvas.owner, 0)
    assert person is not None
    assert person.visibility[0] == labels.VISIBLE
    assert person.visibility[3] == labels.HIDDEN, "its own body hides the ear"
    assert person.visibility[9] == labels.ABSENT, "the wrist is outside"
    assert person.visibility[13] == labels.HIDDEN, "the knee is covered but the hip shows"
    assert person.visibility[15] == labels.ABSENT, "ankle and knee are covered"
    assert person.box == (30, 10, 40, 50)
    assert person.area == 2000


def test_a_limb_reaches_its_target_and_keeps_its_lengths() -> None:
    generator = np.random.default_rng(2)
    for _ in range(50):
        root, target, pole = generator.normal(size=(3, 3))
        distance = float(np.linalg.norm(target - root))
        first, second = distance * 0.6, distance * 0.7
        upper, lower = rotations.bend_to_reach(root, target, first, second, pole)
        np.testing.assert_allclose(root + first * upper + second * lower, target, atol=1e-9)
        turn = rotations.turning(upper, lower)
        np.testing.assert_allclose(turn @ upper, lower, atol=1e-9)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)


def test_images_of_many_sizes_come_back(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    made = [generator.integers(0, 255, (h, w, 4), dtype=np.uint8) for h, w in ((3, 5), (7, 2), (1, 1))]
    assert write_images(tmp_path / "a.bin", made) == 3
    read = Images(tmp_path / "a.bin")
    for before, after in zip(made, read):
        np.testing.assert_array_equal(before, after)
    (tmp_path / "a.bin").write_bytes(b"short")
    with pytest.raises(ValueError, match="bytes"):
        Images(tmp_path / "a.bin")
