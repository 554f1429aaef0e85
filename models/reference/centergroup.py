"""CenterGroup after its networks, in NumPy: what `sinew decode --exact` must return.

Everything is done the plain way, on full-size maps, in float32 like the reference implementation. Where that
leaves the order of equal values open, the lower index comes first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.reference import geometry
from models.reference.logocap import upsample

MASKED = np.float32(-1e4)
"""Added to the logits of tokens that do not count; large enough for softmax, small enough for fp16."""


@dataclass(frozen=True)
class Settings:
    """The constants of the post-processing; the defaults are the reference implementation's."""

    keypoint_window: int = 5
    center_window: int = 17
    tokens: int = 30
    """Of every type."""
    least_score: float = 0.005
    least_tokens: int = 3
    """So many of every type count whatever their score."""
    visible: float = 0.5
    person: float = 0.5
    scored_keypoints: int = 5
    """So many of the most visible keypoints count in the score whatever their visibility."""
    score: str = "visibility"
    """Or `evidence`, which the reference implementation does not have."""
    same_place: float = 0.08
    """How near tokens are that count as one keypoint's, in parts of the person's size."""


@dataclass(frozen=True)
class Peaks:
    """The tokens of every type, best first, the centre's last."""

    xy: np.ndarray
    """`[types, tokens, 2]`: whole network pixels."""
    score: np.ndarray
    """`[types, tokens]`: the full-size heatmap there; 0 where the map has fewer peaks."""
    keep: np.ndarray
    """`[types, tokens]`: whether the token counts."""


@dataclass(frozen=True)
class Decoded:
    """People in the order of their centres' scores; no person is dropped."""

    network_poses: np.ndarray
    """`[n, keypoints, 3]`: x, y, visibility; network pixels, before the shift."""
    shifted_poses: np.ndarray
    """The same after it."""
    poses: np.ndarray
    """`[n, keypoints, 4]`: x, y in image pixels, visibility twice."""
    scores: np.ndarray
    """`[n]`."""


STEPS = 32
"""OpenCV interpolates 8-bit images at positions rounded to this part of a pixel."""


def image_mask(image: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Which pixels of the network's input, or of one shrunk to `size`, come from the image: `[height,
    width]`.

    The official test warps a white 8-bit image as it warps the image itself, and keeps what is more than
    half of 255: a weight of exactly 0.5 is rounded up to 128 and counts. Positions are rounded to 1/32 pixel
    first, as OpenCV 4 does. Sizes are `(width, height)`.
    """
    to_image = image_from_network(image, size)
    inside = []
    for axis, extent in enumerate(size):
        position = to_image[axis, axis] * np.arange(extent) + to_image[axis, 2]
        position = np.floor(position * STEPS + 0.5) / STEPS
        inside.append(np.clip(np.minimum(position + 1, image[axis] - position), 0, 1))
    return np.outer(inside[1], inside[0]) >= 0.5


def window_maximum(plane: np.ndarray, side: int) -> np.ndarray:
    """The maximum of the `side` x `side` pixels around each pixel of `plane [h, w]`."""
    for axis in (0, 1):
        padding = [(side // 2, side // 2) if axis == this else (0, 0) for this in (0, 1)]
        padded = np.pad(plane, padding, constant_values=-np.inf)
        plane = np.lib.stride_tricks.sliding_window_view(padded, side, axis=axis).max(axis=-1)
    return plane


def find_peaks(full: np.ndarray, mask: np.ndarray, settings: Settings) -> Peaks:
    """`full [types, H, W]`, `mask [H, W]` (which pixels come from the image)."""
    places, scores = [], []
    for channel, plane in enumerate(full * mask.astype(np.float32)):
        last = channel == len(full) - 1
        highest = window_maximum(plane, settings.center_window if last else settings.keypoint_window)
        # Not zero but the value times zero: what is below zero stays below the zeros of the others.
        values = np.where(plane == highest, plane, plane * np.float32(0)).ravel()
        order = np.argsort(-values, kind="stable")[: settings.tokens]
        places.append(np.stack([order % plane.shape[1], order // plane.shape[1]], 1))
        scores.append(values[order])
    xy, score = np.array(places), np.array(scores)
    keep = (score >= np.float32(settings.least_score)) | (np.arange(settings.tokens) < settings.least_tokens)
    keep &= mask.astype(bool)[xy[..., 1], xy[..., 0]]
    return Peaks(xy, score, keep)


def taps(places: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The four cells of a stride-4 map of `size` (height, width) around network pixels `[n, 2]`.

    Cells `[n, 4]` as indices of its rows, and their weights `[n, 4]`: bilinear, half-pixel centres, the
    border repeated.
    """
    height, width = size
    position = (places + 0.5) / 4 - 0.5
    low = np.floor(position).astype(int)
    part = (position - low).astype(np.float32)
    limit = np.array([width - 1, height - 1])
    columns, rows = (np.stack([np.clip(low + step, 0, limit)[:, axis] for step in (0, 1)]) for axis in (0, 1))
    across, down = (np.stack([1 - part[:, axis], part[:, axis]]) for axis in (0, 1))
    corners = [(y, x) for y in (0, 1) for x in (0, 1)]
    index = np.stack([rows[y] * width + columns[x] for y, x in corners], 1)
    return index, np.stack([down[y] * across[x] for y, x in corners], 1)


def tokens(peaks: Peaks, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`idx [n, 4]`, `wgt [n, 4]` and `bias [n]` of the grouping engine, tokens by type, centres last."""
    index, weight = taps(peaks.xy.reshape(-1, 2), size)
    # Centres read the second of the two maps.
    index[-peaks.xy.shape[1] :] += size[0] * size[1]
    bias = np.where(peaks.keep.ravel(), np.float32(0), MASKED)
    return index.astype(np.int32), weight, bias


def assign(attention: np.ndarray, peaks: Peaks) -> np.ndarray:
    """Where every keypoint of every centre lies: `[types, centres, tokens]` logits -> `[centres, types, 2]`.

    The mean of all tokens whose weight equals the greatest.
    """
    places = peaks.xy[:-1].reshape(-1, 2).astype(np.float32)
    weight = np.exp(attention - attention.max(axis=-1, keepdims=True))
    ties = (weight == 1).astype(np.float32)
    return (ties @ places / ties.sum(axis=-1, keepdims=True)).transpose(1, 0, 2)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-logits.astype(np.float32)))).astype(np.float32)


def score_people(visible: np.ndarray, person: np.ndarray, settings: Settings) -> np.ndarray:
    """Eq. 14 as it is coded: visibilities `[n, keypoints]` and presence `[n]` -> `[n]`."""
    fifth = np.sort(visible, axis=1)[:, -settings.scored_keypoints, None]
    counted = (visible > settings.visible) | (visible >= fifth)
    mean = (visible * counted).sum(axis=1) / counted.sum(axis=1)
    return np.where(person > settings.person, mean, person).astype(np.float32)


def score_evidence(
    attention: np.ndarray, places: np.ndarray, full: np.ndarray, peaks: Peaks, settings: Settings
) -> np.ndarray:
    """The mean over the keypoints of how high the heatmap is there, 0 to 1, times the share of the attention
    that goes to tokens near there: `attention [keypoints, n, tokens]`, `places [n, keypoints, 2]` ->
    `[n]`."""
    tokens = peaks.xy[:-1].reshape(-1, 2)
    weight = np.exp((attention - attention.max(-1, keepdims=True)).astype(np.float64)).transpose(1, 0, 2)
    size = np.sqrt(np.maximum(np.ptp(places, axis=1), 12).prod(1))
    distance = np.linalg.norm(places[:, :, None] - tokens, axis=-1)
    near = distance < settings.same_place * size[:, None, None]
    share = (weight * near).sum(-1) / weight.sum(-1)
    x, y = places[..., 0].astype(int), places[..., 1].astype(int)
    height = full[np.arange(places.shape[1]), y, x].clip(0, 1)
    return (share * height).mean(1).astype(np.float32)


def shift(places: np.ndarray, full: np.ndarray) -> np.ndarray:
    """A quarter pixel towards the higher neighbour on the map of the keypoint's own type, then half a pixel.

    `places [n, keypoints, 2]`, `full [keypoints + 1, H, W]`; of equal neighbours the lower index wins.
    """
    height, width = full.shape[1:]
    x, y = places[..., 0].astype(int), places[..., 1].astype(int)
    channel = np.arange(places.shape[1])[None]
    right, left = np.minimum(x + 1, width - 1), np.maximum(x - 1, 0)
    below, above = np.minimum(y + 1, height - 1), np.maximum(y - 1, 0)
    across = np.where(full[channel, y, right] > full[channel, y, left], 0.25, -0.25)
    down = np.where(full[channel, below, x] > full[channel, above, x], 0.25, -0.25)
    return (places + np.stack([across, down], -1) + 0.5).astype(np.float32)


def image_from_network(image_size: tuple[int, int], network: tuple[int, int]) -> np.ndarray:
    """The affine `[2, 3]` from network to image pixels; sizes are `(width, height)`.

    Like LOGO-CAP's, but half a pixel is rounded to the even one.
    """
    width, height = image_size
    center = (round(width / 2), round(height / 2))
    return geometry.invert(geometry.network_from_image(image_size, network, center))


def decode(
    heat_half: np.ndarray,
    mask: np.ndarray,
    attention: np.ndarray,
    visible: np.ndarray,
    center: np.ndarray,
    image_size: tuple[int, int],
    peaks: Peaks | None = None,
    settings: Settings = Settings(),
) -> Decoded:
    """From `heat_half [types, H/2, W/2]` and the grouping engine's logits to people.

    `peaks` may be given where ties leave their order open.
    """
    full = upsample(heat_half, 2)
    peaks = peaks or find_peaks(full, mask, settings)
    people = grouped(attention, visible, center, peaks)
    scores = None
    if settings.score == "evidence":
        scores = score_evidence(attention[:, peaks.keep[-1]], people.places, full, peaks, settings)
    return finish(people, full, image_size, settings, scores)


@dataclass(frozen=True)
class Grouped:
    """What the grouping network says of the centres that count, best first."""

    places: np.ndarray
    """`[n, keypoints, 2]`, network pixels."""
    visible: np.ndarray
    """`[n, keypoints]`, logits."""
    center: np.ndarray
    """`[n]`, logits."""


def grouped(attention: np.ndarray, visible: np.ndarray, center: np.ndarray, peaks: Peaks) -> Grouped:
    """The logits of the grouping engine, for the centres that count."""
    alive = peaks.keep[-1]
    return Grouped(assign(attention, peaks)[alive], visible.T[alive], center[alive])


def merge_mirrored(direct: Grouped, mirrored: Grouped, order: list[int], width: int) -> Grouped:
    """The official mirrored test: both sides are grouped by themselves, and centres paired by rank.

    Logits are averaged; each keypoint lies where the side says that calls it visible with more certainty, the
    image's where both say the same. With another number of centres on the other side only the image counts.
    `order` has for every keypoint the one that takes its place in a mirrored image; `width` is in network
    pixels.
    """
    if len(direct.places) != len(mirrored.places):
        return direct
    places, visible = mirrored.places[:, order], mirrored.visible[:, order]
    places = np.stack([width - 1 - places[..., 0], places[..., 1]], -1)
    return Grouped(
        np.where((visible > direct.visible)[..., None], places, direct.places).astype(np.float32),
        (direct.visible + visible) / 2,
        (direct.center + mirrored.center) / 2,
    )


def finish(
    people: Grouped,
    full: np.ndarray,
    image_size: tuple[int, int],
    settings: Settings = Settings(),
    scores: np.ndarray | None = None,
) -> Decoded:
    """Scores (eq. 14 unless given), the shift, and the way back to the image."""
    places, seen = people.places, sigmoid(people.visible)
    shifted = shift(places, full)
    height, width = full.shape[1:]
    if scores is None:
        scores = score_people(seen, sigmoid(people.center), settings)
    image = geometry.apply(image_from_network(image_size, (width, height)), shifted).astype(np.float32)
    return Decoded(
        network_poses=np.concatenate([places, seen[..., None]], -1),
        shifted_poses=np.concatenate([shifted, seen[..., None]], -1),
        poses=np.concatenate([image, seen[..., None], seen[..., None]], -1),
        scores=scores,
    )
