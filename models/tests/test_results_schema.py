"""The program's own lines, held against docs/schema/results.schema.json by an independent validator."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs/schema/results.schema.json"
PROGRAM = Path(os.environ.get("SINEW_PROGRAM", ROOT / "target/release/sinew"))
PHOTOS = sorted((ROOT / "tests/data/people").glob("*.jpg"))[:3]

jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


@pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")
@pytest.mark.parametrize("options", [[], ["--deadline", "1000s"], ["--threshold", "0.99"]])
def test_lines_of_the_program(options: list[str]) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    lines = 0
    for photo in PHOTOS:
        command = [PROGRAM, "run", "--model", "logocap-tiny", "--threads", "1", "--source", photo, *options]
        output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for line in output.splitlines():
            validator.validate(json.loads(line))
            lines += 1
    assert lines == 2 * len(PHOTOS)
