"""Photographs, textures and cut-out objects that scenes for training are composed from; ASSETS.md lists the
packages.

They are read once from the unpacked packages into two memory-mapped files and are never part of the
repository.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from models.data.people.ragged import Images, write_images
from models.paths import state_directory

DEBIAN_PACKAGES = (
    "gnome-backgrounds", "lxqt-themes", "mate-backgrounds", "plasma-workspace-wallpapers",
    "supertuxkart-data", "tuxpaint-stamps-default",
)  # fmt: skip

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".webp", ".png")
# Images that show people: unlabelled people in a background would teach the network to overlook them. The
# astronaut is also among the images that the shipped model is demonstrated on.
WITH_PEOPLE = ("astronaut", "camera.png", "cameraman", "people", "lfw", "face", "screenshot", "karts/")
BACKGROUND_SIDE = 512
CUTOUT_SIDE = 256


@dataclass(frozen=True)
class Assets:
    """Backgrounds as RGB [h, w, 3], cut-outs as straight-alpha RGBA [h, w, 4]."""

    backgrounds: Images
    cutouts: Images

    @staticmethod
    def open(directory: Path) -> Assets:
        if not (directory / "cutouts.bin").exists():
            raise FileNotFoundError(
                f"{directory}: no assets; make them with `python -m models.data.people.assets`"
            )
        return Assets(Images(directory / "backgrounds.bin"), Images(directory / "cutouts.bin"))

    def piece(self, generator: np.random.Generator, width: int, height: int) -> np.ndarray:
        """A piece of a background, f32 [height, width, 3]."""
        image = self.backgrounds[generator.integers(len(self.backgrounds))]
        limit = min(image.shape[:2])
        side = max(8, int(limit * generator.uniform(0.2, 1)))
        y, x = (generator.integers(length - side + 1) for length in image.shape[:2])
        method = cv2.INTER_AREA if side > max(width, height) else cv2.INTER_LINEAR
        patch = cv2.resize(image[y : y + side, x : x + side], (width, height), interpolation=method)
        return (patch[:, ::-1] if generator.random() < 0.5 else patch).astype(np.float32)


def build_assets(packages: Path, directory: Path) -> Assets:
    """Collect the images of all packages unpacked under `packages` into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    files = sorted(p for p in packages.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    files = [p for p in files if not any(word in str(p).lower() for word in WITH_PEOPLE)]
    stamps = [p for p in files if "stamps" in p.parts]
    photographs = [p for p in files if "stamps" not in p.parts and p.stat().st_size > 25_000]
    write_images(directory / "backgrounds.bin", _backgrounds(photographs))
    write_images(directory / "cutouts.bin", _cutouts(stamps))
    return Assets.open(directory)


def _shrink(image: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image


def _backgrounds(files: list[Path]) -> Iterator[np.ndarray]:
    for file in tqdm(files, desc="backgrounds", disable=None):
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if image is None or min(image.shape[:2]) < 160:
            continue
        if image.reshape(-1, 3).std(0).mean() > 20:
            yield _shrink(image, BACKGROUND_SIDE)[..., ::-1]


def _cutouts(files: list[Path]) -> Iterator[np.ndarray]:
    for file in tqdm(files, desc="cut-outs", disable=None):
        image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if image is not None and image.ndim == 3 and image.shape[2] == 4 and min(image.shape[:2]) >= 40:
            yield _shrink(image, CUTOUT_SIDE)[..., [2, 1, 0, 3]]


def fetch_packages(directory: Path) -> None:
    """Download the Debian packages of ASSETS.md and unpack them under `directory`; nothing is installed."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", *DEBIAN_PACKAGES], cwd=directory, check=True)
    for package in sorted(directory.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(directory / "unpacked")], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.data.people.assets", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--packages", type=Path, help="where packages are unpacked (default: fetch Debian's)")
    parser.add_argument("--output", type=Path, default=state_directory() / "assets")
    options = parser.parse_args()
    packages = options.packages
    if packages is None:
        packages = state_directory() / "packages"
        fetch_packages(packages)
    assets = build_assets(packages, options.output)
    print(f"{len(assets.backgrounds)} backgrounds and {len(assets.cutouts)} cut-outs in {options.output}")


if __name__ == "__main__":
    main()
