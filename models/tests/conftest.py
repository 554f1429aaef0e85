"""Shared fixtures of the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of reference arrays, named by SINEW_FIXTURES; tests that need it are skipped without."""
    folder = os.environ.get("SINEW_FIXTURES")
    if not folder:
        pytest.skip(
            "SINEW_FIXTURES is not set: the comparison with the reference implementation's arrays is skipped"
        )
    return Path(folder)
