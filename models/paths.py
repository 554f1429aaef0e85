"""Where the project's files, generated data and training state live."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""
BUNDLES = ROOT / "models/bundles"


def state_directory() -> Path:
    """$SINEW_STATE, or `models/state`, which git ignores."""
    return Path(os.environ.get("SINEW_STATE") or ROOT / "models/state")
