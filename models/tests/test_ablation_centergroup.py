"""Offset matching, which CenterGroup is compared with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.experiments import ablation_centergroup
from models.experiments.ablation_centergroup import nearest_peaks
from models.paths import ROOT
from models.reference.centergroup import Peaks


def test_the_nearest_peak_that_is_near_enough() -> None:
    predicted = np.zeros((2, 17, 2), np.float32)
    predicted[0, :, 1] = np.linspace(0, 100, 17)
    predicted[0, ::2, 0] = 40
    predicted[1] = predicted[0] + 200
    xy = np.zeros((18, 3, 2), int)
    xy[0] = [[44, 1], [47, 0], [300, 300]]
    xy[1] = [[0, 7], [200, 207], [0, 0]]
    score = np.tile(np.array([0.9, 0.5, 0.3], np.float32), (18, 1))
    keep = np.zeros((18, 3), bool)
    keep[0] = keep[1] = [True, True, False]
    poses, strength = nearest_peaks(predicted, Peaks(xy, score, keep), shared=False)
    # The reach is a fifth of the root of 40 by 100 pixels: 12.6.
    assert poses[0, 0].tolist() == [44, 1] and strength[0, 0] == np.float32(0.9)
    assert poses[1, 0].tolist() == predicted[1, 0].tolist() and strength[1, 0] == 0
    assert poses[:, 1].tolist() == [[0, 7], [200, 207]]
    assert strength[:, 1].tolist() == [np.float32(0.9), np.float32(0.5)]
    # No peak of any other type counts.
    assert (poses[:, 2:] == predicted[:, 2:]).all() and not strength[:, 2:].any()


def test_a_peak_is_for_one_pose_unless_peaks_are_shared() -> None:
    predicted = np.zeros((2, 17, 2), np.float32)
    predicted[0, :, 1] = np.linspace(0, 100, 17)
    predicted[0, ::2, 0] = 40
    predicted[1] = predicted[0] + 2
    xy = np.zeros((18, 1, 2), int)
    xy[0] = [[43, 2]]
    keep = np.zeros((18, 1), bool)
    keep[0] = True
    peaks = Peaks(xy, np.full((18, 1), 0.9, np.float32), keep)
    own, strength = nearest_peaks(predicted, peaks, shared=False)
    assert own[1, 0].tolist() == [43, 2] and own[0, 0].tolist() == [40, 0]
    assert strength[:, 0].tolist() == [0, np.float32(0.9)]
    both, _ = nearest_peaks(predicted, peaks, shared=True)
    assert both[:, 0].tolist() == [[43, 2]] * 2


@pytest.mark.parametrize("model", ["centergroup-tiny", "centergroup-movenet"])
def test_the_command_compares_on_the_first_images(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(1)
    torch.save(ablation_centergroup.NETWORKS[model]().state_dict(), tmp_path / "weights.pt")
    people = ROOT / "tests/data/people"
    options = ["--model", model, "--data", str(people), "--images", "2", "--side", "64", "--json"]
    ablation_centergroup.main([str(tmp_path / "weights.pt"), *options])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["grouping"] for line in lines] == ["attention", "offsets", "shared offsets"]
    assert all(line["ap"] >= 0 for line in lines)
