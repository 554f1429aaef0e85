"""Weights of our own training runs, read into their network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor


class WeightsError(RuntimeError):
    """Weights of another network."""


class Network(Protocol):
    """A network that knows its own sizes."""

    config: Any

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> Any: ...


def load_weights(model: Network, path: Path) -> None:
    """Loads a training state (its moving average), or a plain state dict, without running any pickled
    code. Raises `WeightsError` if the weights do not fit."""
    contents = torch.load(path, map_location="cpu", weights_only=True)
    state = contents.get("average", contents)
    own = model.state_dict()
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    wrong += [name for name in state if name not in own]
    if wrong:
        raise WeightsError(
            f"{path}: does not fit {model.config.name}: {', '.join(sorted(wrong)[:8])} ({len(wrong)} in all)"
        )
    model.load_state_dict(state)
