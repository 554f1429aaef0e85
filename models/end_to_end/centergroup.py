"""What `models.end_to_end.bottom_up make` needs for CenterGroup: a made-up network, and what it answers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.networks.centergroup import CenterGroup, position_rows
from models.reference import centergroup
from models.reference.logocap import upsample

PEAKS = 12
"""About as many peaks of every type as the made-up network should find."""
SETTINGS = centergroup.Settings()


@torch.no_grad()
def made_up(model: CenterGroup, image: Tensor) -> None:
    """Gives random weights random statistics, heatmaps with a few peaks above zero, and attention that knows
    what it wants.

    Without the last two a random network finds more peaks than tokens, and the best tokens are nearly equal.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    types = model.config.keypoints + 1
    layers = model.bu_model.keypoint_head.final_layers
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.1)
        nn.init.zeros_(layer.bias)
    coarse, _, _, _ = model.forward_maps(image)
    _spread(layers[0], coarse, types)
    _, fine, _, _ = model.forward_maps(image)
    _spread(layers[1], fine, types)
    heat_half, _ = model.forward_backbone(image)
    level = torch.tensor(
        [_level(plane, kind == types - 1) for kind, plane in enumerate(heat_half[0].numpy())]
    )
    # Only the last layer's: the finer heatmaps depend on the coarse ones. It counts half.
    layers[1].bias.sub_(2 * level)
    head = model.group_model.prediction_heads[-1]
    grouping, _ = _group(model, image)
    attention = grouping[0]
    head.loc_attn.q_linear.weight.mul_(4 / float(attention[attention > -100].std()))
    for layer, logits in zip((head.mlp_vis, head.mlp_person_tp), grouping[1:]):
        last = layer.layers[-1]
        last.weight.mul_(2 / float(logits.std()))
        last.bias.sub_(float(logits.mean()) * 2 / float(logits.std()) - 0.5)


def _level(plane: np.ndarray, is_center: bool) -> float:
    """The height of the first peak of one map that is one too many."""
    full = upsample(plane, 2)
    side = SETTINGS.center_window if is_center else SETTINGS.keypoint_window
    peaks = full[full == centergroup.window_maximum(full, side)]
    return float(np.sort(peaks)[-PEAKS - 1])


def _spread(layer: nn.Conv2d, maps: Tensor, types: int) -> None:
    """Makes the heatmaps of a layer spread as a trained network's do."""
    deviation = maps.std((0, 2, 3))
    layer.weight[:types].mul_((0.3 / deviation)[:, None, None, None])


def _mask(image: Tensor) -> np.ndarray:
    return np.ones(image.shape[2:], np.uint8)


def _group(model: CenterGroup, image: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], centergroup.Peaks]:
    """What the grouping network says of the peaks, and these."""
    heat_half, rows = model.forward_backbone(image)
    height, width = image.shape[2:]
    found = centergroup.find_peaks(upsample(heat_half[0].numpy(), 2), _mask(image), SETTINGS)
    index, weight, bias = centergroup.tokens(found, (height // 4, width // 4))
    positions = position_rows(torch.ones(height // 4, width // 4, dtype=torch.bool), model.config.width)
    inputs = (torch.from_numpy(index).long(), torch.from_numpy(weight), torch.from_numpy(bias))
    return tuple(model.grouping(rows[0], positions, *inputs)), found


@torch.no_grad()
def answer(model: CenterGroup, image: Tensor) -> dict[str, np.ndarray]:
    """Everything that `end_to_end check` compares: `poses [n, keypoints, 3]`, `scores [n]`, `keep [n]` and
    `ambiguous [n, keypoints]`, where rounding could choose another token or shift the other way."""
    heat_half = model.forward_backbone(image)[0][0].numpy()
    logits, found = _group(model, image)
    attention, visible, center = (part.numpy() for part in logits)
    height, width = image.shape[2:]
    people = centergroup.decode(heat_half, _mask(image), attention, visible, center, (width, height), found)
    best = np.sort(attention, axis=-1)[..., -2:]
    close = (best[..., 1] - best[..., 0] < 2e-3).T[found.keep[-1]]
    full = upsample(heat_half, 2)
    x, y = people.network_poses[..., 0].astype(int), people.network_poses[..., 1].astype(int)
    channel = np.arange(x.shape[1])[None]
    right, left = full[channel, y, (x + 1).clip(max=width - 1)], full[channel, y, (x - 1).clip(min=0)]
    below, above = full[channel, (y + 1).clip(max=height - 1), x], full[channel, (y - 1).clip(min=0), x]
    close |= (np.abs(right - left) < 2e-5) | (np.abs(below - above) < 2e-5)
    count = len(people.poses)
    return {
        "poses": people.poses[..., :3],
        "scores": people.scores,
        "keep": np.arange(count),
        "ambiguous": close,
    }
