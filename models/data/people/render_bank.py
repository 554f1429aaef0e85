"""Render a bank of sprites, about 40 a second on one core.

    python -m models.data.people.render_bank --count 9000 --seed 1

Several processes may fill one bank at once with different seeds. Needs the body library, which the first run
makes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import exp, log
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from models.data.people.bodies import BodyLibrary, build_library
from models.data.people.render import Renderer
from models.data.people.sprites import Sprite, write_shard
from models.paths import state_directory

SMALLEST, LARGEST = 90, 400
"""Pixels of whole figures."""
SHARD = 1000


def sprites(renderer: Renderer, seeds: range, run_seed: int, close_share: float) -> Iterator[Sprite]:
    """One sprite per seed."""
    for seed in seeds:
        generator = np.random.default_rng([run_seed, seed])
        if generator.random() < close_share:
            sprite = renderer.close_up(generator)
            if sprite.visible.sum() < 2:
                continue
        else:
            sprite = renderer.whole_figure(generator, exp(generator.uniform(log(SMALLEST), log(LARGEST))))
        yield sprite


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.data.people.render_bank", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--bodies", type=Path, default=state_directory() / "bodies.npz")
    parser.add_argument("--bank", type=Path, default=state_directory() / "bank")
    parser.add_argument("--count", type=int, default=9000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--close-ups", type=float, default=0.2, help="share of sprites that fill the frame")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if not options.bodies.exists():
        build_library(options.bodies, 600, 0)
    renderer = Renderer(BodyLibrary.open(options.bodies))
    with tqdm(total=options.count, unit="sprite", disable=None) as bar:
        for start in range(0, options.count, SHARD):
            name = f"{options.seed:04}-{start:06}"
            count = min(SHARD, options.count - start)
            if not (options.bank / f"{name}.npz").exists():
                seeds = range(start, start + count)
                write_shard(options.bank, name, sprites(renderer, seeds, options.seed, options.close_ups))
            bar.update(count)


if __name__ == "__main__":
    main()
