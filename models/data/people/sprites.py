"""The bank of rendered people: thousands of cut-out persons with exact keypoints, made once, drawn on by
every scene.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import skeleton
from models.data.people.ragged import Images, write_images

FLIP = np.array(skeleton.flip_order())


@dataclass(frozen=True)
class Sprite:
    """One rendered person.

    `rgba` u8 [h, w, 4], colour premultiplied by alpha; `keypoints` f32 [17, 2], (x, y) in the sprite's pixels
    where the centre of the first pixel is (0, 0), possibly outside the sprite; `visible` bool [17], false
    where the person's own body hides the keypoint; `kind` names the pose; `window` is true when the sprite is
    a view of a person larger than the frame, whose cut edges must lie on or outside the scene's borders.
    """

    rgba: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    kind: str
    window: bool = False

    def mirrored(self) -> Sprite:
        """Left and right swapped, in the image and in the labels."""
        keypoints = self.keypoints[FLIP].copy()
        keypoints[:, 0] = self.rgba.shape[1] - 1 - keypoints[:, 0]
        return Sprite(self.rgba[:, ::-1], keypoints, self.visible[FLIP], self.kind, self.window)


def write_shard(directory: Path, name: str, sprites: Iterable[Sprite]) -> int:
    """Write one shard of a bank, atomically: it exists when its `.npz` does.

    Returns the number of sprites.
    """
    directory.mkdir(parents=True, exist_ok=True)
    keypoints, visible, kinds, windows = [], [], [], []

    def images() -> Iterable[np.ndarray]:
        for sprite in sprites:
            keypoints.append(sprite.keypoints.astype(np.float32))
            visible.append(sprite.visible.astype(bool))
            kinds.append(sprite.kind)
            windows.append(sprite.window)
            yield sprite.rgba

    count = write_images(directory / f"{name}.bin", images())
    partial = directory / f"{name}.partial.npz"
    np.savez(
        partial,
        keypoints=np.array(keypoints, np.float32).reshape(-1, 17, 2),
        visible=np.array(visible, bool).reshape(-1, 17),
        kinds=np.array(kinds),
        windows=np.array(windows, bool),
    )
    partial.rename(directory / f"{name}.npz")
    return count


class Bank:
    """All finished shards of a directory as one sequence of sprites; whole figures and windows are listed
    apart.
    """

    def __init__(self, directory: Path) -> None:
        shards = sorted(p for p in directory.glob("*.npz") if not p.name.endswith(".partial.npz"))
        if not shards:
            raise FileNotFoundError(
                f"{directory}: no sprites; make them with `python -m models.data.people.render_bank`"
            )
        self.images = [Images(shard.with_suffix(".bin")) for shard in shards]
        tables = [np.load(shard) for shard in shards]
        self.keypoints = np.concatenate([t["keypoints"] for t in tables])
        self.visible = np.concatenate([t["visible"] for t in tables])
        self.kinds = np.concatenate([t["kinds"] for t in tables])
        self.windows = np.concatenate([t["windows"] for t in tables])
        self.first = np.cumsum([0] + [len(p) for p in self.images])
        self.whole_figures = np.flatnonzero(~self.windows)
        self.window_figures = np.flatnonzero(self.windows)

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, index: int) -> Sprite:
        shard = int(np.searchsorted(self.first, index, "right")) - 1
        return Sprite(
            self.images[shard][index - self.first[shard]],
            self.keypoints[index],
            self.visible[index],
            str(self.kinds[index]),
            bool(self.windows[index]),
        )
