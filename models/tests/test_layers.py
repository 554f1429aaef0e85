"""The packages of `models` form layers: a module imports only from its own layer and from those below."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from models.paths import ROOT

LAYERS = (
    "paths",
    "skeleton",
    "networks",
    "reference",
    "data",
    "losses",
    "evaluate",
    "train",
    "export",
    "checkpoints",
    "end_to_end",
    "experiments",
    "tests",
)
"""Lowest first."""


def modules(folder: Path) -> dict[str, Path]:
    """The files of the package `models` under `folder`, by the name that imports them."""
    named = {}
    for path in folder.joinpath("models").rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[1] not in ("bundles", "state"):
            named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def imports(name: str, source: str, known: set[str]) -> set[str]:
    """The modules among `known` that `source` names in an import, wherever it stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return {one for one in found if one in known and one != name and one != "models"}


def faults(graph: dict[str, set[str]]) -> list[str]:
    """Imports of a higher layer, and circles among modules."""

    def layer(name: str) -> int:
        return LAYERS.index(name.split(".")[1])

    found = [
        f"{name} imports {other}, a layer above"
        for name, others in graph.items()
        for other in others
        if name != "models" and layer(other) > layer(name)
    ]
    # What imports nothing that is left is no part of a circle.
    left = {name: set(others) for name, others in graph.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    return found + [f"a circle runs through {name}" for name in left]


def test_no_import_points_up_or_in_a_circle() -> None:
    files = modules(ROOT)
    assert len(files) > 90
    graph = {name: imports(name, path.read_text(), set(files)) for name, path in files.items()}
    assert sum(len(others) for others in graph.values()) > 200
    assert not faults(graph)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f():\n    from models.train import tasks", "models.networks.a imports models.train.tasks"),
        ("from models.networks.b import x", "circle runs through models.networks.a"),
    ],
)
def test_what_would_be_refused(source: str, expected: str) -> None:
    """Imports inside functions count, and so do those of names."""
    known = {"models.networks.a", "models.networks.b", "models.train.tasks"}
    graph = {name: set[str]() for name in known} | {"models.networks.b": {"models.networks.a"}}
    graph["models.networks.a"] = imports("models.networks.a", source, known)
    assert any(expected in fault for fault in faults(graph))


def test_no_file_is_longer_than_600_lines() -> None:
    files = [*modules(ROOT).values(), *ROOT.joinpath("calib").rglob("*.py")]
    long = {path.name: count for path in files if (count := len(path.read_text().splitlines())) > 600}
    assert not long
