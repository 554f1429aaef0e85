"""Pose, light and draw one dressed person: a sprite with exact keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from models.data.people import raster
from models.data.people.bodies import BodyLibrary
from models.data.people.poses import Pose, sample_pose
from models.data.people.rotations import X, Y, Z, about
from models.data.people.sprites import Sprite
from models.data.people.wardrobe import Dressed, Wardrobe

SUPERSAMPLING = 2
SELF_HIDDEN_DEPTH = 0.13
"""Metres: joints lie this deep inside the body at most, so what is nearer by more hides them."""
NEAREST = 0.25
WINDOW_SIDE = 288


@dataclass(frozen=True)
class Camera:
    """`turn` [3, 3] takes the person's frame to the camera's (x right as seen for a person turned to us, y
    away, z up), `distance` in metres to `anchor` [3], the point looked at.
    """

    turn: np.ndarray
    distance: float
    anchor: np.ndarray

    def see(self, points: np.ndarray) -> np.ndarray:
        """[n, 3] -> [n, 3]: image plane right and down (per metre of depth), and depth."""
        local = (points - self.anchor) @ self.turn.T
        depth = np.maximum(local[:, 1] + self.distance, NEAREST)
        return np.stack([local[:, 0] / depth, -local[:, 2] / depth, depth], 1)


class Renderer:
    """Makes people of one library."""

    def __init__(self, library: BodyLibrary) -> None:
        self.library = library
        self.wardrobe = Wardrobe(library)

    def whole_figure(self, generator: np.random.Generator, height: float) -> Sprite:
        """A person of about `height` pixels, seen whole from anywhere."""
        index = int(generator.integers(len(self.library)))
        dressed = self.wardrobe.dress(generator, index)
        pose = sample_pose(generator, self.library, self.library.heads[index])
        posed, normals, keypoints, faces, colours = self.posed(generator, dressed, index, pose)
        facing = generator.normal(0, 45) if generator.random() < 0.3 else generator.uniform(-180, 180)
        camera = Camera(
            view(generator, facing, pose.kind),
            generator.uniform(2.2, 9),
            posed[self.wardrobe.skin.nonzero()[0]].mean(0),
        )
        seen, joints = camera.see(posed), camera.see(keypoints)
        used = np.unique(faces)
        low, high = seen[used, :2].min(0), seen[used, :2].max(0)
        span = high - low
        scale = SUPERSAMPLING * height / max(span[1], 0.6 * span[0])
        margin = 2 * SUPERSAMPLING
        size = np.ceil((span * scale + 2 * margin) / SUPERSAMPLING).astype(int)
        return self.drawn(
            generator,
            camera,
            seen,
            normals,
            joints,
            faces,
            colours,
            low - margin / scale,
            scale,
            size,
            pose.kind,
            False,
        )

    def close_up(self, generator: np.random.Generator) -> Sprite:
        """A person too near to fit: a window of `WINDOW_SIDE` pixels on face, chest or hips, as a desk's
        camera sees them.
        """
        index = int(generator.integers(len(self.library)))
        dressed = self.wardrobe.dress(generator, index)
        pose = sample_pose(generator, self.library, self.library.heads[index], close=True)
        posed, normals, keypoints, faces, colours = self.posed(generator, dressed, index, pose)
        facing = generator.normal(0, 35) if generator.random() < 0.7 else generator.uniform(-180, 180)
        target = generator.choice(4, p=[0.62, 0.2, 0.13, 0.05])
        joints_of = ((0, 3, 4), (5, 6), (11, 12), (13, 14))[target]
        camera = Camera(
            view(generator, facing, "stand"), generator.uniform(0.6, 2.2), keypoints[list(joints_of)].mean(0)
        )
        width = generator.uniform(0.4, 1.5) if target == 0 else generator.uniform(0.7, 1.9)
        scale = SUPERSAMPLING * WINDOW_SIDE * camera.distance / width
        side = SUPERSAMPLING * WINDOW_SIDE
        at = np.array([generator.normal(0.5, 0.13), generator.uniform(0.25, 0.6)]) * side
        seen, joints = camera.see(posed), camera.see(keypoints)
        size = np.array([WINDOW_SIDE, WINDOW_SIDE])
        return self.drawn(
            generator,
            camera,
            seen,
            normals,
            joints,
            faces,
            colours,
            -at / scale,
            scale,
            size,
            pose.kind,
            True,
        )

    def posed(
        self, generator: np.random.Generator, dressed: Dressed, index: int, pose: Pose
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Posed vertices, their normals, keypoints, faces and colours, accessories included."""
        library = self.library
        transforms = raster.bone_transforms(pose.rotations, library.heads[index], library.parents)
        posed = raster.skin(dressed.vertices, library.skin_weights, library.skin_bones, transforms)
        support = library.keypoint_support
        rest = library.vertices[index][support].astype(np.float32)
        bare = raster.skin(rest, library.skin_weights[support], library.skin_bones[support], transforms)
        keypoints = library.keypoint_weights[:, support] @ bare
        vertices, faces, colours = [posed], [dressed.faces], [dressed.colours]
        folds = [dressed.folds]
        count = len(posed)
        for item in dressed.carried:
            transform = transforms[library.bone(item.bone)]
            vertices.append(item.vertices @ transform[:, :3].T + transform[:, 3])
            faces.append(item.faces + count)
            colours.append(np.repeat(item.colour[None], len(item.vertices), 0).astype(np.float32))
            folds.append(np.zeros(len(item.vertices), np.float32))
            count += len(item.vertices)
        posed = np.concatenate(vertices).astype(np.float32)
        triangles = np.concatenate(faces)
        normals = raster.vertex_normals(posed, triangles)
        _wrinkle(generator, normals, np.concatenate(folds), posed)
        return posed, normals, keypoints, triangles, np.concatenate(colours)

    def drawn(
        self,
        generator: np.random.Generator,
        camera: Camera,
        seen: np.ndarray,
        normals: np.ndarray,
        joints: np.ndarray,
        faces: np.ndarray,
        colours: np.ndarray,
        corner: np.ndarray,
        scale: float,
        size: np.ndarray,
        kind: str,
        window: bool,
        hidden_depth: float = SELF_HIDDEN_DEPTH,
    ) -> Sprite:
        """Draw at `SUPERSAMPLING` times the sprite's (width, height) `size` and shrink."""
        width, height = size * SUPERSAMPLING
        points = seen.copy()
        points[:, :2] = (seen[:, :2] - corner) * scale
        keypoints = (joints[:, :2] - corner) * scale
        shaded = _light(generator, colours, normals @ camera.turn.T.astype(np.float32))
        depth = np.full((height, width), raster.FAR, np.float32)
        image = np.zeros((height, width, 4), np.float32)
        if window:
            # Triangles that the near plane squeezed would smear over the image.
            faces = faces[(seen[:, 2] > NEAREST)[faces].all(1)]
        raster.draw(points.astype(np.float32), shaded, faces, depth, image)
        small = cv2.resize(image, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
        visible = np.zeros(len(keypoints), bool)
        for index, (x, y) in enumerate(keypoints):
            column, row = int(np.floor(x)), int(np.floor(y))
            if 0 <= column < width and 0 <= row < height:
                nearest = depth[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].min()
                visible[index] = nearest > joints[index, 2] - hidden_depth
        rgba = np.clip(small, 0, 255).astype(np.uint8)
        return Sprite(rgba, (keypoints / SUPERSAMPLING - 0.5).astype(np.float32), visible, kind, window)


def view(generator: np.random.Generator, facing: float, kind: str) -> np.ndarray:
    """The camera's attitude: turned about the person, mostly a little from above, sometimes from far above or
    below.
    """
    draw = generator.random()
    if draw < 0.84:
        tilt = generator.normal(7, 11)
    elif draw < 0.96:
        tilt = generator.uniform(-35, 60)
    else:
        tilt = generator.uniform(-90, 90)
    turn = about(X, tilt) @ about(Z, facing)
    if kind == "lie":
        down = (
            about(X, generator.choice([-90, 90]))
            if generator.random() < 0.6
            else about(Y, generator.choice([-90, 90]))
        )
        turn = about(X, generator.uniform(5, 60)) @ about(Z, facing) @ down
    elif generator.random() < 0.03:
        turn = about(Y, generator.uniform(-180, 180)) @ turn
    return about(Y, generator.normal(0, 6)) @ turn


def _wrinkle(
    generator: np.random.Generator, normals: np.ndarray, folds: np.ndarray, points: np.ndarray
) -> None:
    """Tilt the normals of cloth by a few waves, so that it shades as if it had folds."""
    worn = folds > 0
    cloth = points[worn]
    for _ in range(3):
        along = generator.normal(size=3) * generator.uniform(15, 60)
        wave = np.sin(cloth @ along.astype(np.float32) + generator.uniform(0, 6)) * folds[worn]
        normals[worn] += wave[:, None] * generator.normal(0, 0.6, 3).astype(np.float32)
    normals[worn] /= np.linalg.norm(normals[worn], axis=1, keepdims=True) + 1e-9


def _light(generator: np.random.Generator, colours: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Two lights and ambient light on normals in the camera's frame -> f32 [V, 3] in 0..255."""
    # Whatever is seen faces the camera.
    facing = normals * np.where(normals[:, 1:2] > 0, -1, 1).astype(np.float32)
    key = np.array([generator.normal(), -abs(generator.normal(0.8, 0.6)), abs(generator.normal(0.8, 0.7))])
    fill = generator.normal(size=3)
    light = generator.uniform(0.3, 0.75) + generator.uniform(0.3, 0.9) * np.clip(
        facing @ (key / np.linalg.norm(key)), 0, 1
    )
    light = light + generator.uniform(0, 0.35) * np.clip(facing @ (fill / np.linalg.norm(fill)), 0, 1)
    tint = 1 + 0.08 * generator.normal(size=3)
    return (np.clip(colours * light[:, None] * tint, 0, 1.25) ** (1 / 1.15) * 235).astype(np.float32)
