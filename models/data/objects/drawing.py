"""What the functions that draw held-out objects share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.data.objects.paint import Drawing

Generator = np.random.Generator
Points = dict[str, np.ndarray]
Draw = Callable[[Drawing, Generator], Points]


def vary(generator: Generator, value: float, spread: float) -> float:
    return float(value * np.exp(generator.normal(0, spread)))


def at(*values: float) -> np.ndarray:
    return np.array(values, float)
