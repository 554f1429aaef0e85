"""Bundles as `make import` writes them, one of each official network, with random weights.

imports.py FOLDER [NAME...]     NAME is a template's, such as logocap-w32-flip; all of them without

What a graph looks like follows from the template alone; no checkpoint is needed to see whether it is parsed.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import numpy as np

from models.checkpoints import template
from models.export import bundle


def random_state(layout: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Tensors of these names and shapes, of a size that keeps activations finite."""
    generator = np.random.default_rng(1)
    state = {}
    for name, shape in layout.items():
        if name.endswith("running_var"):
            values = np.ones(shape)
        else:
            values = generator.normal(0, 1 / np.sqrt(max(1, np.prod(shape[1:]))), shape)
        state[name] = values.astype(np.float32)
    return state


def main() -> int:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    for path in sorted(template.FOLDER.glob("*.zip")):
        if names and path.stem not in names:
            continue
        # Names of a network with mirrored images are those of the same one without.
        with zipfile.ZipFile(path.with_stem(path.stem.removesuffix("-flip"))) as archive:
            layout = json.loads(archive.read("layout.json"))
        options = bundle.Options(provenance="random weights", licence="none")
        contents = template.contents(path, random_state(layout))
        for line in bundle.write(contents, folder / path.stem, options):
            print(f"{path.stem}: {line}", file=sys.stderr, flush=True)
        print(folder / path.stem, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
