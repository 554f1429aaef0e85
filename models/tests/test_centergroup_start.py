"""CenterGroup's beginning where LOGO-CAP ends, and the prior that its offsets become."""

from __future__ import annotations

import pytest
import torch

from models.networks.centergroup import CenterGroup, CenterGroupConfig, OffsetPrior, position_rows
from models.networks.logocap import LogoCap, LogoCapConfig
from models.train.centergroup_start import begin_from_logocap


@pytest.fixture(scope="module")
def trained() -> LogoCap:
    """Not trained, but with norms and last layers that do something."""
    torch.manual_seed(1)
    model = LogoCap(LogoCapConfig.tiny())
    for name, value in model.state_dict().items():
        if name.endswith("running_mean") or name.endswith("bias"):
            value.normal_(0, 0.2)
        elif name.startswith("final_layer") and name.endswith("weight"):
            value.normal_(0, 0.1)
    return model.eval()


@torch.no_grad()
def test_heatmaps_and_offsets_begin_as_logocap_s(trained: LogoCap) -> None:
    torch.manual_seed(2)
    model = CenterGroup(CenterGroupConfig.tiny())
    begin_from_logocap(model, trained.state_dict())
    model.eval()
    image = torch.randn(1, 3, 64, 96)
    heatmaps, offsets, _ = trained.forward_backbone(image)
    coarse, _, _, centers = model.forward_maps(image)
    torch.testing.assert_close(coarse, heatmaps, rtol=0, atol=1e-5)
    prior = model.group_model.prior
    mine = prior.linear(centers.flatten(2).transpose(1, 2)[0]) * prior.scale
    error = (mine.T.reshape(offsets[0].shape) - offsets[0]).abs().max()
    # A variance behind a ReLU is kept from 0, which changes a little.
    assert error < 0.01 * offsets.abs().max()


def test_other_weights_are_refused(trained: LogoCap) -> None:
    model = CenterGroup(CenterGroupConfig.tiny())
    values = trained.state_dict()
    values["backbone.conv1.weight"] = values["backbone.conv1.weight"][:4]
    with pytest.raises(ValueError, match=r"bu_model\.backbone\.conv1\.weight"):
        begin_from_logocap(model, values)


@torch.no_grad()
def test_the_prior_prefers_what_is_near_its_offset() -> None:
    """Two types and a centre, three tokens each, on a map of 20 by 30 cells."""
    prior = OffsetPrior(32, 2)
    prior.linear.weight.zero_()
    # The first keypoint 4 cells to the right of its centre, the second 2 above it.
    prior.linear.bias.copy_(torch.tensor([4.0, 0.0, 0.0, -2.0]) / prior.scale)
    rows = position_rows(torch.ones(20, 30, dtype=torch.bool), 32)
    places = torch.tensor([[9, 5], [20, 5], [9, 12], [5, 3], [25, 3], [5, 19], [5, 5], [16, 5], [5, 12]])
    offsets, added = prior(torch.zeros(9, 32), rows[places[:, 1] * 30 + places[:, 0]])
    assert offsets.shape == (3, 2, 2) and added.shape == (2, 3, 6)
    torch.testing.assert_close(offsets[0], torch.tensor([[4.0, 0.0], [0.0, -2.0]]))
    assert added[0].argmax(-1).tolist() == [0, 1, 2]
    # Of the second type nothing but the first two centres have a token at the right place.
    assert added[1, :2].argmax(-1).tolist() == [3, 1]
    assert added[0, 0, 0].abs() < 1e-3 and (added <= 1e-6).all()
