"""Whether weights are those of a known network, and what is wrong if not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.checkpoints.read import CheckpointError, State, listed

Layout = Mapping[str, Sequence[int]]
"""The names of a network's tensors, and their shapes."""
BACKBONES = ("encoder_sample.", "encoder_query.")
"""CapeFormer's files hold one backbone twice: for images that show keypoints, and for those where they are
looked for."""


def one_backbone(path: Path, state: State) -> State:
    """CapeFormer's tensors without the second copy of the backbone. Raises `CheckpointError` where the copies
    differ, or only one is there."""
    first, second = (
        {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
        for prefix in BACKBONES
    )
    lonely = sorted(first.keys() ^ second.keys())
    if lonely:
        raise CheckpointError(f"{path}: in only one of the two backbones: {listed(lonely)}")
    differing = [name for name, array in first.items() if not np.array_equal(array, second[name])]
    if differing:
        raise CheckpointError(
            f"{path}: the two backbones should be one, but {len(differing)} tensors differ: "
            f"{listed(differing)}"
        )
    return {name: array for name, array in state.items() if not name.startswith(BACKBONES[0])}


def problems(state: State, layout: Layout) -> list[str]:
    """What keeps `state` from having this layout; empty if nothing does."""
    found = []
    missing = [name for name in layout if name not in state]
    extra = [name for name in state if name not in layout]
    if missing:
        found.append(f"{len(missing)} missing: {listed(missing)}")
    if extra:
        found.append(f"{len(extra)} unknown: {listed(extra)}")
    shared = {name: array for name, array in state.items() if name in layout}
    shapes = [
        f"{name} is {_shape(array.shape)}, expected {_shape(layout[name])}"
        for name, array in shared.items()
        if list(array.shape) != list(layout[name])
    ]
    if shapes:
        found.append(f"{len(shapes)} of another shape: {listed(shapes)}")
    types = [f"{name} is {array.dtype}" for name, array in shared.items() if array.dtype != np.float32]
    if types:
        found.append(f"{len(types)} that are no floats: {listed(types)}")
    values = [
        name for name, array in shared.items() if array.dtype == np.float32 and not np.isfinite(array).all()
    ]
    if values:
        found.append(f"{len(values)} with values that are not finite: {listed(values)}")
    return found


def check(path: Path, state: State, name: str, layouts: Mapping[str, Layout]) -> None:
    """Raises `CheckpointError` unless `state`, of `path`, has the layout of the network `name`.

    The message names the network among `layouts` that it is, or that it is most like.
    """
    wrong = problems(state, layouts[name])
    if not wrong:
        return
    for other, layout in layouts.items():
        if other != name and _same(state, layout):
            raise CheckpointError(f"{path}: holds {other}, not {name}; import it with MODEL={other}")
    lines = "\n  ".join(wrong)
    alike = max(layouts, key=lambda other: _likeness(state, layouts[other]))
    if alike != name and _likeness(state, layouts[alike]) > 0.5:
        lines += f"\nit is more like {alike}"
    raise CheckpointError(f"{path}: its tensors are not those of {name}:\n  {lines}")


def _same(state: State, layout: Layout) -> bool:
    return {name: tuple(array.shape) for name, array in state.items()} == {
        name: tuple(shape) for name, shape in layout.items()
    }


def _likeness(state: State, layout: Layout) -> float:
    """The share of tensors that both have with the same shape."""
    both = sum(name in state and list(state[name].shape) == list(shape) for name, shape in layout.items())
    return both / max(len(layout), len(state), 1)


def _shape(sizes: Sequence[int]) -> str:
    return "x".join(str(size) for size in sizes) or "a scalar"
