"""Where generated data and training state live."""

from __future__ import annotations

import os
from pathlib import Path


def state_directory() -> Path:
    """$SINEW_STATE, or `models/state`, which git ignores."""
    return Path(os.environ.get("SINEW_STATE") or Path(__file__).parent / "state")
