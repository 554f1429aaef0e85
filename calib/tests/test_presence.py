"""Whether an object is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calib import presence


def sample(count: int, seed: int = 1) -> presence.Pairs:
    """A tenth of the boxes show the object, with scores higher by 0.2."""
    generator = np.random.default_rng(seed)
    there = (np.arange(count) % 10 == 0).astype(float)
    template = generator.integers(0, 4, count).astype(float)
    shown = np.where(there == 1, template, (template + 1) % 4)
    return presence.Pairs(generator.normal(0.4, 0.1, count) + 0.2 * there, there, template, shown)


def test_boxes_with_and_without_the_object_weigh_the_same() -> None:
    pairs = sample(4000)
    weight = pairs.weights()
    assert weight[pairs.there == 1].sum() == pytest.approx(weight[pairs.there == 0].sum())
    knots = presence.fit(pairs)
    # Two normal distributions of one width are equally likely half way between them.
    assert np.interp(0.5, *np.array(knots).T) == pytest.approx(0.5, abs=0.1)
    assert (np.diff(np.array(knots), axis=0) > 0).all()
    unseen = sample(4000, seed=2)
    assert presence.error(presence.probability(knots, unseen), unseen) < 0.04
    assert presence.error(unseen.score, unseen) > 0.1


def test_a_kind_is_measured_with_a_map_that_has_not_seen_it() -> None:
    """Kind 0 scores the other way round. A map that had seen it would know."""
    pairs = sample(4000)
    odd = pairs.template == 0
    pairs.there[odd] = 1 - pairs.there[odd]
    found = presence.left_out(pairs)
    kept = pairs.where(~odd & (pairs.shown != 0))
    assert np.allclose(found[odd], presence.probability(presence.fit(kept), pairs.where(odd)))
    assert not np.allclose(found[~odd], presence.probability(presence.fit(kept), pairs.where(~odd)))


def test_the_area_under_the_curve_by_hand() -> None:
    score, there = np.array([0.1, 0.2, 0.2, 0.3]), np.array([0.0, 0.0, 1.0, 1.0])
    assert presence.area(presence.Pairs(score, there, there, there)) == pytest.approx((1.5 + 2) / 4)


def test_boxes_are_read_by_file_name(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    annotations = [{"image_id": 7, "category_id": 2, "bbox": [0, 0, 1, 1]}] * 2
    path.write_text(json.dumps({"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": annotations}))
    assert presence.Folder(path, tmp_path).boxes() == {"a.jpg": [(2, [0, 0, 1, 1])] * 2}
