"""A made-up CenterGroup for `models.end_to_end.bottom_up make`, and what the program should say of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.export.centergroup_graphs import mirrored_order
from models.networks.centergroup import CenterGroup, position_rows
from models.reference import centergroup
from models.reference.logocap import upsample

PEAKS = 12
"""About as many peaks of every type as the made-up network should find."""
SETTINGS = centergroup.Settings()


class Frame(NamedTuple):
    """An image as the network sees it."""

    image: tuple[int, int]
    """Its width and height."""
    pixels: Tensor
    """`[1, 3, H, W]`, normalised, with the padding."""
    flip: bool
    """Whether the mirrored image counts as well."""

    @property
    def mask(self) -> np.ndarray:
        height, width = self.pixels.shape[2:]
        return centergroup.image_mask(self.image, (width, height))

    @property
    def cells(self) -> np.ndarray:
        """The mask at stride 4: at the image's own scale, cell `i` shows what is at pixel `4 i`.

        Its mirror image is that of the cells. The mirrored mask's every fourth pixel would be others.
        """
        return self.mask[::4, ::4]


@torch.no_grad()
def made_up(model: CenterGroup, frame: Frame) -> None:
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
    coarse, _, _, _ = model.forward_maps(frame.pixels)
    _spread(layers[0], coarse, types)
    _, fine, _, _ = model.forward_maps(frame.pixels)
    _spread(layers[1], fine, types)
    heat_half = np.where(frame.mask[::2, ::2], _heat_half(model, frame), -1.0).astype(np.float32)
    level = torch.tensor([_level(plane, kind == types - 1) for kind, plane in enumerate(heat_half)])
    # Only the last layer's: the finer heatmaps depend on the coarse ones. It counts half.
    layers[1].bias.sub_(2 * level)
    head = model.group_model.prediction_heads[-1]
    grouping, _ = _group(model, frame.pixels, frame.mask, frame.cells, _heat_half(model, frame))
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


def _heat_half(model: CenterGroup, frame: Frame) -> np.ndarray:
    """The heatmaps that peaks are looked for in, the mean of image and mirrored image where both count."""
    direct = model.forward_backbone(frame.pixels)[0][0].numpy()
    if not frame.flip:
        return direct
    mirrored = model.forward_backbone(frame.pixels.flip(3))[0][0].numpy()
    return (direct + mirrored[mirrored_order(model), :, ::-1]) / np.float32(2)


def _group(
    model: CenterGroup, pixels: Tensor, mask: np.ndarray, small: np.ndarray, heat_half: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], centergroup.Peaks]:
    """What the grouping network says of the peaks of `heat_half`, and these. `small` is the mask of cells."""
    _, rows = model.forward_backbone(pixels)
    height, width = pixels.shape[2:]
    found = centergroup.find_peaks(upsample(heat_half, 2), mask, SETTINGS)
    index, weight, bias = centergroup.tokens(found, (height // 4, width // 4))
    positions = position_rows(torch.from_numpy(small.copy()), model.config.width)
    inputs = (torch.from_numpy(index).long(), torch.from_numpy(weight), torch.from_numpy(bias))
    result = model.grouping(rows[0], positions, *inputs)
    return (result.attention.numpy(), result.visible.numpy(), result.center.numpy()), found


@torch.no_grad()
def expected(model: CenterGroup, frame: Frame) -> dict[str, np.ndarray]:
    """Everything that `end_to_end check` compares: `poses [n, keypoints, 3]`, `scores [n]`, `keep [n]` and
    `ambiguous [n, keypoints]`, where rounding could choose another token or shift the other way."""
    heat_half, mask = _heat_half(model, frame), frame.mask
    logits, found = _group(model, frame.pixels, mask, frame.cells, heat_half)
    people = centergroup.grouped(*logits, found)
    close = _close(logits[0], found)
    if frame.flip:
        order = mirrored_order(model)
        other_logits, other_found = _group(
            model,
            frame.pixels.flip(3),
            mask[:, ::-1],
            frame.cells[:, ::-1],
            heat_half[order, :, ::-1].copy(),
        )
        other = centergroup.grouped(*other_logits, other_found)
        assert len(other.places) == len(people.places), "both sides have the same peaks"
        close |= _close(other_logits[0], other_found)[:, order[:-1]]
        close |= np.abs(people.visible - other.visible[:, order[:-1]]) < 1e-3
        people = centergroup.merge_mirrored(people, other, order[:-1], mask.shape[1])
    full = upsample(heat_half, 2)
    result = centergroup.finish(people, full, frame.image)
    height, width = mask.shape
    x, y = people.places[..., 0].astype(int), people.places[..., 1].astype(int)
    channel = np.arange(x.shape[1])[None]
    right, left = full[channel, y, (x + 1).clip(max=width - 1)], full[channel, y, (x - 1).clip(min=0)]
    below, above = full[channel, (y + 1).clip(max=height - 1), x], full[channel, (y - 1).clip(min=0), x]
    close |= (np.abs(right - left) < 2e-5) | (np.abs(below - above) < 2e-5)
    return {
        "poses": result.poses[..., :3],
        "scores": result.scores,
        "keep": np.arange(len(result.poses)),
        "ambiguous": close,
    }


def _close(attention: np.ndarray, found: centergroup.Peaks) -> np.ndarray:
    """`[n, keypoints]`: whether the two best tokens are closer than rounding in the network."""
    best = np.sort(attention, axis=-1)[..., -2:]
    return (best[..., 1] - best[..., 0] < 2e-3).T[found.keep[-1]]
