"""From scores to probabilities."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from calib import scores
from models.export.bundle import MANIFEST, dump


def sample(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores far below the probability of being right, which is their square root."""
    generator = np.random.default_rng(seed)
    score = generator.uniform(0, 0.2, count)
    return score, (generator.uniform(0, 1, count) < np.sqrt(score)).astype(float)


def test_pooled_blocks_rise_and_keep_the_mean() -> None:
    score, right = sample(2000)
    steps = scores.pool_adjacent_violators(score, right)
    assert (np.diff(steps.score) > 0).all() and (np.diff(steps.probability) > 0).all()
    assert steps.count.sum() == 2000
    assert (steps.count * steps.probability).sum() == pytest.approx(right.sum())


def test_pooling_by_hand() -> None:
    steps = scores.pool_adjacent_violators(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 1.0, 0.0, 1.0]))
    assert steps.score == pytest.approx([0.1, 0.25, 0.4])
    assert steps.probability == pytest.approx([0.0, 0.5, 1.0])


def test_a_prior_says_less_of_small_blocks() -> None:
    score, right = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])
    plain, careful = (scores.pool_adjacent_violators(score, right, prior) for prior in (0.0, 1.0))
    assert plain.probability == pytest.approx([0.0, 1.0])
    assert careful.probability == pytest.approx([1 / 6, 3 / 4])
    assert careful.score == pytest.approx([0.25, 0.55])


def test_a_map_rises_and_calibrates_what_it_has_not_seen() -> None:
    knots = scores.fit(*sample(5000))
    x, y = np.array(knots).T
    assert 2 <= len(knots) <= scores.MAX_KNOTS
    assert (np.diff(x) > 0).all() and (np.diff(y) > 0).all()
    assert x[0] == 0 and x[-1] == 1 and y[0] >= 0 and y[-1] <= 1
    unseen = np.stack(sample(5000, seed=2), 1)
    before = scores.calibration_error(*unseen.T)
    after = scores.calibration_error(*scores.apply(knots, unseen).T)
    assert before > 0.15 and after < 0.03, (before, after)


def test_few_scores_are_enough_and_one_value_is_not() -> None:
    knots = scores.fit(np.array([0.2, 0.3]), np.array([0.0, 1.0]))
    assert (np.diff(np.array(knots), axis=0) > 0).all()
    with pytest.raises(ValueError, match="one value"):
        scores.fit(np.array([0.2, 0.2]), np.array([0.0, 1.0]))


def test_the_error_by_hand() -> None:
    found = scores.calibration_error(np.array([0.2, 0.2, 0.9, 1.0]), np.array([1.0, 0.0, 1.0, 1.0]))
    assert found == pytest.approx(0.5 * 0.3 + 0.5 * 0.05)


def test_the_section_follows_decode_and_is_dropped_for_measuring(tmp_path: Path) -> None:
    bundle = tmp_path / "some"
    bundle.mkdir()
    (bundle / "net.onnx").write_bytes(b"graph")
    manifest = {"bundle": {"name": "some"}, "decode": {"stride": 4}, "limits": {"poses": 30}}
    (bundle / MANIFEST).write_text(dump(manifest))
    scores.install(bundle, {"pose": [[0.0, 0.1], [1.0, 0.9]]})
    written = tomllib.loads((bundle / MANIFEST).read_text())
    assert list(written) == ["bundle", "decode", "score", "limits"]
    assert written["score"] == {"pose": [[0.0, 0.1], [1.0, 0.9]]}
    copies = tmp_path / "copies"
    copies.mkdir()
    copy = scores.without_scores(bundle, copies)
    assert copy.name == "some" and (copy / "net.onnx").read_bytes() == b"graph"
    assert tomllib.loads((copy / MANIFEST).read_text()) == manifest
