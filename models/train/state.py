"""Everything a run needs to go on after an interruption, written so that a half-written file never replaces a
whole one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    cooldown_seconds: float = 0.0
    """Seconds of the final cooldown that are done."""


class MovingAverage:
    """An exponential moving average of a model's weights and statistics: what is evaluated and shipped."""

    def __init__(self, model: nn.Module, ema_decay: float) -> None:
        self.ema_decay = ema_decay
        self.values = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.ema_decay, (step + 1) / (step + 20))
        averages, currents = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averages.append(self.values[name])
                currents.append(value.detach())
            else:
                self.values[name].copy_(value)
        torch._foreach_lerp_(averages, currents, 1 - decay)


def save(path: Path, contents: dict[str, Any]) -> None:
    """Write atomically: to a file beside it, to disk, then in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        torch.save(contents, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load(path: Path) -> dict[str, Any] | None:
    """What `save` wrote, or nothing if there is none yet.

    Tensors and plain values only: no pickled code runs.
    """
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def load_matching(model: nn.Module, values: dict[str, Tensor]) -> list[str]:
    """Load what fits by name and shape; the names that do not fit, so that a changed architecture is not lost
    on anyone.
    """
    own = model.state_dict()
    fitting = {
        name: value for name, value in values.items() if name in own and own[name].shape == value.shape
    }
    model.load_state_dict(fitting, strict=False)
    return sorted((set(own) | set(values)) - set(fitting))


def load_backbone(model: nn.Module, values: dict[str, Tensor], part: str = "backbone.") -> int:
    """Load the backbone of one network here into another, where it is called `part`; how many tensors."""
    own = model.state_dict()
    suffixes = {name.split("backbone.", 1)[1]: value for name, value in values.items() if "backbone." in name}
    fitting = {}
    for name, current in own.items():
        _, found, suffix = name.partition(part)
        value = suffixes.get(suffix) if found else None
        if value is not None and value.shape == current.shape:
            fitting[name] = value
    model.load_state_dict(fitting, strict=False)
    return len(fitting)


def freeze_others(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Leaves only the weights whose names begin with one of `prefixes` to training. What else a network has
    keeps its weights and its statistics: those parts are put in eval mode.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise ValueError(f"--train-only {prefix}: no weight's name begins like that; one is {names[0]}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(tuple(prefixes)))
    for module in model.modules():
        if not any(parameter.requires_grad for parameter in module.parameters()):
            module.eval()


class Log:
    """One JSON object a line, for the curves of the report."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path

    def write(self, **values: Any) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps(values) + "\n")
