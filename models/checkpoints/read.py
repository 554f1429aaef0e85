"""The state dict of a checkpoint file, read without running what is pickled in it."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoints import inert_pickle

RENAMED = {"graph_net": "tr_encoder", "graph_model": "group_model"}
"""Parts of CenterGroup's names in older files, and what the release's own loader calls them."""
MOST_LISTED = 8


class CheckpointError(RuntimeError):
    """A file that is not the expected checkpoint."""


def read(path: Path) -> dict[str, Tensor]:
    """The state dict in `path`. Raises `CheckpointError` if the file cannot be read or holds anything but
    tensors."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own text goes on to recommend running the pickled code.
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for `{named[1]}`, which is never run" if named else "it is no PyTorch checkpoint"
        raise CheckpointError(f"{path}: only tensors and plain values are read, but {reason}") from error
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: damaged, or no PyTorch checkpoint: {reason}") from error
    if not isinstance(contents, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(contents).__name__}, expected a state dict (names to tensors)"
        )
    others = [str(name) for name, value in contents.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(
            f"{path}: expected a flat state dict (names to tensors); these are no tensors: {listed(others)}"
        )
    return dict(contents)


def read_training_state(path: Path) -> dict[str, Tensor]:
    """The state dict in `path`, which may be a whole training state.

    Such a file names classes of the program that wrote it. Of these nothing is run: inert objects take their
    place, and the tensors are picked out. Older names of CenterGroup's parts are replaced by today's. Raises
    `CheckpointError`.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        contents = torch.load(path, map_location="cpu", weights_only=False, pickle_module=inert_pickle)
    except Exception as error:
        # The file may hold anything, and so may the reason.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: damaged, or no PyTorch checkpoint: {reason}") from error
    state = contents.get("state_dict", contents) if isinstance(contents, Mapping) else contents
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(state).__name__}, expected a state dict (names to tensors), or one under "
            "`state_dict`"
        )
    others = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(f"{path}: expected names to tensors; these are no tensors: {listed(others)}")
    renamed = {}
    for name, tensor in state.items():
        parts = str(name).removeprefix("module.").split(".")
        renamed[".".join(RENAMED.get(part, part) for part in parts)] = tensor
    if len(renamed) < len(state):
        raise CheckpointError(f"{path}: holds some tensors twice, under an older and a newer name")
    return renamed


def listed(names: list[str]) -> str:
    rest = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")
