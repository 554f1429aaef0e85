"""Writes the golden arrays that the runtime's tests compare with: `python -m models.reference.golden`.

`tests/golden/logocap/*.npz` hold network outputs of small made-up scenes and what the post-processing must
result, under the array names of `sinew decode`; the results of levels `none` and `partial` end in `_none` and
`_partial`. `tests/golden/centergroup/*.npz` do the same for CenterGroup; `tests/golden/capeformer/parts.npz`
holds what surrounds CapeFormer's networks, part by part. `tests/golden/warp/*.npz` hold images, affines and
exactly interpolated network inputs. Ties are broken in reading order. All of it is made
from fixed seeds and comes out the same on every run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models import skeleton
from models.paths import ROOT
from models.reference import capeformer, geometry, golden_centergroup, logocap

KEYPOINTS = len(skeleton.NAMES)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

# A standing figure, in units of its height, around its middle; keypoints in the order of `skeleton.NAMES`.
FIGURE = np.array(
    [
        (0.00, -0.42), (0.02, -0.44), (-0.02, -0.44), (0.05, -0.43), (-0.05, -0.43),
        (0.12, -0.30), (-0.12, -0.31), (0.18, -0.15), (-0.19, -0.14), (0.20, 0.00), (-0.17, 0.02),
        (0.08, 0.02), (-0.08, 0.02), (0.09, 0.25), (-0.10, 0.24), (0.10, 0.47), (-0.09, 0.48),
    ]
)  # fmt: skip


@dataclass
class Scene:
    """Network outputs in the making, `columns` by `rows` cells."""

    columns: int
    rows: int
    image: tuple[int, int]
    generator: np.random.Generator
    heatmaps: np.ndarray = field(init=False)
    offsets: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.heatmaps = np.zeros((KEYPOINTS + 1, self.rows, self.columns), np.float32)
        self.offsets = np.zeros((2 * KEYPOINTS, self.rows, self.columns), np.float32)

    def blob(self, channel: int, x: float, y: float, peak: float, sigma: float) -> None:
        """Raises one heatmap by a Gaussian, in cells, cut off low so that the file stays small."""
        rows, columns = np.mgrid[0 : self.rows, 0 : self.columns]
        value = peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
        value = np.where(value > 2e-3, value, 0).astype(np.float32)
        self.heatmaps[channel] = np.maximum(self.heatmaps[channel], value)

    def person(self, x: float, y: float, height: float, peak: float = 0.8, error: float = 3.0) -> None:
        """One figure with its middle at `(x, y)`, network pixels; offsets are off by about `error` pixels."""
        points = np.array([x, y]) + height * FIGURE + self.generator.normal(0, 0.02 * height, FIGURE.shape)
        center = points.mean(axis=0) / 4
        rows, columns = np.mgrid[0 : self.rows, 0 : self.columns]
        near = (np.abs(columns - center[0]) < 3) & (np.abs(rows - center[1]) < 3)
        for index, (px, py) in enumerate(points / 4):
            dx, dy = self.generator.normal(0, error / 4, 2)
            self.blob(index, px - 0.375, py - 0.375, peak * self.generator.uniform(0.6, 1), 1.5)
            self.offsets[2 * index][near] = (columns - px + dx)[near]
            self.offsets[2 * index + 1][near] = (rows - py + dy)[near]
        self.blob(KEYPOINTS, center[0] - 0.375, center[1] - 0.375, peak, 2.0)

    def kam(self, count: int) -> np.ndarray:
        """Attraction maps `[count, 17, 11, 11]`: a bump somewhere near the middle, noise on both sides of
        zero."""
        steps = np.arange(-5, 6)
        peak = self.generator.uniform(-2.5, 2.5, (count, KEYPOINTS, 2, 1))
        bells = np.exp(-((steps - peak) ** 2) / (2 * 1.6**2))
        maps = 1.05 * bells[:, :, 1, :, None] * bells[:, :, 0, None, :]
        maps += self.generator.normal(0, 0.03, maps.shape)
        # Few significant bits keep the file small; they are exact in f32.
        return (np.round(maps * 256) / 256).astype(np.float32)

    def centers(self) -> int:
        """How many candidates the scene has."""
        large = logocap.upsample(self.heatmaps[-1], 4)
        return len(logocap.find_centers(large, logocap.Settings()))


def sampling_grid(poses: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """The `grid` input of the `kam` graph `[n * 187, 11, 2]` for `poses [n, 17, 2]` and an embedding of that
    many cells."""
    position = logocap.local_mesh(poses, logocap.Settings()) / np.float32(4)
    cells = np.array([columns, rows], np.float32)
    padded = position + (position >= cells - 1)
    return (padded / (cells + 1) * 2 - 1).astype(np.float32).reshape(-1, position.shape[3], 2)


def one_person(generator: np.random.Generator) -> tuple[Scene, np.ndarray]:
    scene = Scene(24, 40, (300, 480), generator)
    scene.person(50.3, 78.6, 110)
    return scene, scene.kam(scene.centers())


def five_people(generator: np.random.Generator) -> tuple[Scene, np.ndarray]:
    scene = Scene(64, 40, (640, 400), generator)
    for index, (x, y, height) in enumerate(
        [(40, 70, 90), (95, 80, 110), (150, 66, 80), (205, 90, 120), (120, 110, 70)]
    ):
        scene.person(x + 0.4, y + 0.2, height, peak=0.9 - 0.07 * index)
    return scene, scene.kam(scene.centers())


def borders(generator: np.random.Generator) -> tuple[Scene, np.ndarray]:
    """People cut by every border, with poses on whole pixels, where the sampling rule is discontinuous."""
    scene = Scene(32, 32, (97, 101), generator)
    for x, y in [(4, 60), (122, 64), (64, 3), (60, 125)]:
        scene.person(x, y, 80, peak=0.7 + x / 1000 + y / 3000, error=0)
    scene.offsets = np.round(scene.offsets * 4).astype(np.float32) / 4
    return scene, scene.kam(scene.centers())


def corner(generator: np.random.Generator) -> tuple[Scene, np.ndarray]:
    """One person at the far corner; small enough to carry the sampling grid too."""
    scene = Scene(24, 24, (96, 96), generator)
    scene.person(84.3, 80.7, 60)
    return scene, scene.kam(scene.centers())


def ties(generator: np.random.Generator) -> tuple[Scene, np.ndarray]:
    """Plateaus: neighbouring cells of the centre map are equal, and two people have equal centre values."""
    scene = Scene(40, 24, (320, 192), generator)
    scene.person(40, 48, 70)
    scene.person(120, 48, 70)
    scene.heatmaps[KEYPOINTS] = 0
    scene.heatmaps[KEYPOINTS, 11, 9:11] = 0.5
    scene.heatmaps[KEYPOINTS, 11:13, 29:31] = 0.5
    return scene, scene.kam(scene.centers())


def duplicates(generator: np.random.Generator) -> tuple[Scene, np.ndarray]:
    """Several centres that lead to nearly the same pose, so that pose NMS has to choose."""
    scene = Scene(40, 32, (200, 160), generator)
    scene.person(60.2, 64.4, 90)
    scene.person(120.2, 60.4, 80, peak=0.6)
    centers = scene.heatmaps[KEYPOINTS]
    row, column = np.unravel_index(centers.argmax(), centers.shape)
    for shift, peak in ((-2, 0.74), (2, 0.7)):
        # A second and third peak whose offsets end at the same keypoints.
        target = np.s_[:, row - 1 : row + 2, column + 3 * shift - 1 : column + 3 * shift + 2]
        scene.blob(KEYPOINTS, column + 3 * shift, row, peak, 0.8)
        scene.offsets[0::2][target] = scene.offsets[0::2, row, column, None, None] + 3 * shift
        scene.offsets[1::2][target] = scene.offsets[1::2, row, column, None, None]
    return scene, scene.kam(scene.centers())


def zero_kam(generator: np.random.Generator) -> tuple[Scene, np.ndarray]:
    """Attraction maps without a positive value: the refined map is zero, and its first two cells win."""
    scene = Scene(40, 24, (320, 192), generator)
    scene.person(40.4, 48.1, 70)
    scene.person(120.3, 47.2, 70, peak=0.7)
    kam = scene.kam(scene.centers())
    kam[0, [0, 5, 9]] = -0.25
    kam[1] = 0
    return scene, kam


def below_threshold(generator: np.random.Generator) -> tuple[Scene, np.ndarray]:
    """No centre reaches the threshold: the best one is kept all the same."""
    scene = Scene(32, 24, (128, 96), generator)
    scene.person(60.3, 50.2, 70)
    scene.heatmaps[KEYPOINTS] *= 0.009
    return scene, scene.kam(1)


def empty(generator: np.random.Generator) -> tuple[Scene, np.ndarray]:
    """Nothing positive in the centre map: one candidate of value 0 in the first pixel, and no pose."""
    scene = Scene(24, 24, (96, 96), generator)
    scene.person(50.3, 50.2, 70)
    scene.heatmaps[KEYPOINTS] = -0.125
    return scene, scene.kam(1)


def crowd(generator: np.random.Generator) -> tuple[Scene, np.ndarray]:
    """More peaks than candidates are allowed."""
    scene = Scene(48, 32, (384, 256), generator)
    scene.person(60.3, 60.2, 90)
    peaks = generator.permutation(40)
    for index in peaks:
        scene.blob(KEYPOINTS, 3 + 6 * (index % 8), 3 + 6 * (index // 8), 0.3 + 0.01 * peaks[index], 1.0)
    return scene, scene.kam(scene.centers())


SCENES: dict[str, Callable[[np.random.Generator], tuple[Scene, np.ndarray]]] = {
    "one_person": one_person,
    "five_people": five_people,
    "borders": borders,
    "corner": corner,
    "ties": ties,
    "duplicates": duplicates,
    "zero_kam": zero_kam,
    "below_threshold": below_threshold,
    "empty": empty,
    "crowd": crowd,
}


def is_unambiguous(scene: Scene, kam: np.ndarray) -> bool:
    """Whether the three largest cells of every refined map that is not zero are apart by more than
    rounding."""
    settings = logocap.Settings()
    large = logocap.upsample(scene.heatmaps, 4)
    poses = logocap.initial_poses(scene.offsets, logocap.find_centers(large[-1], settings), settings)
    maps = logocap.convolve(logocap.global_maps(large[:-1], poses, settings), logocap.kernels(kam, settings))
    best = np.sort(maps.reshape(-1, maps.shape[-1] ** 2), axis=-1)[:, :-4:-1]
    gap = (best[:, :2] - best[:, 1:]).min(axis=1)
    return bool((gap > 1e-5 * best[:, 0])[best[:, 0] > 0].all())


def make_scene(name: str) -> tuple[Scene, np.ndarray]:
    """The scene of the first seed that leaves no doubt about its two best cells."""
    for seed in range(1000):
        scene, kam = SCENES[name](np.random.default_rng(seed))
        if is_unambiguous(scene, kam):
            return scene, kam
    raise RuntimeError(f"scene {name}: no seed without ties found")


def logocap_arrays(name: str) -> dict[str, np.ndarray]:
    """Inputs and expected outputs of one scene."""
    scene, kam = make_scene(name)
    arrays = {
        "heatmaps": scene.heatmaps,
        "offsets": scene.offsets,
        "kam": kam,
        "image_size": np.array(scene.image, np.int32),
    }
    for level in ("full", "partial", "none"):
        result = logocap.decode(scene.heatmaps, scene.offsets, kam, scene.image, level=level)
        suffix = "" if level == "full" else f"_{level}"
        if level == "full":
            arrays |= {"centers": result.centers, "initial_poses": result.initial_poses}
        arrays |= {
            f"refined_poses{suffix}": result.refined_poses.astype(np.float32),
            f"scores{suffix}": result.scores.astype(np.float32),
            f"poses{suffix}": result.poses.astype(np.float32),
            f"keep{suffix}": result.keep.astype(np.int32),
        }
    if name in ("one_person", "corner"):
        arrays["grid"] = sampling_grid(arrays["initial_poses"], scene.columns, scene.rows)
    return arrays


def warp_arrays() -> dict[str, dict[str, np.ndarray]]:
    """Images, affines and exact network inputs."""
    generator = np.random.default_rng(7)
    cosine, sine = 1.3 * np.cos(0.4), 1.3 * np.sin(0.4)
    cases = {
        "landscape": ((45, 30), (64, 32), None),
        "portrait": ((30, 47), (32, 64), None),
        "rotated": ((40, 36), (32, 32), np.array([[cosine, -sine, 9.7], [sine, cosine, -6.3]])),
        "outside": ((8, 8), (32, 32), np.array([[0.5, 0.0, -4.25], [0.0, 0.5, -3.5]])),
    }
    arrays = {}
    for name, (image_size, network, to_image) in cases.items():
        image = generator.integers(0, 256, (image_size[1], image_size[0], 3), np.uint8)
        if to_image is None:
            to_image = geometry.invert(geometry.network_from_image(image_size, network))
        arrays[name] = {
            "rgb": image,
            "to_picture": to_image,
            "mean": MEAN,
            "std": STD,
            "network": geometry.warp(image, to_image, network, MEAN, STD).astype(np.float32),
        }
    return arrays


def capeformer_arrays() -> dict[str, np.ndarray]:
    """Points with their support weights, similarities with their proposals, boxes with their crops,
    identifiers."""
    generator = np.random.default_rng(9)
    points = generator.uniform(0, capeformer.CROP, (24, 2)).astype(np.float32)
    points[:4] = np.array([[0, 0], [255.5, 255.5], [127.9, 2], [128, 254]])
    weights, _ = capeformer.support_weights(points, np.ones(len(points)))
    similarity = generator.normal(0, 2, (16, capeformer.CELLS, capeformer.CELLS)).astype(np.float32)
    for row, (y, x) in enumerate([(0, 0), (0, 7), (7, 0), (7, 7), (0, 3), (4, 7)]):
        similarity[row, y, x] = 9
    similarity[6] = 0.5
    similarity[7, 2, 2] = similarity[7, 6, 5] = 8
    image = (320, 240)
    boxes = np.array(
        [[10, 20, 100, 50], [-8, -3, 90, 200], [300, 200, 60, 60], [5.5, 7.25, 20.5, 31]], np.float32
    )
    cleaned = [capeformer.clean_box(tuple(box.astype(np.float64)), image) for box in boxes]
    crops = [capeformer.crop_of(box) for box in cleaned if box is not None]
    return {
        "points": points,
        "weights": weights,
        "similarity": similarity,
        "proposals": capeformer.proposals(similarity),
        "picture": np.array(image, np.int32),
        "boxes": boxes,
        "crops": np.array([[*crop.center, crop.side] for crop in crops], np.float32),
        "identity": capeformer.identifiers()[[0, 1, 16, 99]],
    }


def main() -> None:
    """Writes all golden arrays."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "golden")
    out = parser.parse_args().out
    files = {f"logocap/{name}.npz": logocap_arrays(name) for name in SCENES}
    files |= {
        f"centergroup/{name}.npz": golden_centergroup.centergroup_arrays(name)
        for name in golden_centergroup.SCENES
    }
    files["capeformer/parts.npz"] = capeformer_arrays()
    files |= {f"warp/{name}.npz": arrays for name, arrays in warp_arrays().items()}
    for name, arrays in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
        print(f"{path.relative_to(out)}  {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
