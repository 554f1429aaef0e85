"""Made-up scenes for CenterGroup, and what its post-processing must return, for `models.reference.golden`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from models import skeleton
from models.reference import centergroup
from models.reference.logocap import upsample

KEYPOINTS = len(skeleton.NAMES)
TYPES = KEYPOINTS + 1
SETTINGS = centergroup.Settings()


@dataclass
class Scene:
    """Heatmaps and the grouping network's result in the making, `columns` by `rows` cells of half a pixel."""

    columns: int
    rows: int
    image: tuple[int, int]
    generator: np.random.Generator
    heat_half: np.ndarray = field(init=False)
    center: np.ndarray = field(init=False)
    visible: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.heat_half = np.zeros((TYPES, self.rows, self.columns), np.float32)
        tokens = SETTINGS.tokens
        self.center = self.generator.normal(1.5, 1, tokens).astype(np.float32)
        self.visible = self.generator.normal(0.5, 1.5, (KEYPOINTS, tokens)).astype(np.float32)

    def blob(self, channel: int, x: float, y: float, peak: float, sigma: float) -> None:
        """Raises one heatmap by a Gaussian, in cells, cut off low so that the file stays small."""
        rows, columns = np.mgrid[0 : self.rows, 0 : self.columns]
        value = peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
        value = np.where(value > 2e-3, value, 0).astype(np.float32)
        self.heat_half[channel] = np.maximum(self.heat_half[channel], value)

    def person(self, x: float, y: float, size: float, peak: float = 0.8) -> None:
        """A blob for every type, strewn around `(x, y)`, in cells."""
        for channel in range(TYPES):
            dx, dy = self.generator.normal(0, size, 2) if channel < KEYPOINTS else (0, 0)
            self.blob(channel, x + dx, y + dy, peak * self.generator.uniform(0.5, 1), 1.4)

    def attention(self, peaks: centergroup.Peaks) -> np.ndarray:
        """`[keypoints, tokens, keypoints * tokens]`: every centre and type has one favourite that counts."""
        tokens = SETTINGS.tokens
        logits = np.full((KEYPOINTS, tokens, KEYPOINTS * tokens), -2, np.float32)
        logits[self.generator.random(logits.shape) < 0.01] = 1.25
        alive = np.flatnonzero(peaks.keep[:-1])
        if len(alive):
            favourites = self.generator.choice(alive, (KEYPOINTS, tokens))
            np.put_along_axis(logits, favourites[..., None], np.float32(3.5), axis=-1)
        logits += np.where(peaks.keep[:-1].ravel(), np.float32(0), centergroup.MASKED)
        return logits


def three_people(generator: np.random.Generator) -> Scene:
    scene = Scene(48, 32, (192, 128), generator)
    for x, y, peak in ((9.3, 15.8, 0.9), (23.6, 16.2, 0.8), (38.1, 14.7, 0.6)):
        scene.person(x, y, 4, peak)
    return scene


def padding(generator: np.random.Generator) -> Scene:
    """An image that does not fill the network's input; people reach into the padding."""
    scene = Scene(48, 32, (101, 77), generator)
    scene.person(12.2, 9.1, 7)
    scene.person(44.7, 20.4, 7, 0.6)
    return scene


def crowd(generator: np.random.Generator) -> Scene:
    """More peaks of every type than tokens."""
    scene = Scene(56, 40, (224, 160), generator)
    for _ in range(60):
        x, y = generator.uniform(0, 56), generator.uniform(0, 40)
        scene.person(x, y, 3, generator.uniform(0.2, 1))
    return scene


def levels(generator: np.random.Generator) -> Scene:
    """Flat maps, plateaus, peaks at the threshold and in the corners, maps below zero."""
    scene = Scene(32, 32, (128, 128), generator)
    heat = scene.heat_half
    heat[0] = 0.25
    heat[1] = -0.25
    heat[2] = -0.5
    heat[2, 4, 4] = -0.125
    heat[3, 10, 10:13] = 0.5
    heat[3, 20:22, 20:22] = 0.25
    heat[4, [0, 0, 31, 31], [0, 31, 0, 31]] = [0.5, 0.25, 0.75, 0.125]
    # Twice upsampled these reach 9/16 of the cell: exactly the threshold, and just below it.
    heat[5, 8, 8] = np.float32(0.005) * 16 / 9
    heat[5, 16, 16] = 0.0088
    heat[6] = np.indices((32, 32)).sum(axis=0) / 64
    heat[7] = (np.indices((32, 32)).sum(axis=0) % 2) / 2
    heat[KEYPOINTS, 6, 6] = 0.5
    heat[KEYPOINTS, 6, 14:16] = 0.5
    heat[KEYPOINTS, 24, 24] = 0.001
    return scene


def noise(generator: np.random.Generator) -> Scene:
    """Nothing but noise of both signs."""
    scene = Scene(32, 24, (90, 60), generator)
    scene.heat_half[:] = np.round(generator.normal(0, 0.004, scene.heat_half.shape) * 4096) / 4096
    return scene


def unsure(generator: np.random.Generator) -> Scene:
    """Centres that are no persons, and people with few visible keypoints."""
    scene = three_people(generator)
    scene.center[0] = -0.5
    scene.visible[:, 1] = -1 - generator.random(KEYPOINTS)
    scene.visible[:6, 2] = -2
    return scene


SCENES: dict[str, Callable[[np.random.Generator], Scene]] = {
    "three_people": three_people,
    "padding": padding,
    "crowd": crowd,
    "levels": levels,
    "noise": noise,
    "unsure": unsure,
}


def tie(attention: np.ndarray, peaks: centergroup.Peaks) -> None:
    """Makes two and three tokens equally good for a few keypoints of the first centre."""
    alive = np.flatnonzero(peaks.keep[:-1])
    attention[0, 0, alive[:2]] = 3.75
    attention[3, 0, alive[[1, 4, -1]]] = 3.75


def centergroup_arrays(name: str) -> dict[str, np.ndarray]:
    """Inputs and expected outputs of one scene."""
    scene = SCENES[name](np.random.default_rng(len(name)))
    size = (2 * scene.columns, 2 * scene.rows)
    mask = centergroup.image_mask(scene.image, size)
    peaks = centergroup.find_peaks(upsample(scene.heat_half, 2), mask, SETTINGS)
    attention = scene.attention(peaks)
    if name == "three_people":
        tie(attention, peaks)
    people = centergroup.decode(
        scene.heat_half, mask, attention, scene.visible, scene.center, scene.image, peaks
    )
    evidence = centergroup.decode(
        scene.heat_half,
        mask,
        attention,
        scene.visible,
        scene.center,
        scene.image,
        peaks,
        replace(SETTINGS, score="evidence"),
    )
    index, weight, bias = centergroup.tokens(peaks, (scene.rows // 2, scene.columns // 2))
    arrays = {
        "heat_half": scene.heat_half,
        "attn": attention,
        "vis": scene.visible,
        "center": scene.center,
        "image_size": np.array(scene.image, np.int32),
        "peaks_xy": peaks.xy.astype(np.int32),
        "peaks_score": peaks.score.astype(np.float32),
        "peaks_keep": peaks.keep.astype(np.int32),
        "idx": index,
        "wgt": weight.astype(np.float32),
        "bias": bias.astype(np.float32),
        "poses": people.poses.astype(np.float32),
        "scores": people.scores,
        "evidence": evidence.scores,
    }
    return arrays if mask.all() else arrays | {"mask": mask.astype(np.uint8)}
