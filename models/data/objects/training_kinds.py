"""All kinds of objects that CapeFormer is trained on, as one endless collection."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from models import skeleton
from models.data.objects.creatures import Creature
from models.data.objects.cutouts import FEWEST, CutOut
from models.data.objects.kind import Kind, ObjectImage
from models.data.people.assets import Assets
from models.data.people.sprites import Bank

CREATURES = 5000
PEOPLE_SIDE = 220


class People:
    """Rendered people, as one kind."""

    name = "person"
    keypoints = skeleton.NAMES
    edges = skeleton.EDGES
    handed = False

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    def draw(self, generator: np.random.Generator) -> ObjectImage:
        figures = self.bank.whole_figures
        sprite = self.bank[int(figures[generator.integers(len(figures))])]
        rgba: np.ndarray = sprite.rgba.astype(np.float32)
        scale = PEOPLE_SIDE / max(rgba.shape[:2])
        rgba = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return ObjectImage(rgba, (sprite.keypoints * scale).astype(np.float32), sprite.visible.copy())


class Kinds:
    """Draws a kind, and backgrounds to set its objects before."""

    def __init__(self, assets: Path, bank: Path | None) -> None:
        """Without `bank` there are no people among the kinds."""
        self.assets = Assets.open(assets)
        self.people = People(Bank(bank)) if bank else None
        self._cutout = lru_cache(maxsize=256)(self._make_cutout)

    def any(self, generator: np.random.Generator) -> Kind:
        """More often than not a cut-out, which is a photograph or well drawn."""
        while True:
            draw = generator.random()
            if draw < 0.1 and self.people:
                return self.people
            if draw < 0.45:
                return Creature(int(generator.integers(CREATURES)))
            kind = self._cutout(int(generator.integers(len(self.assets.cutouts))))
            if len(kind.keypoints) >= FEWEST:
                return kind

    def _make_cutout(self, index: int) -> CutOut:
        return CutOut(f"cut-out {index}", np.array(self.assets.cutouts[index]), index)

    def background(self, generator: np.random.Generator, side: int) -> np.ndarray:
        """A piece of a photograph, f32 [side, side, 3]."""
        patch = self.assets.piece(generator, side, side)
        return (patch - 128) * np.float32(generator.uniform(0.4, 1.1)) + np.float32(
            128 + generator.normal(0, 25)
        )
