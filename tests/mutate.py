#!/usr/bin/env python3
"""Runs the program on mutated files of every kind that it reads.

No input may end it by a signal or a panic, keep it for long, or fill the memory. A seed gives the same inputs
again; an input that fails is kept, with the command.

Usage: tests/mutate.py PROGRAM [--count 10000] [--seed 1] [--kind NAME] [--keep out/mutate] [--jobs N]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests/data"
SEEDS = ROOT / "fuzz/seeds"
# What an input may cost.
SECONDS = 20
MEGABYTES = 300
# Exit codes: done, worked but negative, error.
CODES = (0, 1, 2)

WORDS = (
    "0 -1 1 0.5 1e9 1e39 1e308 -1e308 1e999 1e-45 NaN "
    'Infinity null true 65535 65536 4294967295 4294967296 9223372036854775808 18446744073709551615 "" []'
)
NUMBERS = WORDS.split()
BYTES = [0, 1, 0x7F, 0x80, 0xFE, 0xFF]


# Off while the files are tried as they are.
MUTATING = [True]


def mutated_bytes(random: random.Random, data: bytes) -> bytes:
    """Some of the bytes changed, dropped, repeated or cut off."""
    if not MUTATING[0]:
        return data
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        if not out:
            break
        # Headers stand at the beginning.
        at = random.randrange(min(len(out), random.choice((64, 1024, len(out)))))
        length = min(random.choice((1, 2, 4, 16, 256)), len(out) - at)
        match random.randrange(8):
            case 0:
                out[at] ^= 1 << random.randrange(8)
            case 1:
                out[at] = random.choice(BYTES)
            case 2:
                out[at : at + length] = random.randbytes(length)
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = out[at : at + length] * random.choice((1, 2, 50))
            case 5:
                out[at : at + length] = bytes([random.choice(BYTES)]) * length
            case 6:
                del out[at:]
            case 7:
                other = random.randrange(len(out))
                out[at : at + length] = out[other : other + length]
    return bytes(out)


def mutated_text(random: random.Random, data: bytes) -> bytes:
    """The same for text: numbers and words exchanged besides, and lines repeated."""
    if not MUTATING[0]:
        return data
    choice = random.randrange(10)
    if choice < 2:
        return mutated_bytes(random, data)
    text = data.decode("utf-8", "surrogateescape")
    tokens = list(re.finditer(r"-?\d+(?:\.\d+)?(?:e-?\d+)?|\"[^\"\n]{0,60}\"|[\[\]{},:=]", text))
    for _ in range(random.choice((1, 1, 2, 4))):
        if not tokens:
            break
        token = random.choice(tokens)
        found = token.group()
        new = random.choice(tokens).group()
        if found[0].isdigit() or found[0] == "-":
            new = random.choice(NUMBERS)
        elif found[0] == '"' and random.random() < 0.5:
            new = random.choice(
                ['""', f'"{"x" * 70_000}"', '"\\u0000\\ud800"', '"\u202e../../x"', "[" * 2000, "7"]
            )
        elif random.random() < 0.3:
            new = ""
        text = text[: token.start()] + new + text[token.end() :]
        tokens = [other for other in tokens if other.end() <= token.start()]
    if choice == 9:
        lines = text.splitlines(keepends=True)
        at = random.randrange(len(lines)) if lines else 0
        text = "".join(lines[:at] + lines[at : at + 3] * random.choice((0, 2, 300)) + lines[at + 3 :])
    if choice == 8:
        text = "\ufeff" + text
    return text.encode("utf-8", "surrogatepass")


def mutated_npz(random: random.Random, data: bytes) -> bytes:
    """Mutated arrays in a sound archive, whose checksums would hide them otherwise; or a mutated archive."""
    if random.random() < 0.3:
        return mutated_bytes(random, data)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as new:
        names = archive.namelist()
        chosen = random.choice(names)
        for name in names:
            member = archive.read(name)
            if name == chosen:
                head, body = member[:128], member[128:]
                if random.random() < 0.6:
                    head = head[:10] + mutated_text(random, head[10:])
                    head = head[:8] + (len(head) - 10 & 0xFFFF).to_bytes(2, "little") + head[10:]
                else:
                    body = mutated_bytes(random, body)
                member = head + body
            kind = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            new.writestr(name, member, compress_type=kind)
    return out.getvalue()


@dataclass
class Trial:
    """A command over mutated files in a folder of its own."""

    arguments: list[str]
    standard_input: Path | None = None


def choose(random: random.Random, paths: list[Path]) -> bytes:
    return random.choice(paths).read_bytes()


def files(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file())


PICTURE = DATA / "people/000.jpg"
SMALL = ["--threads", "1"]


def bundle(random: random.Random, folder: Path, name: str, mutate: str) -> Path:
    """A copy of a bundle with one file mutated and, if it is a graph, its hash listed anew."""
    copy = folder / "bundle"
    shutil.copytree(DATA / "onnx" / name, copy)
    manifest = copy / "bundle.toml"
    if mutate == "manifest":
        manifest.write_bytes(mutated_text(random, manifest.read_bytes()))
        return copy
    graph = random.choice(files(copy, "*.onnx"))
    before = graph.read_bytes()
    after = mutated_bytes(random, before)
    graph.write_bytes(after)
    old, new = (hashlib.sha256(data).hexdigest() for data in (before, after))
    manifest.write_text(manifest.read_text().replace(old, new))
    return copy


def small_image(folder: Path) -> Path:
    path = folder / "p6.y4m"
    path.write_bytes(b"YUV4MPEG2 W64 H48 F25:1 Cmono\n" + (b"FRAME\n" + bytes(range(64)) * 48) * 2)
    return path


def run(bundle: str | Path, source: str | Path, *more: str) -> list[str]:
    return [
        "run",
        "--model",
        str(bundle),
        "--source",
        str(source),
        "--sink",
        "jsonl:/dev/null",
        *SMALL,
        *more,
    ]


SPOTS = DATA / "onnx/spots"


def manifests(random: random.Random, folder: Path) -> Trial:
    name = random.choice(("spots", "colours", "painted", "nearest"))
    copy = bundle(random, folder, name, "manifest")
    command = random.choice(("run", "verify", "show", "doctor"))
    if command == "run":
        return Trial(run(copy, small_image(folder)))
    if command == "doctor":
        return Trial(["doctor", "--json"])
    return Trial(["models", command, str(copy)])


def graphs(random: random.Random, folder: Path) -> Trial:
    return Trial(
        run(
            bundle(random, folder, random.choice(("spots", "nearest", "painted")), "graph"),
            small_image(folder),
        )
    )


def configurations(random: random.Random, folder: Path) -> Trial:
    path = folder / "config.toml"
    path.write_bytes(mutated_text(random, (SEEDS / "config/all").read_bytes()))
    return Trial(["config", "show", "--config", str(path)])


def images(random: random.Random, folder: Path) -> Trial:
    # Several in one run, each an input.
    pictures = folder / "pictures"
    pictures.mkdir()
    sources = files(SEEDS / "picture") + files(SEEDS / "mjpeg")
    for number in range(BATCH["images"]):
        source = random.choice(sources)
        (pictures / f"{number:02}.jpg").write_bytes(mutated_bytes(random, source.read_bytes()))
    return Trial(run(SPOTS, pictures))


def videos(random: random.Random, folder: Path) -> Trial:
    path = folder / "video.y4m"
    data = choose(random, files(SEEDS / "y4m"))
    mutated = (mutated_text if random.random() < 0.5 else mutated_bytes)(random, data[:4096]) + data[4096:]
    path.write_bytes(mutated)
    return Trial(run(SPOTS, random.choice((str(path), "-"))), path)


def arrays(random: random.Random, folder: Path) -> Trial:
    kind, name = random.choice(
        (("logocap", "logocap-tiny"), ("centergroup", "centergroup-tiny"), ("lofr", "lofr-tiny"))
    )
    golden = random.choice(files(ROOT / "tests/golden" / kind, "*.npz"))
    path = folder / "in.npz"
    path.write_bytes(mutated_npz(random, golden.read_bytes()))
    return Trial(["decode", "--model", name, "--tensors", str(path), "--image-size", "640x480"])


def annotations(random: random.Random, folder: Path) -> Trial:
    truth = json.loads((DATA / "people/annotations.json").read_text())
    image = random.choice(truth["images"][:8])
    truth["images"] = [image]
    truth["annotations"] = [entry for entry in truth["annotations"] if entry["image_id"] == image["id"]]
    # The bundle has three keypoints.
    truth["categories"][0] |= {"keypoints": ["middle", "left", "below"], "skeleton": [[1, 2]]}
    for entry in truth["annotations"]:
        entry["keypoints"], entry["num_keypoints"] = entry["keypoints"][:9], 3
    path = folder / "annotations.json"
    path.write_bytes(mutated_text(random, json.dumps(truth).encode()))
    return Trial(
        ["eval", "--model", str(SPOTS), "--coco", str(path), "--images", str(DATA / "people"), *SMALL]
    )


def enrolments(random: random.Random, folder: Path) -> Trial:
    path = folder / "annotation.json"
    forms = [(SEEDS / f"annotation/{name}").read_text() for name in ("plain", "coco")]
    form = (
        random.choice(forms)
        .replace('"visible": false', '"visible": true')
        .replace("9, 9, 2, 0, 0, 0", "9, 9, 2, 3, 4, 2")
    )
    path.write_bytes(mutated_text(random, form.encode()))
    image = folder / "a.jpg"
    shutil.copy(PICTURE, image)
    return Trial(
        [
            "enrol",
            "--model",
            str(DATA / "onnx/colours"),
            "--image",
            str(image),
            "--keypoints",
            str(path),
            "--out",
            str(folder / "x.template"),
        ]
    )


def boxes(random: random.Random, folder: Path) -> Trial:
    path = folder / "boxes.jsonl"
    lines = [{"sequence": number, "boxes": [[1, 1, 10, 20], [5.5, 0, 40, 30]]} for number in range(3)]
    path.write_bytes(mutated_text(random, "".join(json.dumps(line) + "\n" for line in lines).encode()))
    return Trial(run(DATA / "onnx/painted", small_image(folder), "--boxes", str(path)))


def templates(random: random.Random, folder: Path) -> Trial:
    path = folder / "x.template"
    data = mutated_bytes(random, (SEEDS / "template/whole").read_bytes())
    if random.random() < 0.7:  # The checksum is right.
        data = data[:-32] + hashlib.sha256(data[:-32]).digest()
    path.write_bytes(data)
    return Trial(run(DATA / "onnx/colours", small_image(folder), "--template", str(path)))


PAIRS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def result_lines() -> bytes:
    sides = [f"{side}_{name}" for name in PAIRS for side in ("left", "right")]
    names = ["nose", *sides]
    lines: list[dict[str, object]] = [{"schema": 1, "sinew": "0.1.0", "model": "logocap", "keypoints": names}]
    for frame in range(6):
        poses = [
            {
                "score": 0.8,
                "id": person + 1,
                "box": [0, 0, 9, 9],
                "keypoints": [[100.0 * person + frame + k, 7.0 * k, 0.9] for k in range(17)],
            }
            for person in range(3)
        ]
        lines.append({"sequence": frame, "captured": 0.04 * frame, "poses": poses})
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def tracks(random: random.Random, folder: Path) -> Trial:
    path = folder / "poses.jsonl"
    path.write_bytes(mutated_text(random, result_lines()))
    if random.random() < 0.5:
        return Trial(["track", str(path), "--out", str(folder / "tracked.jsonl")])
    video = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "frame_id": n} for n in range(6)],
        "annotations": [
            {
                "id": n,
                "image_id": n,
                "category_id": 1,
                "track_id": 1,
                "area": 900.0,
                "iscrowd": 0,
                "bbox": [0, 0, 30, 30],
                "num_keypoints": 17,
                "keypoints": [v for k in range(17) for v in (100.0 + n + k, 7.0 * k, 2)],
            }
            for n in range(6)
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    truth = folder / "truth.json"
    data = json.dumps(video).encode()
    truth.write_bytes(mutated_text(random, data) if random.random() < 0.5 else data)
    return Trial(["eval", "--metric", "track", "--truth", str(truth), "--tracks", str(path)])


def comparisons(random: random.Random, folder: Path) -> Trial:
    first, second = folder / "a.jsonl", folder / "b.jsonl"
    first.write_bytes(mutated_text(random, result_lines()))
    second.write_bytes(result_lines())
    return Trial(["diff", *random.sample((str(first), str(second)), 2)])


def mot(random: random.Random, folder: Path) -> Trial:
    truth, found = folder / "gt.txt", folder / "tracks.txt"
    name = random.choice(("clean", "mixed", "poor"))
    truth.write_bytes(mutated_text(random, (DATA / f"track/{name}-gt.txt").read_bytes()))
    found.write_bytes(mutated_text(random, (DATA / f"track/{name}-tracks.txt").read_bytes()))
    return Trial(["eval", "--metric", "track", "--truth", str(truth), "--tracks", str(found)])


def reports(random: random.Random, folder: Path) -> Trial:
    path = folder / "before.json"
    path.write_bytes(mutated_text(random, REPORT[0]))
    return Trial(
        [
            "bench",
            "--model",
            str(SPOTS),
            "--source",
            str(small_image(folder)),
            "--frames",
            "2",
            "--compare",
            str(path),
            *SMALL,
        ]
    )


REPORT: list[bytes] = [b"{}"]
# Inputs of one run.
BATCH = {"images": 10}
KINDS: dict[str, tuple[Callable[[random.Random, Path], Trial], int]] = {
    # With the share of the inputs.
    "manifests": (manifests, 8),
    "graphs": (graphs, 10),
    "configurations": (configurations, 8),
    "images": (images, 20),
    "videos": (videos, 9),
    "arrays": (arrays, 10),
    "annotations": (annotations, 8),
    "enrolments": (enrolments, 6),
    "boxes": (boxes, 5),
    "templates": (templates, 5),
    "tracks": (tracks, 6),
    "mot": (mot, 4),
    "comparisons": (comparisons, 3),
    "reports": (reports, 1),
}


@dataclass
class Outcome:
    kind: str
    seed: int
    fault: str | None
    code: int
    seconds: float
    megabytes: float
    said: str


def attempt(program: Path, kind: str, seed: int, keep: Path) -> Outcome:
    chance = random.Random(f"{kind} {seed}")
    folder = Path(tempfile.mkdtemp(prefix="mutate-"))
    try:
        trial = KINDS[kind][0](chance, folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SINEW_")}
        environment |= {
            "SINEW_BUNDLES": str(ROOT / "models/bundles"),
            "HOME": str(folder),
            "RUST_BACKTRACE": "1",
        }
        start = time.monotonic()
        with (
            open(folder / "said", "wb") as said,
            open(trial.standard_input or "/dev/null", "rb") as standard_input,
        ):
            process = subprocess.Popen(
                [str(program), *trial.arguments],
                cwd=folder,
                env=environment,
                stdin=standard_input,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        over = threading.Event()

        def end() -> None:
            over.set()
            process.kill()

        timer = threading.Timer(SECONDS, end)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds, megabytes = time.monotonic() - start, usage.ru_maxrss / 1024
        text = (folder / "said").read_text("utf-8", "replace")
        fault = None
        if over.is_set():
            fault = f"still there after {SECONDS} s"
        elif process.returncode not in CODES:
            fault = f"ended with {process.returncode}"
        elif "panicked" in text and "tract gave up" not in text:
            # tract panics on some broken graphs; that is caught, and reported as an error of the graph.
            fault = "a panic"
        elif process.returncode == 2 and not text.strip():
            fault = "an error without a message"
        elif megabytes > MEGABYTES:
            fault = f"{megabytes:.0f} MB of memory"
        if fault:
            place = keep / f"{kind}-{seed}"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(folder, place)
            command = [argument.replace(str(folder), str(place)) for argument in trial.arguments]
            (place / "command").write_text(f"{fault}\nsinew {' '.join(command)}\n")
        return Outcome(kind, seed, fault, process.returncode, seconds, megabytes, text)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def plan(count: int, seed: int, only: str | None) -> Iterator[tuple[str, int]]:
    """Kinds in turn, with the seed of each trial."""
    kinds = [only] if only else list(KINDS)
    whole = sum(KINDS[kind][1] for kind in kinds)
    for kind in kinds:
        trials = -(-count * KINDS[kind][1] // (whole * BATCH.get(kind, 1)))
        for number in range(trials):
            yield kind, seed * 1_000_000 + number


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--keep", type=Path, default=ROOT / "out/mutate", help="folder for inputs that fail")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="programs at a time")
    arguments = parser.parse_args()
    program = arguments.program.resolve()
    REPORT[0] = (
        subprocess.run(
            [
                program,
                "bench",
                "--model",
                SPOTS,
                "--source",
                PICTURE,
                "--frames",
                "3",
                "--warm-up",
                "1",
                "--json",
            ],
            capture_output=True,
            check=False,
        ).stdout
        or b"{}"
    )
    # What is read of a mutated file says nothing if the file itself is refused.
    MUTATING[0] = False
    for kind in [arguments.kind] if arguments.kind else KINDS:
        codes = {
            outcome.code: outcome
            for outcome in (attempt(program, kind, seed, arguments.keep) for seed in range(4))
        }
        if not {0, 1} & set(codes):
            print(f"{kind}: files without a mutation are refused: {codes[2].said}")
            return 2
    MUTATING[0] = True
    outcomes: list[Outcome] = []
    trials = plan(arguments.count, arguments.seed, arguments.kind)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for outcome in pool.map(lambda trial: attempt(program, *trial, arguments.keep), trials):
            outcomes.append(outcome)
            if outcome.fault:
                print(
                    f"{outcome.kind} {outcome.seed}: {outcome.fault}: {outcome.said.strip()[-300:]}",
                    flush=True,
                )
            if sys.stderr.isatty():
                print(f"\r{len(outcomes)} runs, {outcome.kind} ", end="", file=sys.stderr, flush=True)
    print(
        f"{'kind':15} {'inputs':>7} {'read':>6} {'partly':>6} {'refused':>7} {'faults':>6} longest s  most MB"
    )
    total = 0
    for kind in KINDS:
        of = [outcome for outcome in outcomes if outcome.kind == kind]
        if of:
            codes = Counter(outcome.code for outcome in of)
            faults = sum(outcome.fault is not None for outcome in of)
            inputs = len(of) * BATCH.get(kind, 1)
            total += inputs
            print(
                f"{kind:15} {inputs:7} {codes[0]:6} {codes[1]:6} {codes[2]:7} {faults:6} "
                f"{max(one.seconds for one in of):9.1f} {max(one.megabytes for one in of):8.0f}"
            )
    faults = sum(outcome.fault is not None for outcome in outcomes)
    print(f"{total} inputs, seed {arguments.seed}: {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
