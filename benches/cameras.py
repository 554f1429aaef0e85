"""Memory and start of four cameras of one size against one camera, of the same bundle on tract.

    python3 benches/cameras.py PROGRAM [--model logocap-tiny]

The cameras are GStreamer's test pictures at 1280x720 and 15 frames a second (needs gst-launch-1.0).
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import time
from pathlib import Path

CAMERA = "gst:videotestsrc is-live=true ! video/x-raw,format=YUY2,width=1280,height=720,framerate=15/1"
# Until every slot has been used.
SECONDS = 10.0


def once(program: Path, model: str, cameras: int) -> tuple[float, float]:
    """Resident memory in megabytes, and seconds until the first result."""
    command = [str(program), "run", "--model", model, "--backend", "tract", "--quiet"]
    begun = time.monotonic()
    run = subprocess.Popen([*command, *["--source", CAMERA] * cameras], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    next(line for line in run.stdout if '"poses"' in line and '"sequence"' in line)
    first = time.monotonic() - begun
    while time.monotonic() < begun + SECONDS:
        run.stdout.readline()
    status = Path(f"/proc/{run.pid}/status").read_text()
    memory = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    run.send_signal(signal.SIGINT)
    run.stdout.read()
    run.wait()
    return float(memory) / 1024, first


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", type=Path)
    parser.add_argument("--model", default="logocap-tiny")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    counts = (1, 4)
    runs = [
        [once(arguments.program, arguments.model, count) for count in counts] for _ in range(arguments.runs)
    ]
    memory, first = (
        [statistics.median(run[side][what] for run in runs) for side in (0, 1)] for what in (0, 1)
    )
    print(
        f"{arguments.model}, 1280x720 YUYV, four cameras, and one: {memory[1]:.0f}, {memory[0]:.0f} MB, "
        f"{memory[1] / memory[0]:.2f}x (to reach <= 1.25x); "
        f"first result after {first[1]:.2f}, {first[0]:.2f} s"
    )


if __name__ == "__main__":
    main()
