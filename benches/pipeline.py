"""Frames per second and ages of live runs in two lanes, against an earlier build whose frames take turns.

    python3 benches/pipeline.py [--out docs/performance.md] [--picture docs/pipeline.svg]

builds benches/pipeline/main.rs here and, in a worktree of its own, at commit fa29438; runs both in turn on
the same frames, with doubles of NVIDIA's libraries; and writes the table and the picture. Where the
user may (root), both run as real-time processes, which others do not disturb.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline_picture import Point, draw

ROOT = Path(__file__).resolve().parent.parent
BASE = "fa29438"
MARKS = ("<!-- pipeline -->", "<!-- end of pipeline -->")
# Of the GPU for a frame, and for each run of a second network of that; microseconds.
NETWORK, SECOND = 5000, 30
# Between two frames of the camera in the table: it always has a new one when the GPU is free.
PERIOD = 2000
# Between two frames of each camera in the picture of several: 30 a second.
USUAL_PERIOD = 33_333


@dataclass(frozen=True)
class Row:
    """One kind of frame, and how fast it should be processed."""

    bundle: str
    people: int
    limit: float
    gain: float | None = None

    @property
    def what(self) -> str:
        return f"{self.bundle}, {self.people} {'person' if self.people == 1 else 'people'}"


ROWS = [
    Row("logocap-tiny", 1, 5.2),
    Row("logocap-tiny", 5, 5.2, 1.25),
    Row("logocap-tiny", 10, 5.5),
    Row("logocap-tiny", 20, 5.5),
    Row("centergroup-tiny", 5, 5.5),
    Row("centergroup-tiny", 10, 5.5),
    Row("centergroup-tiny", 20, 5.5),
]


@dataclass
class Side:
    """A build of the program, in its own tree."""

    program: Path
    tree: Path


def doubles(folder: Path) -> tuple[Path, Path]:
    """Compiles the doubles of libnvinfer 10.3 and of the driver of a GPU that shares the CPU's memory."""
    sources = ROOT / "tests/tensorrt"
    library, driver = folder / "libnvinfer.so", folder / "libcuda.so.1"
    shared = ["-O1", "-shared", "-fPIC", "-pthread"]
    subprocess.run(
        ["c++", "-std=c++17", *shared, "-DTRT_VERSION=100300", sources / "nvinfer.cpp", "-o", library],
        check=True,
    )
    subprocess.run(["cc", *shared, "-DINTEGRATED=1", sources / "cuda.c", "-o", driver], check=True)
    return library, driver


def built(tree: Path, target: Path, kind: str) -> Path:
    """Builds one target of a tree, and returns the program."""
    command = ["cargo", "build", "--release", "--message-format", "json", f"--{kind}", "pipeline"]
    # As it is shipped, whatever a configuration of this machine says.
    command += ["--config", "profile.release.package.sinew.opt-level=3"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    run = subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    for line in run.stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "pipeline" and message.get("executable"):
            return Path(message["executable"])
    raise SystemExit(f"{tree}: cargo built no program")


def earlier() -> Side:
    """The earlier build, with this measurement added to its examples."""
    tree = Path(os.environ.get("SINEW_BASE_TREE", ROOT / "out/pipeline-base"))
    if not tree.exists():
        subprocess.run(["git", "worktree", "add", "--detach", tree, BASE], cwd=ROOT, check=True)
    example = tree / "examples/pipeline"
    example.mkdir(exist_ok=True)
    for name, source in (("main.rs", "main.rs"), ("scene.rs", "scene.rs"), ("now.rs", "before.rs")):
        shutil.copy(ROOT / "benches/pipeline" / source, example / name)
    target = Path(os.environ.get("SINEW_BASE_TARGET", tree / "target"))
    return Side(built(tree, target, "example"), tree)


def today() -> Side:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Side(built(ROOT, target, "bench"), ROOT)


def undisturbed() -> list[str]:
    """A command before others that lets no usual process interrupt them, where the user may do that."""
    real_time = ["chrt", "-r", "1"]
    try:
        allowed = subprocess.run([*real_time, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    return real_time if allowed else []


@dataclass
class Measured:
    """Medians over some runs."""

    ms_per_frame: float
    age_p50_ms: float
    age_p99_ms: float
    poses: float
    processor_ms: float


class Bench:
    """Both builds and the doubles."""

    def __init__(self, folder: Path, frames: int, runs: int) -> None:
        self.library, self.driver = doubles(folder)
        self.frames, self.runs = frames, runs
        self.before = undisturbed()

    def once(self, side: Side, row: Row, cameras: int, period: int) -> dict[str, float]:
        arguments: dict[str, object] = {
            "bundle": side.tree / "models/bundles" / row.bundle,
            "library": self.library,
            "driver": self.driver,
            "people": row.people,
            "cameras": cameras,
            "period": period,
            "frames": self.frames,
            "network": NETWORK,
            "second": SECOND,
        }
        command = [*self.before, str(side.program)] + [
            word for name, value in arguments.items() for word in (f"--{name}", str(value))
        ]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, float] = json.loads(run.stdout)
        return found

    def sides(self, sides: list[Side], row: Row, cameras: int = 1, period: int = PERIOD) -> list[Measured]:
        """Each side some times, in turn."""
        runs = [[self.once(side, row, cameras, period) for side in sides] for _ in range(self.runs)]
        names = ("ms_per_frame", "age_p50_ms", "age_p99_ms", "poses", "processor_ms")
        return [
            Measured(*(statistics.median(run[number][name] for run in runs) for name in names))
            for number in range(len(sides))
        ]


def processor() -> str:
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return f"{names[0] if names else 'unknown processor'}, {len(names)} cores"


def table(bench: Bench, before: Side, now: Side) -> list[str]:
    """Every row, and what was measured on."""
    how = ", as real-time processes" if bench.before else ""
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {processor()}, load {os.getloadavg()[0]:.1f} at the "
        f"beginning; medians of {bench.runs} runs of {bench.frames} frames, both builds in turn{how} "
        "(`make bench-pipeline`).",
        "",
        "| 1280x720 YUYV, to JSON lines | ms a frame in turns, before | in two lanes | to reach "
        "| frames a second | age p50, p99 before, ms | age p50, p99 now, ms | reached |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        was, found = bench.sides([before, now], row)
        if abs(was.poses - found.poses) > 0.01:
            raise SystemExit(
                f"{row.what}: {was.poses} poses a frame before, {found.poses} now: not the same measurement"
            )
        gain = was.ms_per_frame / found.ms_per_frame
        fast = found.ms_per_frame <= row.limit and gain >= (row.gain or 0.0)
        young = found.age_p99_ms <= was.age_p99_ms + 1.0
        target = f"<= {row.limit}" + (f", >= {row.gain}x" if row.gain else "")
        lines.append(
            f"| {row.what} ({found.poses:.0f} poses) | {was.ms_per_frame:.2f} | {found.ms_per_frame:.2f} "
            f"| {target} | {gain:.2f}x "
            f"| {was.age_p50_ms:.1f}, {was.age_p99_ms:.1f} | {found.age_p50_ms:.1f}, {found.age_p99_ms:.1f} "
            f"| {'yes' if fast and young else '**no**'} |"
        )
        print(lines[-1], flush=True)
    return lines


def picture(bench: Bench, before: Side, now: Side) -> str:
    """Age and throughput against people in one fast camera, and against cameras of 30 frames a second."""
    sides = [before, now]
    counts = [0, 1, 2, 5, 10, 15, 20, 25, 30]
    people = [(count, bench.sides(sides, Row("logocap-tiny", count, 0.0))) for count in counts]
    cameras = [
        (count, bench.sides(sides, Row("logocap-tiny", 5, 0.0), count, USUAL_PERIOD)) for count in range(1, 9)
    ]

    def points(found: list[tuple[int, list[Measured]]]) -> list[Point]:
        return [
            (count, [side.ms_per_frame for side in each], [side.age_p99_ms for side in each])
            for count, each in found
        ]

    return draw(points(people), points(cameras), BASE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1000, help="frames of each run")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side")
    parser.add_argument("--only", choices=["table", "picture"], help="one of the two")
    parser.add_argument("--out", type=Path, help="write the table into this document")
    parser.add_argument("--picture", type=Path, help="write the picture there")
    arguments = parser.parse_args()
    before, now = earlier(), today()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.frames, arguments.runs)
        lines = table(bench, before, now) if arguments.only != "picture" else []
        if arguments.out and lines:
            text = arguments.out.read_text()
            begin, end = (text.index(mark) for mark in MARKS)
            arguments.out.write_text(
                text[: begin + len(MARKS[0])] + "\n" + "\n".join(lines) + "\n" + text[end:]
            )
        if arguments.picture and arguments.only != "table":
            arguments.picture.write_text(picture(bench, before, now))


if __name__ == "__main__":
    main()
