"""Kinds of which there are many photographs: cut-out animals whose keypoints were read off by eye.

The photographs are those of Debian's `tuxpaint-stamps-default`, the places are in `stamps.txt`, which is
ours. Other than `CutOut`, which bends one photograph, a kind here is another animal every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.data.objects.cutouts import SIDE, bent, recoloured
from models.data.objects.kind import ObjectImage

TABLE = Path(__file__).with_name("stamps.txt")
FOLDER = Path("usr/share/tuxpaint/stamps/animals")
"""In the unpacked package."""
PAIRS = {"L": "R", "R": "L"}


@dataclass(frozen=True)
class Stamp:
    """One photograph: `file` without its suffix, and the places of its keypoints in percent of its longer
    side."""

    file: str
    places: dict[str, tuple[float, float]]


def table() -> dict[str, list[Stamp]]:
    """The stamps of every kind."""
    kinds: dict[str, list[Stamp]] = {}
    for line in TABLE.read_text().splitlines():
        if line.startswith("#") or not line:
            continue
        file, kind, *rest = line.split()
        places = {}
        for name, place in zip(rest[::2], rest[1::2], strict=True):
            x, y = place.split(",")
            places[name] = (float(x), float(y))
        kinds.setdefault(kind, []).append(Stamp(file, places))
    return kinds


def opposite(name: str) -> str:
    """What a keypoint is called in a mirror."""
    return PAIRS[name[0]] + name[1:] if name[0] in PAIRS and len(name) > 1 else name


class Animals:
    """One kind of `stamps.txt`."""

    handed = False
    """It mirrors itself, with left and right keypoints swapped."""

    def __init__(self, name: str, stamps: list[Stamp], packages: Path) -> None:
        """`packages` is where Debian's packages are unpacked."""
        self.name = name
        names = {key for stamp in stamps for key in stamp.places}
        names |= {opposite(key) for key in names}
        self.keypoints = tuple(sorted(names))
        self.edges = ()
        self.mirror = [self.keypoints.index(opposite(key)) for key in self.keypoints]
        self.images, self.places, self.shown = [], [], []
        for stamp in stamps:
            path = packages / FOLDER / f"{stamp.file}.png"
            rgba = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if rgba is None or rgba.shape[2] != 4:
                raise FileNotFoundError(f"{path}: no image with transparency; see models.data.people.assets")
            scale = SIDE / max(rgba.shape[:2])
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            self.images.append(
                cv2.resize(rgba[..., [2, 1, 0, 3]], None, fx=scale, fy=scale, interpolation=method)
            )
            places = np.zeros((len(self.keypoints), 2), np.float32)
            for key, place in stamp.places.items():
                places[self.keypoints.index(key)] = np.array(place) * SIDE / 100
            self.places.append(places)
            self.shown.append(np.array([key in stamp.places for key in self.keypoints]))

    def draw(self, generator: np.random.Generator) -> ObjectImage:
        index = int(generator.integers(len(self.images)))
        rgba, places, shown = self.images[index].astype(np.float32), self.places[index], self.shown[index]
        colour = recoloured(rgba[..., :3], generator, 0.25)
        rgba = np.dstack([colour * (rgba[..., 3:] / 255), rgba[..., 3]])
        result = bent(rgba, places, shown, generator, 0.05)
        if generator.random() < 0.5:
            turned = result.mirrored()
            result = ObjectImage(turned.rgba, turned.keypoints[self.mirror], turned.visible[self.mirror])
        return result


def animals(packages: Path) -> list[Animals]:
    """All kinds, most photographs first."""
    kinds = sorted(table().items(), key=lambda entry: -len(entry[1]))
    return [Animals(name, stamps, packages) for name, stamps in kinds]
