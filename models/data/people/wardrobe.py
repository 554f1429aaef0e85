"""Dress a rest body: skin, face, hair, beard, hats, tops, trousers, skirts, shoes, gloves, bags.

Clothes are the base mesh's tights pushed out along their normals, cut off at sleeve, waist and hem; skirts
and long hair are meshes of their own. Everything is colour per vertex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.data.people import accessories, colours
from models.data.people.accessories import Accessory
from models.data.people.bodies import BodyLibrary
from models.data.people.poses import SIDES
from models.data.people.raster import vertex_normals

SLEEVES = {"none": 0.12, "short": 0.43, "long": 0.45}
BOTTOMS = {"shorts": 0.24, "trousers": 0.62, "skirt": 0.14}


@dataclass
class Dressed:
    """A body ready to be posed: `vertices` f32 [V, 3] with clothes pushed out, `colours` f32 [V, 3], `faces`
    to draw, `folds` [V], how much cloth wrinkles, and what is carried.
    """

    vertices: np.ndarray
    colours: np.ndarray
    faces: np.ndarray
    folds: np.ndarray
    carried: list[Accessory]


class Wardrobe:
    """Everything about a library's topology that dressing needs, worked out once."""

    def __init__(self, library: BodyLibrary) -> None:
        self.library = library
        region, parts = library.region, library.part_vertices
        self.head, self.torso = region("Neck", "Head"), region("Spine", "Shoulder")
        self.hips, self.hand = region("Hips"), region("Hand")
        self.upper_arm = np.isin(library.main_bone, [library.bone("LeftArm"), library.bone("RightArm")])
        self.forearm, self.thigh = region("ForeArm"), region("UpLeg")
        self.shin = np.isin(library.main_bone, [library.bone("LeftLeg"), library.bone("RightLeg")])
        self.foot = region("Foot", "Toe")
        self.skin, self.tights = parts["body"], parts["helper-tights"]
        self.skirt, self.hair = parts["helper-skirt"], parts["helper-hair"]
        self.eyes = (parts["helper-l-eye"], parts["helper-r-eye"])
        self.all_faces = np.concatenate(
            [library.faces[part] for part in ("body", "helper-tights", "helper-skirt", "helper-hair")]
        )

    def dress(self, generator: np.random.Generator, index: int) -> Dressed:
        """Dress body `index` of the library in something."""
        rest = self.library.vertices[index].astype(np.float32)
        heads = self.library.heads[index]
        normals = vertex_normals(rest, self.all_faces)
        middle = rest[self.skin].mean(0)
        if (normals[self.skin] * (rest[self.skin] - middle)).sum() < 0:
            normals = -normals
        outfit = _Outfit(self, generator, rest, heads, normals)
        outfit.face()
        outfit.clothes()
        outfit.shoes()
        outfit.bags()
        return Dressed(
            outfit.vertices,
            outfit.colours.astype(np.float32),
            np.concatenate(outfit.faces),
            outfit.folds,
            outfit.carried,
        )


class _Outfit:
    """One person being dressed."""

    def __init__(
        self,
        wardrobe: Wardrobe,
        generator: np.random.Generator,
        rest: np.ndarray,
        heads: np.ndarray,
        normals: np.ndarray,
    ) -> None:
        self.wardrobe, self.generator, self.rest, self.heads, self.normals = (
            wardrobe,
            generator,
            rest,
            heads,
            normals,
        )
        library = wardrobe.library
        support = library.keypoint_support
        self.keypoints = library.keypoint_weights[:, support] @ rest[support]
        self.feminine = generator.random() < 0.5
        self.colours = np.repeat(colours.skin(generator)[None], len(rest), 0)
        self.hair_colour = colours.hair(generator)
        self.vertices = rest.copy()
        self.faces = [library.faces[part] for part in ("body", "helper-l-eye", "helper-r-eye")]
        self.folds = np.zeros(len(rest), np.float32)
        self.carried: list[Accessory] = []
        # The distance between the ears measures the head, whatever the age.
        self.scale = float(self.keypoints[3, 0] - self.keypoints[4, 0]) / 0.166

    def push(self, mask: np.ndarray, distance: float | np.ndarray) -> None:
        self.vertices[mask] += self.normals[mask] * distance

    def face(self) -> None:
        generator, wardrobe, scale = self.generator, self.wardrobe, self.scale
        x, y, z = self.rest.T
        nose, eye_height = self.keypoints[0], self.keypoints[1:3, 2].mean()
        ear_y, ear_z = self.keypoints[3:5, 1].mean(), self.keypoints[3:5, 2].mean()
        on_head = wardrobe.head & wardrobe.skin
        front = y < nose[1] + 0.06 * scale
        brows = on_head & front & (np.abs(z - eye_height - 0.022 * scale) < 0.005 * scale)
        self.colours[brows & (np.abs(np.abs(x) - 0.033 * scale) < 0.02 * scale)] = self.hair_colour
        lips = (
            on_head
            & front
            & (np.abs(z - (nose[2] - 0.042 * scale)) < 0.009 * scale)
            & (np.abs(x) < 0.024 * scale)
        )
        self.colours[lips] *= np.array([0.8, 0.45, 0.45])
        if not self.feminine and generator.random() < 0.32:
            beard = (
                on_head
                & (z < nose[2] - 0.02 * scale)
                & (z > nose[2] - 0.11 * scale)
                & (y < ear_y - 0.02 * scale)
            )
            self.colours[beard] = self.colours[beard] * 0.4 + self.hair_colour * 0.6
        for eye in wardrobe.eyes:
            self.colours[eye] = 0.9
            self.colours[eye & (y < y[eye].min() + 0.0035 * scale)] = [0.08, 0.06, 0.05]
        if generator.random() < 0.08:
            self._glasses(eye_height, nose)
        if generator.random() < 0.94:
            hairline = generator.uniform(0.045, 0.065) * scale
            nape = generator.uniform(0.0, 0.09) * scale
            scalp = on_head & (
                ((z - eye_height) > hairline) | ((y > ear_y - 0.012 * scale) & (z > ear_z - nape))
            )
            self.colours[scalp] = self.hair_colour * (1 + 0.1 * generator.normal())
            self.push(scalp, generator.uniform(0.004, 0.035) * scale)
        long_hair = generator.random() < (0.62 if self.feminine else 0.06)
        if long_hair:
            self.colours[wardrobe.hair] = self.hair_colour * generator.uniform(0.8, 1.2)
            self.faces.append(wardrobe.library.faces["helper-hair"])
        if generator.random() < 0.16:
            self._hat(eye_height, ear_y, nose)

    def _glasses(self, eye_height: float, nose: np.ndarray) -> None:
        dark = np.array([0.04, 0.04, 0.05])
        for sign in (-1, 1):
            centre = np.array([sign * 0.032 * self.scale, nose[1] + 0.022 * self.scale, eye_height])
            self.carried.append(
                accessories.box(centre, np.array([0.045, 0.004, 0.032]) * self.scale, dark, "Head")
            )

    def _hat(self, eye_height: float, ear_y: float, nose: np.ndarray) -> None:
        """A cap, a brimmed hat, a woollen hat or a helmet: the scalp pushed out, with a brim for the first
        two.
        """
        generator, scale = self.generator, self.scale
        kind = generator.choice(["cap", "brim", "wool", "helmet", "hood"])
        colour = colours.cloth(generator)
        _, y, z = self.rest.T
        edge = eye_height + generator.uniform(0.03, 0.05) * scale
        crown = self.wardrobe.head & self.wardrobe.skin & (z > edge)
        if kind in ("wool", "helmet", "hood"):
            crown |= (
                self.wardrobe.head
                & self.wardrobe.skin
                & (y > ear_y - 0.02 * scale)
                & (z > eye_height - 0.05 * scale)
            )
        if kind == "hood":
            crown |= self.wardrobe.head & self.wardrobe.skin & (y > ear_y - 0.035 * scale)
        self.colours[crown] = colour
        self.push(crown, {"helmet": 0.035, "hood": 0.02}.get(str(kind), 0.012) * scale)
        if kind == "cap":
            centre = np.array([0, nose[1] - 0.02 * scale, edge + 0.01 * scale])
            self.carried.append(
                accessories.disc(centre, np.array([0.075, 0.085]) * scale, 0.2, colour * 0.9, "Head")
            )
        elif kind == "brim":
            centre = np.array([0, (nose[1] + ear_y) / 2 + 0.02 * scale, edge + 0.01 * scale])
            radii = np.array([0.14, 0.17]) * scale * generator.uniform(0.9, 1.25)
            self.carried.append(accessories.disc(centre, radii, 0.0, colour * 0.9, "Head"))

    def clothes(self) -> None:
        generator, wardrobe, rest, heads = self.generator, self.wardrobe, self.rest, self.heads
        bone = wardrobe.library.bone
        sleeve = str(generator.choice(list(SLEEVES), p=list(SLEEVES.values())))
        bottom = str(generator.choice(list(BOTTOMS), p=list(BOTTOMS.values())))
        if bottom == "skirt" and not self.feminine:
            bottom = "trousers"
        z = rest[:, 2]
        waist = heads[bone("Spine")][2] + generator.uniform(-0.06, 0.04)
        coat = 0.0 if generator.random() > 0.1 else generator.uniform(0.1, 0.4)
        top = wardrobe.torso | ((wardrobe.hips | wardrobe.thigh) & (z > waist - coat))
        if sleeve != "none":
            top |= wardrobe.upper_arm
        if sleeve == "long":
            top |= wardrobe.forearm
        top &= wardrobe.tights
        if sleeve == "short":
            top &= ~self._beyond_sleeve(generator.uniform(0.4, 0.95))
        legs = wardrobe.hips | wardrobe.thigh
        if bottom == "trousers":
            legs |= wardrobe.shin
        elif bottom == "shorts":
            hem = heads[bone("LeftLeg")][2] + generator.uniform(-0.05, 0.25)
            legs &= wardrobe.hips | (z > hem)
        elif generator.random() < 0.6:
            legs = wardrobe.hips.copy()
        legs = legs & wardrobe.tights & ~top
        top_cloth = colours.pattern(generator, rest)
        leg_cloth = top_cloth if generator.random() < 0.12 else colours.pattern(generator, rest)
        self.colours[top], self.colours[legs] = top_cloth[top], leg_cloth[legs]
        loose = generator.uniform(0.002, 0.03) if generator.random() < 0.8 else generator.uniform(0.03, 0.055)
        self.push(top, loose)
        self.push(legs, generator.uniform(0.002, 0.03))
        self.folds[top | legs] = generator.uniform(0, 0.45)
        if generator.random() < 0.12:
            self._open_jacket(top)
        tights = wardrobe.library.faces["helper-tights"]
        self.faces.append(tights[(top | legs)[tights].all(1)])
        if bottom == "skirt":
            self.colours[wardrobe.skirt] = leg_cloth[wardrobe.skirt]
            self.folds[wardrobe.skirt] = 0.4
            self.faces.append(wardrobe.library.faces["helper-skirt"])

    def _open_jacket(self, top: np.ndarray) -> None:
        """A strip of another colour down the chest: an open jacket, a tie, an apron."""
        x, y, _ = self.rest.T
        width = self.generator.uniform(0.02, 0.09)
        self.colours[top & self.wardrobe.torso & (np.abs(x) < width) & (y < self.rest[top, 1].mean())] = (
            colours.cloth(self.generator)
        )

    def _beyond_sleeve(self, share: float) -> np.ndarray:
        """Mask of the upper arms' vertices further down than `share` of the way to the elbow."""
        beyond = np.zeros(len(self.rest), bool)
        bone = self.wardrobe.library.bone
        for name, sign in SIDES:
            start, end = self.heads[bone(f"{name}Arm")], self.heads[bone(f"{name}ForeArm")]
            along = (self.rest - start) @ (end - start) / float((end - start) @ (end - start))
            beyond |= self.wardrobe.upper_arm & (np.sign(self.rest[:, 0]) == sign) & (along > share)
        return beyond

    def shoes(self) -> None:
        generator, wardrobe = self.generator, self.wardrobe
        feet = wardrobe.foot & wardrobe.skin
        if generator.random() < 0.9:
            self.colours[feet] = colours.cloth(generator)
            self.push(feet, generator.uniform(0.002, 0.016))
        if generator.random() < 0.06:
            gloves = wardrobe.hand & wardrobe.skin
            self.colours[gloves] = colours.cloth(generator)
            self.push(gloves, 0.004)

    def bags(self) -> None:
        """A backpack, a bag or a phone in a hand."""
        generator = self.generator
        bone = self.wardrobe.library.bone
        tall = float(self.keypoints[0, 2] - self.keypoints[15:17, 2].mean()) / 1.5
        draw = generator.random()
        colour = colours.cloth(generator)
        if draw < 0.09:
            size = np.array([0.28, generator.uniform(0.1, 0.22), generator.uniform(0.3, 0.5)]) * tall
            chest = self.heads[bone("Spine2")]
            back = self.rest[self.wardrobe.torso & self.wardrobe.skin, 1].max()
            centre = np.array([0, back + size[1] / 2 - 0.02, chest[2] - 0.05 * tall])
            self.carried.append(accessories.box(centre, size, colour, "Spine2"))
        elif draw < 0.20:
            name, sign = SIDES[generator.integers(2)]
            hand = self.heads[bone(f"{name}Hand")]
            centre = hand + np.array([sign * 0.03, -0.02, -generator.uniform(0.2, 0.35)]) * tall
            size = np.array([0.12, generator.uniform(0.15, 0.4), generator.uniform(0.15, 0.35)]) * tall
            self.carried.append(accessories.box(centre, size, colour, f"{name}Hand"))
        elif draw < 0.27:
            name, sign = SIDES[generator.integers(2)]
            hand = self.heads[bone(f"{name}Hand")]
            centre = hand + np.array([sign * 0.03, -0.07, -0.09]) * tall
            self.carried.append(
                accessories.box(centre, np.array([0.02, 0.08, 0.15]) * tall, np.full(3, 0.05), f"{name}Hand")
            )
