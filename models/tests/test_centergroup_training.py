"""What CenterGroup's training minimises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.data.batches import Batch
from models.data.people.labels import Person
from models.losses import centergroup as training
from models.networks.centergroup import CenterGroup, CenterGroupConfig, double
from models.reference import centergroup as reference
from models.reference.golden import FIGURE
from models.reference.logocap import upsample
from models.train.tasks import TASKS, CenterGroupTask

SIDE = 128
TASK = TASKS["centergroup-tiny"]


def person(x: float, y: float, height: float) -> Person:
    keypoints = (np.array([x, y]) + height * FIGURE).astype(np.float32)
    visibility = np.full(17, 2, np.uint8)
    visibility[9] = 0
    return Person(keypoints, visibility, height * height / 4, (x, y, height, height))


def batch(scenes: list[list[Person]]) -> Batch:
    assert isinstance(TASK, CenterGroupTask)
    targets = [TASK.make_targets(scene, SIDE) for scene in scenes]
    people = [one for scene in scenes for one in scene]
    return Batch(
        images=torch.randint(0, 256, (len(scenes), SIDE, SIDE, 3), dtype=torch.uint8),
        targets={name: torch.from_numpy(np.stack([t[name] for t in targets])) for name in targets[0]},
        batch_index=torch.tensor([i for i, people in enumerate(scenes) for _ in people], dtype=torch.long),
        keypoints=torch.from_numpy(np.array([p.keypoints for p in people], np.float32).reshape(-1, 17, 2)),
        labelled=torch.from_numpy(np.array([p.labelled for p in people], bool).reshape(-1, 17)),
        area=torch.tensor([p.area for p in people]),
    )


def heat_half(made: Batch) -> torch.Tensor:
    return (double(made.targets["coarse"]) + made.targets["fine"])[0] / 2


def test_taught_maps_decode_to_the_keypoints() -> None:
    """The decoder's shift and half pixel included: within the quarter pixel that it can tell."""
    someone = person(61.3, 66.8, 90)
    half = heat_half(batch([[someone]])).numpy()
    found = reference.find_peaks(upsample(half, 2), np.ones((SIDE, SIDE), np.uint8), reference.Settings())
    places = reference.shift(found.xy[:-1, :1].transpose(1, 0, 2).astype(np.float32), upsample(half, 2))[0]
    difference = np.abs(places - someone.keypoints)[someone.labelled]
    assert difference.max() < 1.0
    assert np.abs(np.mean(places - someone.keypoints, axis=0, where=someone.labelled[:, None])).max() < 0.3


def test_training_sees_the_decoder_s_peaks() -> None:
    half = heat_half(batch([[person(40, 66, 80), person(90, 60, 70)]]))
    tokens = training.peaks(half[None])[0]
    settings = reference.Settings(least_score=0.05, least_tokens=0)
    expected = reference.find_peaks(upsample(half.numpy(), 2), np.ones((SIDE, SIDE), np.uint8), settings)
    for kind in range(18):
        ours = {tuple(place) for place in tokens.places[kind][tokens.keep[kind]].tolist()}
        theirs = expected.xy[kind][expected.keep[kind]]
        # The left wrists are not labelled; a peak between two pixels counts twice in the reference.
        assert len(theirs) >= (0 if kind == 9 else 2)
        for x, y in theirs:
            assert any(abs(x - a) <= 1 and abs(y - b) <= 1 for a, b in ours), (kind, x, y, ours)


@pytest.mark.parametrize("scenes", [[[]], [[person(60, 60, 90)], []]], ids=["empty", "one_person"])
def test_losses_are_finite_and_reach_every_part(scenes: list[list[Person]]) -> None:
    torch.manual_seed(1)
    model = CenterGroup(CenterGroupConfig.tiny()).train()
    total, parts = TASK.objective(model, batch(scenes), 8, torch.Generator().manual_seed(2))
    total.backward()
    assert all(np.isfinite(value) for value in parts.values())
    wanted = {"heatmap", "center", "offset"}
    if scenes[0]:
        wanted |= {"location", "choice", "visible"}
        silent = [name for name, value in model.named_parameters() if value.grad is None]
        assert silent == []
    assert set(parts) == wanted


def test_the_right_choice_costs_nothing() -> None:
    logits = torch.tensor([[9.0, -9.0], [-9.0, 9.0]])
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    everything = torch.ones(2, 2, dtype=torch.bool)
    assert training.focal_loss(logits, target, everything) < 1e-6
    assert training.focal_loss(-logits, target, everything) > 5
    assert training.focal_loss(-logits, target, ~everything) == 0


def test_centers_are_taught_beside_the_false_ones() -> None:
    places = torch.tensor([[[0, 0]] * 4, [[60, 60], [20, 20], [62, 58], [0, 0]]])
    keep = torch.tensor([[True] * 4, [True, True, True, False]])
    corners = torch.tensor([[[41.0, 41.0], [81.0, 81.0]]])
    one_person = training.Labels.of(corners, torch.ones(1, 2, dtype=torch.bool))
    assert one_person.centers.tolist() == [[61, 61]] and one_person.extent.tolist() == [40]
    tokens, person_of = training._teach_centers(
        training.Tokens(places, keep), one_person, torch.Generator().manual_seed(1)
    )
    assert person_of.tolist() == [0, -1, -1, -1]
    assert (tokens.places[-1, 0] - 61).abs().max() < 8
    # Both that are near the person are gone, the false one stays.
    assert tokens.places[-1, 1].tolist() == [20, 20]
    assert tokens.keep[-1].tolist() == [True, True, False, False]
