"""The sum that CenterGroup's training minimises, and what the network returns under training.

Equation numbers are those of the paper "The Center of Attention: Center-Keypoint Grouping via Attention for
Multi-Person Pose Estimation"; weights and matching follow its appendix C.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.data.batches import Batch
from models.losses.logocap import weighted_heatmap_loss
from models.networks.centergroup import CenterGroup, Grouping, GroupModel, double, position_rows
from models.networks.inputs import normalise, reduced_precision
from models.reference import centergroup as reference

MASKED = -1e4
STRIDE = 4
"""Pixels of a cell of the embedding maps."""
SAME_PLACE = 0.05
"""How far apart peaks are that show the same keypoint, in parts of the person."""


@dataclass(frozen=True)
class Weights:
    """Weights of the losses.

    The paper's are 10, 0.02, 1 and 1. Heatmaps weigh more here, as for LOGO-CAP, because a small network
    starts from nothing; the location loss is counted in parts of the person instead of in pixels; and
    `choice`, which the paper has not, says directly which token is the right one, because the location alone
    teaches little while attention is spread over all.
    """

    heatmap: float = 90.0
    location: float = 1.0
    choice: float = 0.3
    visible: float = 1.0
    center: float = 1.0
    offset: float = 3.0
    """Of the prior's offsets, in parts of the person."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of one image, `k` of each of `keypoints + 1` types, the centre's last."""

    places: Tensor
    """`[types, k, 2]`, pixels."""
    keep: Tensor
    """`[types, k]` bool."""


def focal_loss(logits: Tensor, target: Tensor, counted: Tensor, gamma: float = 2.0) -> Tensor:
    """Binary focal loss [36 in the paper], the mean over the entries that are `counted`."""
    error = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    right = torch.exp(-error)
    weight = counted.float()
    return ((1 - right) ** gamma * error * weight).sum() / weight.sum().clamp(min=1)


def objective(
    model: CenterGroup, batch: Batch, weights: Weights, grouping: bool, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """The total and its parts; without `grouping`, of the heatmaps alone."""
    with reduced_precision(batch.images.device):
        coarse, fine, keypoint_map, center_map = model.forward_maps(normalise(batch.images, model.config))
    coarse, fine = coarse.float(), fine.float()
    heatmap = weighted_heatmap_loss(coarse, batch.targets["coarse"])
    heatmap = heatmap + weighted_heatmap_loss(fine, batch.targets["fine"])
    total = weights.heatmap * heatmap
    parts = {"heatmap": heatmap.item()}
    if not grouping:
        return total, parts
    heat_half = ((double(coarse) + fine) / 2).detach()
    rows = torch.cat([maps.flatten(2).transpose(1, 2).float() for maps in (keypoint_map, center_map)], 1)
    found = peaks(heat_half)
    taught, people = [], []
    for image, tokens in enumerate(found):
        mine = batch.batch_index == image
        # As the heatmaps are taught: half a pixel before the keypoint.
        one = Labels.of(batch.keypoints[mine] - 0.5, batch.labelled[mine])
        people.append(one)
        taught.append(_teach_centers(tokens, one, generator))
    half = (heat_half.shape[-2], heat_half.shape[-1])
    groupings, offsets = group(model, rows, half, [tokens for tokens, _ in taught])
    sums: dict[str, Tensor] = {}
    for image, ((tokens, person), one) in enumerate(zip(taught, people)):
        grouping_of_image = Grouping(*(part[image] for part in groupings))
        losses = image_losses(grouping_of_image, tokens, person, one)
        if offsets is not None:
            losses["offset"] = offset_loss(offsets[image], tokens, person, one)
        for name, value in losses.items():
            sums[name] = sums.get(name, torch.zeros((), device=coarse.device)) + value / len(taught)
    for name, value in sums.items():
        total = total + getattr(weights, name) * value
        parts[name] = value.item()
    return total, parts


@dataclass(frozen=True)
class Labels:
    """The people of one image."""

    keypoints: Tensor
    """`[people, types, 2]`, pixels."""
    labelled: Tensor
    """`[people, types]` bool."""
    centers: Tensor
    """`[people, 2]`: the mean of what is labelled."""
    extent: Tensor
    """`[people]`, pixels."""

    @staticmethod
    def of(keypoints: Tensor, labelled: Tensor) -> Labels:
        """Centres and extents follow from the keypoints."""
        weight = labelled.float()[..., None]
        centers = (keypoints * weight).sum(1) / weight.sum(1).clamp(min=1)
        return Labels(keypoints, labelled, centers, _extents(keypoints, labelled))


def image_losses(grouping: Grouping, tokens: Tokens, person: Tensor, people: Labels) -> dict[str, Tensor]:
    """The grouping losses of one image, averaged over all grouping modules, which are the first axis of
    `grouping` (appendix C.1)."""
    places = tokens.places[:-1].reshape(-1, 2).float()
    matched = torch.nonzero(person >= 0).flatten()
    modules = len(grouping.center)
    is_person = (person >= 0).float().expand(modules, -1)
    center = focal_loss(grouping.center, is_person, tokens.keep[-1].expand(modules, -1))
    if len(matched) == 0:
        return {"center": center}
    # `[types, matched centres]` from here on, after the modules.
    target = people.keypoints[person[matched]].transpose(0, 1)
    seen = people.labelled[person[matched]].transpose(0, 1)
    size = people.extent[person[matched]]
    distance = torch.cdist(target, places[None]) / size[:, None]
    distance = distance.masked_fill(~tokens.keep[:-1].reshape(-1), torch.inf)
    nearest = distance.min(-1)
    found = seen & (nearest.values < 0.15)
    count = modules * found.sum().clamp(min=1)

    logits = grouping.attention[:, :, matched]
    log_probability = logits.log_softmax(-1)
    # Eq. 9 and 10, in parts of the person.
    error = (log_probability.exp() @ places - target).abs().sum(-1) / size
    # Where no token is near, nothing can be chosen.
    location = (error * found).sum() / count
    # Several types may have a peak at the same place: each of them is right.
    worse = (nearest.values.square()[..., None] - distance.square()) / (2 * SAME_PLACE**2)
    right = torch.logsumexp(log_probability + worse.masked_fill(~found[..., None], 0.0).clamp(min=MASKED), -1)
    choice = -(right * found).sum() / count
    best = logits.argmax(-1, keepdim=True)
    near = distance.expand(modules, -1, -1, -1).gather(-1, best)[..., 0] < 0.1
    # Footnote 4: only where the keypoint is absent or the chosen token is near it.
    visible = focal_loss(grouping.visible[:, :, matched], (seen & near).float(), ~seen | near)
    return {"center": center, "location": location, "choice": choice, "visible": visible}


def offset_loss(offsets: Tensor, tokens: Tokens, person: Tensor, people: Labels) -> Tensor:
    """How far the prior's `offsets [k, keypoints, 2]` (cells) of one image point from the labels."""
    matched = torch.nonzero(person >= 0).flatten()
    mine = person[matched]
    places = tokens.places[-1, matched].float()[:, None] + offsets[matched] * STRIDE
    error = (places - people.keypoints[mine]) / people.extent[mine][:, None, None]
    error = functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=0.1).sum(-1)
    seen = people.labelled[mine]
    return (error * seen).sum() / seen.sum().clamp(min=1)


def _extents(keypoints: Tensor, labelled: Tensor) -> Tensor:
    """A measure of each person's size, pixels: the root of the area of the box around its keypoints."""
    if len(keypoints) == 0:
        return keypoints.new_zeros(0)
    low = keypoints.masked_fill(~labelled[..., None], torch.inf).amin(1)
    high = keypoints.masked_fill(~labelled[..., None], -torch.inf).amax(1)
    return (high - low).clamp(min=12).prod(1).sqrt()


def peaks(heat_half: Tensor, most: int = 10, threshold: float = 0.05) -> list[Tokens]:
    """Of every image the highest local maxima of every type of `heat_half [B, types, h, w]`: a window of 3
    cells for keypoints and 9 for centres, about what the decoder's windows are at full size."""
    count, types, height, width = heat_half.shape
    highest = torch.cat([_window_maximum(heat_half[:, :-1], 3), _window_maximum(heat_half[:, -1:], 9)], 1)
    values = torch.where(heat_half == highest, heat_half, -1.0)
    best = values.flatten(2).topk(min(most, height * width), dim=2)
    row, column = best.indices // width, best.indices % width
    # Of the cell's two pixels on either axis, the one towards the higher neighbour.
    image = torch.arange(count, device=heat_half.device)[:, None, None]
    number = torch.arange(types, device=heat_half.device)[:, None]

    def towards(before: Tensor, after: Tensor) -> Tensor:
        return (after > before).long()

    right = towards(
        heat_half[image, number, row, (column - 1).clamp(min=0)],
        heat_half[image, number, row, (column + 1).clamp(max=width - 1)],
    )
    below = towards(
        heat_half[image, number, (row - 1).clamp(min=0), column],
        heat_half[image, number, (row + 1).clamp(max=height - 1), column],
    )
    places = torch.stack([2 * column + right, 2 * row + below], -1)
    return [Tokens(*pair) for pair in zip(places, best.values > threshold)]


def _window_maximum(maps: Tensor, side: int) -> Tensor:
    """The maximum of a square window around every cell, one axis after the other."""
    along = functional.max_pool2d(maps, (1, side), 1, (0, side // 2))
    return functional.max_pool2d(along, (side, 1), 1, (side // 2, 0))


def _teach_centers(tokens: Tokens, people: Labels, generator: torch.Generator) -> tuple[Tokens, Tensor]:
    """Puts a centre near each person's true one among the centre tokens, in front of what was found; the
    tokens, and for each centre its person or -1.

    Found centres that are near a person's are dropped: two with different labels would contradict each
    other.
    """
    centers, extent = people.centers, people.extent
    places, keep = tokens.places.clone(), tokens.keep.clone()
    room = places.shape[1]
    count = min(len(centers), room)
    person = torch.full((room,), -1, dtype=torch.long, device=places.device)
    found, real = places[-1], keep[-1]
    if count:
        distance = torch.cdist(found.float(), centers) / extent
        real = real & (distance.amin(1) > 0.35)
        jitter = torch.randn(centers.shape, generator=generator).to(centers) * 2
        person[:count] = torch.arange(count, device=places.device)
        places[-1, :count] = (centers + jitter)[:count].round().long().clamp(min=0)
        keep[-1, :count] = True
    false = found[real][: room - count]
    places[-1, count : count + len(false)] = false
    keep[-1, count:] = False
    keep[-1, count : count + len(false)] = True
    return Tokens(places, keep), person


def group(
    model: CenterGroup, rows: Tensor, half: tuple[int, int], tokens: list[Tokens]
) -> tuple[Grouping, Tensor | None]:
    """What every grouping module says of every image's tokens, images first, then modules, and the
    prior's offsets `[B, k, keypoints, 2]` in cells, where the network has one.

    `rows [B, cells, width]` as for `CenterGroup.grouping`, `half` the size of the finer heatmaps.
    """
    height, width = half[0] // 2, half[1] // 2
    places = torch.stack([one.places for one in tokens])
    count, types = places.shape[:2]
    index, weight = _taps(places.reshape(-1, 2), (height, width))
    index, weight = index.reshape(count, types, -1, 4), weight.reshape(count, -1, 4, 1)
    # Centres read the second map.
    index = torch.cat([index[:, :-1], index[:, -1:] + height * width], 1).reshape(count, -1)
    features = rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1]))
    features = (features.unflatten(1, (-1, 4)) * weight).sum(2)
    return group_features(model.group_model, features, (height, width), tokens)


def group_features(
    inner: GroupModel, features: Tensor, size: tuple[int, int], tokens: list[Tokens]
) -> tuple[Grouping, Tensor | None]:
    """As `group`, of the `features [B, n, width]` that tokens read of rows; `size` is that of the maps."""
    positions = unpadded_positions(*size, features.shape[-1]).to(features.device)
    places = torch.stack([one.places for one in tokens])
    index, weight = _taps(places.reshape(-1, 2), size)
    sampled = (positions[index] * weight[..., None]).sum(1).unflatten(0, (len(tokens), -1))
    bias = torch.where(torch.stack([one.keep.reshape(-1) for one in tokens]), 0.0, MASKED)

    def one_image(features: Tensor, sampled: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        levels, encoding = inner.encode(features, sampled, bias)
        prior = None if inner.prior is None else inner.prior(features, sampled)
        added = None if prior is None else prior[1]
        results = [head(level, encoding, bias, added) for head, level in zip(inner.prediction_heads, levels)]
        grouping = tuple(torch.stack(parts) for parts in zip(*results))
        return grouping if prior is None else (*grouping, prior[0])

    results = torch.vmap(one_image)(features, sampled, bias)
    return Grouping(*results[:3]), results[3] if len(results) > 3 else None


def read_map(maps: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """What tokens at `places [n, 2]` (pixels) read of `maps [C, h, w]`: `[n, C]`."""
    index, weight = _taps(places, size)
    return (maps.flatten(1)[:, index] * weight).sum(-1).T


_cache: dict[tuple[int, int, int], Tensor] = {}


def unpadded_positions(height: int, width: int, channels: int) -> Tensor:
    """The position encoding of an image without padding."""
    key = (height, width, channels)
    if key not in _cache:
        _cache[key] = position_rows(torch.ones(height, width, dtype=torch.bool), channels)
    return _cache[key]


def _taps(places: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """`models.reference.centergroup.taps` for tensors."""
    index, weight = reference.taps(places.cpu().numpy(), size)
    return torch.from_numpy(index).to(places.device), torch.from_numpy(weight).to(places.device)
