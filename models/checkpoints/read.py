"""The state dict of a checkpoint file, as NumPy arrays, read without running what is pickled in it."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoints.inert_pickle import STORAGES, Storage, Unpickler

RENAMED = {"graph_net": "tr_encoder", "graph_model": "group_model"}
"""Parts of CenterGroup's names in older files, and what the release's own loader calls them."""
UNDER = ("state_dict", "model_state_dict", "model")
"""Where training states keep the weights."""
COUNTER = "num_batches_tracked"
"""Of a batch norm; inference does not need it."""
MAGIC = 0x1950A86A20F9469CFC6C
"""Begins files of PyTorch before 1.6."""
MOST_LISTED = 8

State = dict[str, np.ndarray]


class CheckpointError(RuntimeError):
    """A file that is not the expected checkpoint."""


def read(path: Path) -> State:
    """The weights in `path`: a state dict, or a whole training state with one under `state_dict`.

    Floats become float32, whatever precision they are kept in. A `module.` before every name, older names of
    CenterGroup's parts, and the counters of batch norms are removed. Raises `CheckpointError`.
    """
    state = _state_dict(path, _contents(path))
    others = [str(name) for name, value in state.items() if not isinstance(value, np.ndarray)]
    if others:
        raise CheckpointError(f"{path}: expected names to tensors; these are no tensors: {listed(others)}")
    weights = {}
    for name, array in state.items():
        parts = str(name).removeprefix("module.").split(".")
        if parts[-1] == COUNTER:
            continue
        renamed = ".".join(RENAMED.get(part, part) for part in parts)
        if renamed in weights:
            raise CheckpointError(f"{path}: holds {renamed} twice, under an older and a newer name")
        weights[renamed] = array
    return weights


def _state_dict(path: Path, contents: Any) -> Mapping[Any, Any]:
    if isinstance(contents, Mapping):
        inner = next((contents[key] for key in UNDER if isinstance(contents.get(key), Mapping)), None)
        if inner is not None:
            return inner
        if "state_dict" not in contents:
            return contents
        contents = contents["state_dict"]
    raise CheckpointError(
        f"{path}: holds a {type(contents).__name__}, expected a state dict (names to tensors), or one under "
        "`state_dict`"
    )


def _contents(path: Path) -> Any:
    """Whatever is pickled in `path`, made inert."""
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; name the checkpoint file{_inside(path)}")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: is a Git LFS pointer, not the file; `git lfs pull` fetches it")
    if start.lstrip().startswith((b"<!", b"<html")):
        raise CheckpointError(f"{path}: is a web page, not a checkpoint; download the file itself")
    try:
        return _from_zip(path) if zipfile.is_zipfile(path) else _from_stream(path)
    except Exception as error:
        # The file may hold anything, and so may the reason.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: damaged, or no PyTorch checkpoint: {reason}") from error


def _inside(folder: Path) -> str:
    names = sorted(
        entry.name for entry in folder.iterdir() if entry.suffix in (".pth", ".pt", ".ckpt", ".tar")
    )
    return f" in it: {listed(names)}" if names else " itself"


def _from_zip(path: Path) -> Any:
    """PyTorch's format since 1.6: a pickle and one file for every storage."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise ValueError("a zip archive without `data.pkl`")
        folder = names[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("its numbers are big-endian")
        storages: dict[str, Storage] = {}

        def storage(kind: str, key: str, count: int) -> Storage:
            if key not in storages:
                entry = archive.getinfo(f"{folder}data/{key}")
                size = count * np.dtype(STORAGES[kind]).itemsize
                if entry.file_size != size:
                    raise ValueError(f"storage {key} has {entry.file_size} bytes, expected {size}")
                storages[key] = Storage(kind, lambda: archive.read(entry))
            return storages[key]

        with archive.open(names[0]) as file:
            return Unpickler(file, storage).load()  # type: ignore[arg-type]


def _from_stream(path: Path) -> Any:
    """The format before 1.6: pickles one after the other, then the storages."""

    def unknown(kind: str, key: str, count: int) -> Storage:
        raise ValueError("tensors before the header")

    with path.open("rb") as file:
        if Unpickler(file, unknown).load() != MAGIC:
            raise ValueError("neither of PyTorch's formats")
        for _ in ("protocol version", "system"):
            Unpickler(file, unknown).load()
        # The tensors come before their storages: where these lie is known only once the pickle is read.
        begin = file.tell()
        seen: dict[str, tuple[str, int]] = {}

        def note(kind: str, key: str, count: int) -> Storage:
            seen[key] = (kind, count)
            return Storage(kind, lambda: bytes(count * np.dtype(STORAGES[kind]).itemsize))

        Unpickler(file, note).load()
        keys = Unpickler(file, unknown).load()
        storages = {}
        for key in keys:
            kind, count = seen[str(key)]
            (stored,) = struct.unpack("<q", file.read(8))
            if stored != count:
                raise ValueError(f"storage {key} has {stored} values, expected {count}")
            data = file.read(count * np.dtype(STORAGES[kind]).itemsize)
            storages[str(key)] = Storage(kind, lambda data=data: data)  # type: ignore[misc]
        file.seek(begin)
        return Unpickler(file, lambda kind, key, count: storages[key]).load()


def listed(names: list[str]) -> str:
    """The first few of `names`, and how many more there are."""
    rest = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")
