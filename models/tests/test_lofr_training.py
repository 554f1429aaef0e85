"""LOFR's crops and losses: what is taught, and that places are not."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models import skeleton
from models.data import crops
from models.data.stored_people import SIDE, StoredPeople, store
from models.evaluate.crops import HeldOutCrops
from models.experiments import ablation_lofr
from models.losses import lofr as lofr_loss
from models.losses.lofr import Weights
from models.networks.lofr import Lofr, LofrConfig
from models.networks.logocap import LogoCap, LogoCapConfig
from models.paths import ROOT
from models.train.tasks import LofrTask

PEOPLE = ROOT / "tests/data/people"
STYLE = crops.CropStyle(64, 64)
CONFIG = replace(LofrConfig.tiny(), height=64, network_width=64, encoder_layers=1, decoder_layers=1)


def spots() -> crops.Instance:
    """An image that is black but for a white spot at every keypoint."""
    generator = np.random.default_rng(1)
    image = np.zeros((240, 200, 3), np.uint8)
    keypoints = generator.uniform((20, 20), (180, 220), (17, 2))
    for x, y in keypoints:
        cv2.circle(image, (round(x), round(y)), 4, (255, 255, 255), -1)
    return crops.Instance(image, keypoints, generator.random(17) < 0.8, (10, 10, 180, 220))


def test_crops_show_what_they_say() -> None:
    instance = spots()
    generator = np.random.default_rng(2)
    counts = []
    for _ in range(60):
        image, places, shown = crops.cut(instance, replace(STYLE, erase_probability=0.0), generator)
        assert image.shape == (64, 64, 3)
        counts.append(shown.sum())
        for x, y in places[shown]:
            assert image[round(y), round(x)].max() > 100
    assert min(counts) < 6 and max(counts) >= instance.labelled.sum() - 2


def test_what_is_painted_over_is_not_shown() -> None:
    instance = replace_labelled(spots())
    generator = np.random.default_rng(3)
    style = replace(STYLE, part_probability=0.0, erase_probability=1.0, scale=(0.8, 0.8), turn=0.0)
    shown = [crops.cut(instance, style, generator)[2].sum() for _ in range(30)]
    assert min(shown) < 15 and max(shown) == 17


def replace_labelled(instance: crops.Instance) -> crops.Instance:
    return replace(instance, labelled=np.ones(17, bool))


def test_windows_show_what_they_say() -> None:
    instance, generator = spots(), np.random.default_rng(5)
    style = replace(STYLE, window=24)
    counts, seen = [], []
    for _ in range(60):
        image, places, shown = crops.cut(instance, style, generator)
        assert image.shape == (24, 24, 3)
        counts.append(shown.sum())
        # A spot is about a pixel wide here, so that none is as bright as in the image.
        seen += [image[round(y), round(x)].max() > 8 for x, y in places[shown]]
    # Of a whole crop it would be nearly all.
    assert np.mean(seen) > 0.95 and min(counts) < 3 and 2 < np.mean(counts) < 10


def test_mirrored_crops_swap_sides() -> None:
    instance = spots()
    order = skeleton.flip_order()
    style = replace(STYLE, part_probability=0.0, erase_probability=0.0, scale=(0.6, 0.6), turn=0.0)
    generator = np.random.default_rng(4)
    seen = {tuple(crops.cut(instance, style, generator)[2]) for _ in range(20)}
    assert seen == {tuple(instance.labelled), tuple(instance.labelled[order])}


class Fixed:
    """One image, again and again."""

    def instances(self, generator: np.random.Generator) -> Iterator[crops.Instance]:
        while True:
            yield spots()


def batch(located: float) -> crops.CropBatch:
    return crops.CropBatches(Fixed(), STYLE, 6, 1, 0, located)[0]


def test_places_leave_only_where_they_are_meant_to() -> None:
    assert batch(0.0).places.isnan().all()
    everything = batch(1.0)
    assert (everything.places.isnan().any(-1) == ~everything.present).all()
    half = [
        crops.CropBatches(Fixed(), STYLE, 6, 1, 0, 0.25)[step].places.isnan().all((1, 2))
        for step in range(20)
    ]
    assert 0.5 < torch.cat(half).float().mean() < 0.95


def test_no_location_reaches_the_loss() -> None:
    """Places are NaN; had they reached the loss or a gradient, these were NaN too."""
    torch.manual_seed(1)
    model = Lofr(CONFIG)
    total, parts = lofr_loss.objective(model, batch(0.0), Weights())
    total.backward()
    assert set(parts) == {"cnn", "encoder", "final", "diversity"} and np.isfinite(total.item())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    # And the other way about: a loss of places does become NaN.
    assert (batch(0.0).places - 1).square().mean().isnan()


def test_located_crops_teach_places() -> None:
    torch.manual_seed(1)
    one = batch(1.0)
    _, parts = lofr_loss.objective(Lofr(CONFIG), one, Weights())
    assert parts["located"] > 0
    bells = torch.full((1, 17, 16, 16), 1e-6)
    places = torch.full((1, 17, 2), torch.nan)
    places[0, 3] = torch.tensor([21.5, 9.5])
    bells[0, 3] = crops_bell(21.5, 9.5)
    assert lofr_loss.located_loss(bells, places) < 1e-6
    moved = places + 8
    assert lofr_loss.located_loss(bells, moved) > 1e-3


def crops_bell(x: float, y: float) -> torch.Tensor:
    rows, columns = torch.arange(16)[:, None], torch.arange(16)[None]
    squared = (rows - ((y + 0.5) / 4 - 0.5)) ** 2 + (columns - ((x + 0.5) / 4 - 0.5)) ** 2
    return torch.exp(-squared / 2) * 0.3


def test_diversity_is_least_for_parts_that_differ() -> None:
    assert lofr_loss.diversity(torch.eye(5)[None]) == pytest.approx(0, abs=1e-6)
    assert lofr_loss.diversity(torch.ones(2, 5, 8)) == pytest.approx(1, abs=1e-6)


def test_held_out_crops_lie_where_their_images_are() -> None:
    held_out = HeldOutCrops.read(PEOPLE, (96, 128), limit=40)
    assert held_out.images.shape == (40, 128, 96, 3)
    inside = (held_out.places >= -1) & (held_out.places <= (96, 128))
    assert inside[held_out.shown].mean() > 0.97
    # Guessing reaches this much: a result below it has learnt nothing.
    assert 0.4 < held_out.mean_pose()["pck@0.2"] < 0.9


def test_a_coco_folder_can_be_learnt_from(tmp_path: Path) -> None:
    instance = spots()
    cv2.imwrite(str(tmp_path / "a.png"), instance.image)
    rows = np.column_stack([instance.keypoints, instance.labelled * 2]).flatten().tolist()
    contents = {
        "images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 240}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": list(instance.box), "keypoints": rows},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "keypoints": rows, "iscrowd": 1},
        ],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(contents))
    one = crops.CropBatches(crops.CocoPeople(tmp_path), STYLE, 4, 1, 0)[0]
    assert one.images.shape == (4, 64, 64, 3) and one.images.max() > 100
    contents["annotations"] = contents["annotations"][1:]
    (tmp_path / "annotations.json").write_text(json.dumps(contents))
    with pytest.raises(ValueError, match="no annotation"):
        crops.CocoPeople(tmp_path)


def test_it_begins_with_no_other_network() -> None:
    with pytest.raises(ValueError, match="taught places"):
        LofrTask(CONFIG).begin_from(Lofr(CONFIG), {})


def test_it_begins_with_what_presence_has_taught() -> None:
    taught, new = Lofr(CONFIG), Lofr(CONFIG)
    taken = LofrTask(CONFIG).begin_from(new, taught.state_dict())
    assert taken > 100
    for name, value in taught.state_dict().items():
        begins = name.startswith(("pyramid.", "activation."))
        assert not begins or torch.equal(value, new.state_dict()[name]), name
    assert not torch.equal(taught.prototypes, new.prototypes)


def test_the_classifier_alone_is_what_the_whole_network_begins_with() -> None:
    model = Lofr(CONFIG).eval()
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    logits, maps = model.classify(image)
    assert torch.equal(logits, model(image).cnn)
    assert maps.shape == (2, 17, 4, 4)
    one = crops.CropBatch(
        torch.zeros(2, 64, 64, 3, dtype=torch.uint8), torch.ones(2, 17, dtype=torch.bool), torch.zeros(0)
    )
    total, parts = lofr_loss.presence_objective(model, one)
    total.backward()
    assert parts["cnn"] > 0
    # What lies behind the classifier takes no part.
    assert model.prototypes.grad is None and model.activation.maps.weight.grad is not None


class Spots:
    """The same person again and again."""

    def instances(self, generator: np.random.Generator) -> Iterator[crops.Instance]:
        while True:
            yield spots()


def test_people_that_are_kept_are_where_they_were(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="stored_people"):
        StoredPeople(tmp_path)
    store(Spots(), tmp_path, 3, seed=1)
    kept = next(StoredPeople(tmp_path).instances(np.random.default_rng(1)))
    assert kept.image.shape == (SIDE, SIDE, 3) and kept.number in range(3)
    for x, y in kept.keypoints:
        assert kept.image[round(float(y)), round(float(x))].max() > 100
    x, y, width, height = kept.box
    assert max(width, height) == pytest.approx(SIDE / 1.6)
    assert ((kept.keypoints >= (x - 1, y - 1)) & (kept.keypoints <= (x + width + 1, y + height + 1))).all()


def test_who_is_located_stays_so(tmp_path: Path) -> None:
    """Else all people would be, if they come often enough."""
    store(Spots(), tmp_path, 40, seed=1)

    class Noting(StoredPeople):
        def instances(self, generator: np.random.Generator) -> Iterator[crops.Instance]:
            for instance in super().instances(generator):
                came.append(instance.number)
                yield instance

    located: dict[int, set[bool]] = {}
    batches = crops.CropBatches(Noting(tmp_path), STYLE, 400, 1, 0, located=0.25)
    for step in range(2):
        came: list[int] = []
        batch = batches[step]
        known = ~batch.places.isnan().all(-1).all(-1)
        # Crops without any keypoint say nothing.
        says = batch.present.any(-1)
        for row in torch.nonzero(says).flatten().tolist():
            located.setdefault(came[row // crops.CropBatches.CROPS], set()).add(bool(known[row]))
    assert len(located) > 35 and all(len(results) == 1 for results in located.values())
    share = np.mean([results == {True} for results in located.values()])
    assert 0.05 < share < 0.5


def test_what_has_seen_places_teaches_only_what_may_see_some() -> None:
    logocap = LogoCap(LogoCapConfig.tiny()).state_dict()
    with pytest.raises(ValueError, match="taught places"):
        LofrTask(CONFIG).begin_from(Lofr(CONFIG), logocap)
    model = Lofr(CONFIG)
    assert LofrTask(CONFIG, located=0.25).begin_from(model, logocap) > 100
    assert torch.equal(model.state_dict()["pyramid.body.conv1.weight"], logocap["backbone.conv1.weight"])


def test_an_interrupted_run_has_no_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Interrupted:
        def __init__(self, *_: object) -> None:
            self.progress = Namespace(images=5)

        def run(self) -> None:
            pass

    monkeypatch.setattr(ablation_lofr, "Trainer", Interrupted)
    arguments = Namespace(people=tmp_path, begin_with=tmp_path / "weights.pt", images=10, batch=2)
    assert not ablation_lofr.train(ablation_lofr.ROWS[0], 1, tmp_path, arguments)
    arguments.images = 5
    assert ablation_lofr.train(ablation_lofr.ROWS[0], 1, tmp_path, arguments)
