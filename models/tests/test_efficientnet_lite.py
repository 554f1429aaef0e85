"""EfficientNet-Lite0: its layout, its padding, folded norms, and the reader of its package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.checkpoints import lite0
from models.checkpoints.read import CheckpointError
from models.networks.efficientnet_lite import OUTPUTS, CellFeatures, EfficientNetLite, SamePadded, fold_norms


@pytest.fixture(scope="module")
def body() -> EfficientNetLite:
    torch.manual_seed(5)
    body = EfficientNetLite()
    for module in body.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return body.eval()


@torch.no_grad()
def test_maps_and_parameters(body: EfficientNetLite) -> None:
    maps = body(torch.randn(1, 3, 64, 96))
    assert [tuple(one.shape) for one in maps] == [
        (1, channels, 64 // stride, 96 // stride) for channels, stride in zip(OUTPUTS, (8, 16, 32))
    ]
    # 4.65 million with the classifier, as published.
    assert (
        sum(parameter.numel() for parameter in body.parameters())
        == 4_652_008 - 1280 * (320 + 2 + 1000) - 1000
    )
    assert CellFeatures()(torch.randn(1, 3, 64, 64)).shape == (1, CellFeatures.outputs, 2, 2)


@pytest.mark.parametrize(("kernel", "expected"), [(3, (0, 1)), (5, (1, 2))])
def test_stride_two_pads_as_tensorflow_does(kernel: int, expected: tuple[int, int]) -> None:
    layer = SamePadded(1, 1, kernel, 2)
    x = torch.randn(1, 1, 12, 16)
    before, after = expected
    padded = functional.pad(x, (before, after, before, after))
    torch.testing.assert_close(layer(x), functional.conv2d(padded, layer.weight, stride=2))
    assert layer(x).shape == (1, 1, 6, 8)


@torch.no_grad()
def test_folded_norms_change_nothing(body: EfficientNetLite) -> None:
    image = torch.randn(1, 3, 64, 64)
    folded = fold_norms(body)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    for one, other in zip(body(image), folded(image)):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


def test_another_file_is_refused(
    body: EfficientNetLite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    values = {name: value for name, value in body.state_dict().items() if "num_batches" not in name}
    torch.save(values | {"_fc.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="another file"):
        lite0.weights(path)
    monkeypatch.setattr(lite0, "SHA256", lite0.digest(path))
    read = lite0.weights(path)
    assert read.keys() == values.keys()
    assert all(np.array_equal(read[name], values[name]) for name in values)
    torch.save(values | {"extra": torch.zeros(3)}, path)
    monkeypatch.setattr(lite0, "SHA256", lite0.digest(path))
    with pytest.raises(CheckpointError, match="extra"):
        lite0.weights(path)
