"""The table of what is to be reached, measured: `make bench` prints it and writes `docs/performance.md`.

    python benches/performance.py [--out docs/performance.md] [--json] [--only decode warp]

Every figure is a ratio against a named peer in the same run, on one core, or a limit in milliseconds or
megabytes. Milliseconds stand beside it for orientation.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import side_by_side
import torch
from networks import large_rows, network_rows
from table import BUNDLES, FRAMES, ROOT, Program, Row, peer_session
from tqdm import tqdm

from models.export import logocap_graphs
from models.networks.logocap import LogoCap, LogoCapConfig
from models.reference import geometry, torch_logocap
from models.reference import logocap as plain


def comparison(script: str, *arguments: str) -> list[dict]:
    """What a comparison of this folder prints; a ratio below what it accepts is no failure here."""
    command = [sys.executable, str(Path(__file__).with_name(script)), "--json", "--least", "0", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def decode_rows() -> Iterator[Row]:
    """After the network: both bottom-up models, by people in the frame."""
    centergroup = {line["people"]: line for line in comparison("compare_centergroup.py", "--repeat", "3")}
    logocap = {line["people"]: line for line in comparison("compare_decode.py", "--repeat", "10")}
    for what, line, reach in (
        ("CenterGroup after the network, 512x512, 5 people", centergroup[5], 500),
        ("LOGO-CAP after the network, 512x512, 30 people, all refined", logocap[30], 100),
    ):
        yield Row(
            what,
            "PyTorch, as the reference computes",
            f">= {reach}x",
            f"{line['ratio']:.0f}x: {line['median_ms']:.2f} of {line['torch_ms']:.0f} ms",
            line["ratio"] >= reach,
        )
    worst = max((line["median_ms"] - 0.5) / people for people, line in logocap.items() if people)
    yield Row(
        "LOGO-CAP, beyond 0.5 ms",
        "-",
        "<= 0.1 ms a person",
        f"{max(worst, 0):.3f} ms a person",
        worst <= 0.1,
    )
    for name, lines in (("LOGO-CAP", logocap), ("CenterGroup", centergroup)):
        cost = ", ".join(f"{line['median_ms']:.2f}" for line in lines.values())
        people = ", ".join(map(str, lines))
        within = lines[30]["median_ms"] <= 4.0
        yield Row(f"{name}: cost with {people} people", "-", "30 people: <= 4 ms", f"{cost} ms", within)


def warp_rows() -> Iterator[Row]:
    """From camera pixels to the network's input."""
    lines = [line for line in comparison("compare_warp.py") if not line["case"].endswith("-turned")]
    for pixel_format, reach in (("YUYV", 8), ("NV12", 4), ("UYVY", 4), ("RGB", 4)):
        found = {line["case"]: line for line in lines if line["format"] == pixel_format}
        square = {case: line for case, line in found.items() if line["network"] == [512, 512]}
        least = min(line["ratio"] for line in square.values())
        cases = "; ".join(
            f"{case} {line['ratio']:.1f}x, {line['median_ms']:.2f} ms" for case, line in square.items()
        )
        yield Row(
            f"warp, 1280x720 {pixel_format} to 512x512",
            "OpenCV: cvtColor, warpAffine, planes",
            f">= {reach}x",
            cases,
            least >= reach,
        )


def overhead_rows(program: Program) -> Iterator[Row]:
    """What a live frame takes in addition to the network, on images of five people each."""
    with tempfile.TemporaryDirectory() as folder:
        for data in (FRAMES.with_name("people-crowd"), FRAMES.with_name("people-hard")):
            annotations = json.loads((data / "annotations.json").read_text())
            people = Counter(one["image_id"] for one in annotations["annotations"])
            for image in annotations["images"]:
                if people[image["id"]] == 5:
                    Path(folder, image["file_name"]).symlink_to(data / image["file_name"])
        for level in ("none", "partial", "full"):
            of = ["--source", folder, "--model", "logocap-tiny", "--level", level]
            found = program.bench("tract", *of, frames=280)["overhead"]
            yield Row(
                f"everything but the network, 1280x720 YUYV, 5 people, logocap-tiny, level {level}",
                "-",
                "99 of 100 frames: <= 2 ms",
                f"mean {found['mean']:.2f} ms, 99 of 100 frames {found['p99']:.2f} ms",
                found["p99"] <= 2.0,
            )


def peak_memory(process: int) -> float:
    """The most memory that a process had at a time, MB; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return max((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), default=0.0)


def start_rows(program: Program) -> Iterator[Row]:
    """A process from its start to its first pose, and its memory."""
    image = str(sorted(FRAMES.glob("*.jpg"))[0])
    for name in ("logocap-tiny", "centergroup-tiny", "lofr-tiny"):
        command = [str(program.path), "run", "--model", name, "--source", image, "--backend", "tract"]
        times, memory = [], 0.0
        for _ in range(5):
            begin = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            while process.poll() is None:
                # What the parent had at the fork counts in `ru_maxrss`, but not here.
                memory = max(memory, peak_memory(process.pid))
                time.sleep(0.002)
            if process.returncode:
                raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
            times.append(time.perf_counter() - begin)
        seconds = float(np.median(times))
        yield Row(f"start to first pose and end, {name}", "-", "<= 1 s", f"{seconds:.2f} s", seconds <= 1)
        yield Row(f"largest memory, {name}", "-", "<= 120 MB", f"{memory:.0f} MB", memory <= 120)


class Peers:
    """A whole frame of `logocap-tiny` as programs without Sinew compute it: I420 frame to JSON."""

    def __init__(self, frame: tuple[int, int], network: tuple[int, int], mean: tuple, std: tuple) -> None:
        self.frame, self.network = frame, network
        self.model = LogoCap(LogoCapConfig.tiny()).eval()
        self.sessions = [peer_session(BUNDLES / f"logocap-tiny/{name}.onnx") for name in ("backbone", "kam")]
        self.settings = plain.Settings(center_threshold=0.1)
        self.to_network = geometry.network_from_image(frame, network)
        self.scale, self.offset = 1 / (255 * np.array(std)), -np.array(mean) / np.array(std)

    def image(self, frame: np.ndarray) -> np.ndarray:
        """The network's input `[1, 3, H, W]`, by OpenCV."""
        rgb = cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_I420)
        warped = cv2.warpAffine(rgb, self.to_network, self.network)
        return np.ascontiguousarray(
            (warped * self.scale + self.offset).astype(np.float32).transpose(2, 0, 1)
        )[None]

    def maps(self, image: np.ndarray) -> tuple[np.ndarray, ...]:
        """Heatmaps, offsets and attraction maps, by ONNX Runtime."""
        heatmaps, offsets, embedding = self.sessions[0].run(None, {"image": image})
        large = plain.upsample(heatmaps[-1:], 4)[0]
        initial = plain.initial_poses(offsets, plain.find_centers(large, self.settings), self.settings)
        mesh = torch.from_numpy(plain.local_mesh(initial, self.settings)).float() / 4
        grid = logocap_graphs.normalised_grid(mesh, *heatmaps.shape[1:]).flatten(0, 2).numpy()
        (kam,) = self.sessions[1].run(None, {"embedding": embedding, "grid": grid})
        return heatmaps, offsets, kam

    def with_onnxruntime(self, frame: np.ndarray) -> str:
        """Networks by ONNX Runtime, the rest by NumPy."""
        decoded = plain.decode(*self.maps(self.image(frame)), self.frame, self.settings)
        return json.dumps(decoded.poses.tolist())

    @torch.no_grad()
    def eager(self, frame: np.ndarray, maps: tuple[np.ndarray, ...]) -> str:
        """Networks and the rest by PyTorch. The weights are random, so `maps` stands for what they return."""
        heatmaps, offsets, kam = (torch.from_numpy(part) for part in maps)
        embedding = self.model.forward_backbone(torch.from_numpy(self.image(frame)))[2]
        first = torch.zeros(len(kam), dtype=torch.long)
        self.model.attraction_maps(embedding, first, torch.rand(len(kam), 17, 2) * 200)
        decoded = torch_logocap.decode(heatmaps, offsets, kam, self.frame, self.settings)
        return json.dumps(decoded.poses.tolist())


def frame_rows(program: Program) -> Iterator[Row]:
    """A whole frame, camera pixels to JSON, on the CPU: every program gets the same frames."""
    width, height, count = 1280, 720, 12
    frames = []
    for path in sorted(FRAMES.glob("*.jpg"))[:count]:
        image = cv2.imread(str(path))
        scale = min(width / image.shape[1], height / image.shape[0])
        resized = cv2.resize(image, None, fx=scale, fy=scale)
        canvas = np.zeros((height, width, 3), np.uint8)
        canvas[: resized.shape[0], : resized.shape[1]] = resized
        frames.append(cv2.cvtColor(canvas, cv2.COLOR_BGR2YUV_I420))
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "frames.y4m"
        with video.open("wb") as file:
            file.write(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode())
            for frame in frames:
                file.write(b"FRAME\n" + frame.tobytes())
        options = ["--source", str(video), "--model", "logocap-tiny", "--threads", "1"]
        options += ["--frames", str(count), "--json", "--level", "full"]

        def ours(backend: str) -> float:
            report = json.loads(program.run("bench", *options, "--backend", backend))
            return report["milliseconds"]["end_to_end"]["mean"]

        config = LogoCapConfig.tiny()
        peers = Peers((width, height), geometry.network_size(width, height, 288, 32), config.mean, config.std)
        maps = [peers.maps(peers.image(frame)) for frame in frames]
        torch.set_num_threads(1)

        def mean(run: Callable[[int], object]) -> float:
            run(0)
            begin = time.perf_counter()
            for index in range(count):
                run(index)
            return 1e3 * (time.perf_counter() - begin) / count

        found: dict[str, list[float]] = {"tract": [], "onnxruntime": [], "eager": [], "numpy": []}
        for _ in range(3):
            for backend in ("tract", "onnxruntime"):
                found[backend].append(ours(backend))
            found["eager"].append(mean(lambda index: peers.eager(frames[index], maps[index])))
            found["numpy"].append(mean(lambda index: peers.with_onnxruntime(frames[index])))
    middle = {name: float(np.median(times)) for name, times in found.items()}
    for peer, against, reach, least in (
        ("eager", "PyTorch eager and its post-processing", ">= 3x", 3.0),
        ("numpy", "ONNX Runtime and NumPy", "> 1x", 1.0),
    ):
        for backend in ("tract", "onnxruntime"):
            ratio = middle[peer] / middle[backend]
            yield Row(
                f"whole frame, 1280x720 I420 to JSON, logocap-tiny on {backend}",
                against,
                reach,
                f"{ratio:.1f}x: {middle[backend]:.0f} and {middle[peer]:.0f} ms",
                ratio > least,
            )


def table(rows: list[Row]) -> str:
    """As Markdown."""
    marks = {True: "yes", False: "**no**", None: "-"}
    lines = ["| what | against | to reach | found | reached |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row.what} | {row.against} | {row.reach} | {row.found} | {marks[row.reached]} |")
    return "\n".join(lines)


def measured(rows: list[Row], load: float) -> str:
    """The table with what it was measured on."""
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout
    information = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in information if line.startswith("model name")]
    machine = (
        f"{next(iter(names), platform.machine())}, {os.cpu_count()} cores, load {load:.1f} at the beginning"
    )
    versions = (
        f"{compiler.split(' (')[0]}, ONNX Runtime {onnxruntime.__version__}, PyTorch {torch.__version__}"
    )
    return (
        f"Measured on {datetime.date.today()}: {machine}; {versions}. "
        f"**Nothing here was measured on a Jetson.**\n\n{table(rows)}"
    )


def main() -> int:
    """Measures, prints the table and writes it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sinew", type=Path, default=ROOT / "target/release/sinew", help="the program")
    parser.add_argument("--out", type=Path, help="put the table into this file, between its markers")
    parser.add_argument("--json", action="store_true", help="print lines of JSON")
    parts = ("decode", "warp", "overhead", "network", "large", "start", "frame")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="measure these alone")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    program = Program(arguments.sinew)
    measures: dict[str, Callable[[], Iterator[Row]]] = {
        "decode": decode_rows,
        "warp": warp_rows,
        "overhead": lambda: overhead_rows(program),
        "network": lambda: network_rows(program),
        "large": lambda: large_rows(program),
        "start": lambda: start_rows(program),
        "frame": lambda: frame_rows(program),
    }
    load = os.getloadavg()[0]
    rows: list[Row] = []
    for name in tqdm(arguments.only, unit="part", disable=None):
        for row in measures[name]():
            rows.append(row)
            if arguments.json:
                print(json.dumps(asdict(row)), flush=True)
    if not arguments.json:
        print(table(rows))
    if arguments.out:
        side_by_side.put_between(arguments.out, "measured", measured(rows, load))
    return 0


if __name__ == "__main__":
    sys.exit(main())
