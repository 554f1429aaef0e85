"""CapeFormer's losses and measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.episode_batches import IMAGES, EpisodeBatch
from models.evaluate.objects import HeldOutObjects
from models.experiments import ablation_capeformer
from models.losses import capeformer as training
from models.networks.capeformer import CapeFormer, CapeFormerConfig, identifiers
from models.networks.inputs import normalise
from models.paths import ROOT
from models.reference import capeformer as reference
from models.train import second_stage as stages
from models.train.state import freeze_others
from models.train.tasks import TASKS, CapeFormerTask

OBJECTS = ROOT / "tests/data/objects"


def test_proposals_equal_numpy() -> None:
    similarity = torch.randn(30, 64, generator=torch.Generator().manual_seed(1)) * 3
    expected = reference.proposals(similarity.numpy().reshape(-1, 8, 8))
    np.testing.assert_allclose(training.propose(similarity).numpy(), expected, atol=1e-6)


def test_similarities_are_best_where_the_keypoint_is() -> None:
    target = torch.tensor([[0.3, 0.7]])
    places = training.cell_places(torch.device("cpu"))
    distance = (places - target).norm(dim=1)
    right, wrong = (
        (-40 * distance)[None] + 4,
        (-40 * (places - torch.tensor([0.8, 0.2])).norm(dim=1))[None] + 4,
    )
    for good, bad in zip(training.similarity_loss(right, target), training.similarity_loss(wrong, target)):
        assert good < 0.5 * bad


def batch(episodes: int) -> EpisodeBatch:
    generator = np.random.default_rng(2)
    shape = (episodes, IMAGES, 5)
    keypoints = generator.uniform(10, 240, (*shape, 2)).astype(np.float32)
    visible = generator.random(shape) < 0.8
    weights = np.stack(
        [[reference.support_weights(*pair)[0] for pair in zip(*one)] for one in zip(keypoints, visible)]
    )
    images = generator.integers(0, 256, (*shape[:2], 256, 256, 3), np.uint8)
    return EpisodeBatch(*(torch.from_numpy(array) for array in (images, keypoints, visible, weights)))


def test_every_part_has_a_gradient() -> None:
    torch.manual_seed(3)
    model = CapeFormer(CapeFormerConfig.tiny())
    total, parts = training.objective(
        model, batch(2), training.Weights(), True, torch.Generator().manual_seed(4)
    )
    assert set(parts) == {"heatmap", "expectation", "offset"}
    total.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []
    first, parts = training.objective(
        model, batch(2), training.Weights(), False, torch.Generator().manual_seed(4)
    )
    assert set(parts) == {"heatmap", "expectation"} and first < total


def test_offsets_of_wrong_matches_hardly_count() -> None:
    target = torch.tensor([0.5, 0.5])

    def slope(distance: float) -> float:
        result = (target + torch.tensor([distance, 0.0])).requires_grad_()
        training.offset_loss([result], target).backward()
        return result.grad[0].item()

    assert training.offset_loss([target, target], target) == 0
    # Steepest at `NEAR`, and nothing but the paper's term far away.
    assert slope(training.NEAR) > max(slope(0.5 * training.NEAR), slope(2 * training.NEAR)) > 2
    assert slope(0.45) == pytest.approx(training.PULL, rel=1e-3)
    # The layers count alike.
    one = training.offset_loss([target + 0.05], target)
    assert training.offset_loss([target, target + 0.05], target) == pytest.approx(one.item() / 2)


def test_a_second_stage_begins_anew_behind_a_trained_first() -> None:
    trained, new = CapeFormer(CapeFormerConfig.tiny()), CapeFormer(CapeFormerConfig.tiny())
    TASKS["capeformer-tiny"].begin_from(new, trained.state_dict())
    for name, value in new.state_dict().items():
        second = name.startswith(CapeFormerTask.SECOND_STAGE)
        assert second or torch.equal(value, trained.state_dict()[name]), name
    freeze_others(new.train(), ["keypoint_head.kpt_branch."])
    trainable = {name for name, parameter in new.named_parameters() if parameter.requires_grad}
    assert trainable and all(name.startswith("keypoint_head.kpt_branch.") for name in trainable)
    assert not new.encoder_query.training and new.keypoint_head.kpt_branch[0].training
    with pytest.raises(ValueError, match="kpt_brunch"):
        freeze_others(new, ["kpt_brunch."])


def test_nothing_visible_is_no_error() -> None:
    model = CapeFormer(CapeFormerConfig.tiny())
    empty = batch(1)
    empty.visible[:] = False
    total, parts = training.objective(model, empty, training.Weights(), True, torch.Generator())
    assert total.item() == 0 and set(parts.values()) == {0.0}


def test_hidden_keypoints_change_nothing() -> None:
    """All outputs are computed at once and padded; one by one, with the enrolled keypoints alone, they are
    the same."""
    torch.manual_seed(3)
    model, one = CapeFormer(CapeFormerConfig.tiny()).eval(), batch(2)
    seed = 5
    _, parts = training.objective(model, one, training.Weights(), True, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    episodes, views = one.visible.shape[:2]
    examples = training._examples(episodes, views, generator)
    shown = examples[..., None] & one.visible[:, None]
    slots = training._slots(shown.any(2).flatten(0, 1), generator)
    table = identifiers(model.config.width)
    heatmaps, offsets = [], []
    with torch.no_grad():
        for number in range(episodes):
            query, support = model.features(normalise(one.images[number], model.config))
            for view in range(views):
                seen = shown[number, view].float()
                features = (seen[..., None] * (one.weights[number] @ support)).sum(0)
                features = features / seen.sum(0).clamp(min=1)[:, None]
                rows = torch.nonzero(seen.any(0)).flatten()
                codes, bias = table[slots[number * views + view, rows]], torch.zeros(len(rows))
                similarity, memory, refined = model.match(query[view], features[rows], codes, bias)
                places = model.refine_all(memory, refined, codes, bias, training.propose(similarity))
                counted = one.visible[number, view, rows]
                target = one.keypoints[number, view, rows] / 256
                heatmaps.append(training.similarity_loss(similarity, target)[0][counted].mean())
                offsets.append(training.offset_loss(places, target)[counted].mean())
    assert parts["heatmap"] == pytest.approx(torch.stack(heatmaps).mean().item(), rel=1e-4)
    assert parts["offset"] == pytest.approx(torch.stack(offsets).mean().item(), rel=1e-4)


def test_cross_attention_begins_with_what_is_alike_and_near() -> None:
    model = CapeFormer(CapeFormerConfig.tiny())
    model.begin_alike()
    width = model.config.width
    attention = model.keypoint_head.transformer.decoder.layers[0].multihead_attn
    cells = torch.cat([torch.randn(64, width).sign(), model.grid], 1)
    query, key = cells @ attention.q_proj_weight.T, cells @ attention.k_proj_weight.T
    for head in range(model.config.heads):
        channels = slice(head * width // 2, (head + 1) * width // 2)
        best = (query[:, channels] @ key[:, channels].T).argmax(1)
        assert (best == torch.arange(64)).float().mean() > 0.95


@torch.no_grad()
def test_results_are_kept_for_the_second_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(6)
    trained = CapeFormer(CapeFormerConfig.tiny()).eval()
    torch.save(trained.state_dict(), tmp_path / "weights.pt")

    class Drawn:
        def __init__(self, *arguments: object) -> None:
            pass

        def __getitem__(self, step: int) -> EpisodeBatch:
            return batch(1)

    monkeypatch.setattr(stages, "EpisodeBatches", Drawn)
    monkeypatch.setattr(stages, "BATCHES", 2)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    source = stages.Source(tmp_path / "weights.pt", tmp_path, tmp_path, outputs, files=2, seed=1, processes=1)
    (outputs / "00000.partial").write_bytes(b"an interrupted run")
    stages.draw(0, source)
    written = [path.stat().st_mtime_ns for path in sorted(outputs.glob("*.npz"))]
    stages.draw(0, source)
    assert [path.stat().st_mtime_ns for path in sorted(outputs.glob("*.npz"))] == written
    whole = stages.read(outputs)
    # Two files of two batches, each of three images, looked at twice.
    assert len(whole.target) == 24 and whole.memory.dtype == torch.float16
    tokens = training.tokens_of(trained, batch(1))
    first = training.first_stage(trained, batch(1), tokens, torch.Generator().manual_seed(1))
    for kept, value in zip(stages.pick(whole, torch.arange(3)), first):
        assert kept.dtype == value.dtype
        assert torch.allclose(kept.float(), value.float(), atol=4e-3)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    with torch.enable_grad():
        stages.train(trained, whole, 0.5, 4, 1e-3)
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith(CapeFormerTask.SECOND_STAGE) for name in changed)


def test_the_held_out_set_cannot_be_solved_by_copying() -> None:
    held_out = HeldOutObjects.read(OBJECTS)
    assert len(held_out.views) == 90
    assert held_out.copied(1)["pck@0.2"] < 0.35
    assert all(0.3 < view.box_share <= 0.81 for view in held_out.views)


def test_more_images_of_the_same_kinds_can_be_drawn() -> None:
    first, second = HeldOutObjects.drawn(1, 2, 3), HeldOutObjects.drawn(2, 2, 3)
    assert [view.category for view in first.views] == [0, 0, 1, 1, 2, 2]
    assert not np.array_equal(first.views[0].image, second.views[0].image)


@torch.no_grad()
def test_ablation_reports_every_direction() -> None:
    torch.manual_seed(5)
    model = CapeFormer(CapeFormerConfig.tiny()).eval()
    rows = ablation_capeformer.measure(model, [1], images=6, kinds=1)
    assert [row.name for row in rows] == ["two stages", "one stage", "without identifiers", "5 examples"]
    assert all(len(row.values) == 1 and 0 <= row.values[0] <= 1 for row in rows)
