"""A library of rest bodies from the parametric model `anny`: many people, one topology.

Frame of the rest pose: x to the person's left, y to the back, z up, metres; the arms hang in an A.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

PARTS = ("body", "helper-tights", "helper-skirt", "helper-hair", "helper-l-eye", "helper-r-eye")
"""Groups of the base mesh that are used; the helpers share the body's skinning and so deform with it."""
CHILD_SHARE = 0.12


@dataclass(frozen=True)
class BodyLibrary:
    """`vertices` f16 [N, V, 3] and `heads` f32 [N, B, 3] (bone origins) of N bodies, and what they share:
    `skin_weights` f32 and `skin_bones` i32 [V, 6], `parents` i32 [B], `bones` (names), `keypoint_weights` f32
    [17, V] and the triangles of each part, i32 [F, 3].
    """

    vertices: np.ndarray
    heads: np.ndarray
    skin_weights: np.ndarray
    skin_bones: np.ndarray
    parents: np.ndarray
    bones: list[str]
    keypoint_weights: np.ndarray
    faces: dict[str, np.ndarray]

    @staticmethod
    def open(path: Path) -> BodyLibrary:
        with np.load(path) as file:
            return BodyLibrary(
                file["vertices"],
                file["heads"],
                file["skin_weights"],
                file["skin_bones"],
                file["parents"],
                [str(name) for name in file["bones"]],
                file["keypoint_weights"],
                {part: file[f"faces {part}"] for part in PARTS},
            )

    def __len__(self) -> int:
        return len(self.vertices)

    def bone(self, name: str) -> int:
        return self.bones.index(name)

    @cached_property
    def part_vertices(self) -> dict[str, np.ndarray]:
        """For every part a mask [V] of the vertices that its triangles use."""
        masks = {}
        for part, faces in self.faces.items():
            masks[part] = np.zeros(self.vertices.shape[1], bool)
            masks[part][np.unique(faces)] = True
        return masks

    @cached_property
    def main_bone(self) -> np.ndarray:
        """[V]: the bone with the largest weight at each vertex."""
        return self.skin_bones[np.arange(len(self.skin_bones)), self.skin_weights.argmax(1)]

    def region(self, *names: str) -> np.ndarray:
        """Mask [V] of the vertices that mainly follow a bone whose name contains one of `names`."""
        wanted = [index for index, bone in enumerate(self.bones) if any(name in bone for name in names)]
        return np.isin(self.main_bone, wanted)

    @cached_property
    def keypoint_support(self) -> np.ndarray:
        """Indices of the vertices that any keypoint depends on."""
        return np.flatnonzero(np.abs(self.keypoint_weights).max(0) > 0)


def build_library(path: Path, count: int, seed: int) -> None:
    """Draw `count` bodies of all ages and builds and write them to `path` (npz).

    Needs the packages `anny` and `torch`.
    """
    import anny
    import torch

    torch.set_grad_enabled(False)
    model = anny.Anny(topology="makehuman-tris", rig="mixamo", local_changes="none")
    generator = np.random.default_rng(seed)
    traits = {name: generator.random(count) for name in model.phenotype_labels}
    child = generator.random(count) < CHILD_SHARE
    traits["age"] = np.where(child, generator.uniform(0.3, 0.6, count), generator.uniform(0.62, 1, count))
    side = generator.uniform(0, 0.12, count)
    traits["gender"] = np.where(generator.random(count) < 0.5, side, 1 - side)
    traits["weight"] = np.clip(generator.normal(0.5, 0.23, count), 0, 1)
    traits["muscle"] = np.clip(generator.normal(0.5, 0.2, count), 0, 1)
    vertices, heads = [], []
    for start in tqdm(range(0, count, 50), desc="bodies", disable=None):
        chosen = {name: torch.from_numpy(values[start : start + 50]) for name, values in traits.items()}
        size = len(chosen["age"])
        pose = torch.eye(4, dtype=torch.float64).expand(size, model.bone_count, 4, 4).clone()
        shape = model(pose, phenotype_kwargs=chosen)
        vertices.append(shape["rest_vertices"].numpy().astype(np.float16))
        heads.append(shape["rest_bone_heads"].numpy().astype(np.float32))
    regressor = anny.KeypointsRegressor.coco(model)
    faces = _triangles(Path(anny.__file__).parent / "data/mpfb2/3dobjs/base.obj")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        vertices=np.concatenate(vertices),
        heads=np.concatenate(heads),
        skin_weights=model.vertex_bone_weights.numpy().astype(np.float32),
        skin_bones=model.vertex_bone_indices.numpy().astype(np.int32),
        parents=np.array(model.bone_parents, np.int32),
        bones=np.array([label.split(":")[-1] for label in model.bone_labels]),
        keypoint_weights=regressor.regression_weights[:17].numpy().astype(np.float32),
        **{f"faces {part}": faces[part] for part in PARTS},  # type: ignore[arg-type]
    )


def _triangles(path: Path) -> dict[str, np.ndarray]:
    """The triangles of each group of an OBJ file; quads are cut in two."""
    groups: dict[str, list[list[int]]] = {}
    group: list[list[int]] = []
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == ["g"]:
            group = groups.setdefault(words[1], [])
        elif words[:1] == ["f"]:
            corners = [int(word.split("/")[0]) - 1 for word in words[1:]]
            group.extend([corners[0], corners[i], corners[i + 1]] for i in range(1, len(corners) - 1))
    return {name: np.array(triangles, np.int32) for name, triangles in groups.items()}
