"""Three programs, and Prometheus and mosquitto with the fleet's configuration, all on 127.0.0.1.

    fleet_test.py SINEW BUNDLES

Every query of the dashboard is asked, and alerts are provoked. For Prometheus time runs `FASTER` times as
fast: intervals, windows and waiting times are divided by it; expressions and thresholds are as shipped.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

FLEET = Path(__file__).resolve().parent.parent
PROJECT = FLEET.parent.parent
FASTER = 15
# Frames a second of every source: three programs share this machine.
RATE = 5
PASSWORD = "correct horse"

failures = 0
processes: list[subprocess.Popen[bytes]] = []


def row(name: str, passed: bool, detail: object = "") -> None:
    """One line of the result; what was seen instead, if it failed."""
    global failures
    print(f"ok      {name}" if passed else f"FAILED  {name}: {detail}", flush=True)
    failures += not passed


def until(seconds: float, condition: Callable[[], object]) -> bool:
    """Whether `condition` holds within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def free_port() -> int:
    """A port without a listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(log: Path, *arguments: object, stdin: int | None = None) -> subprocess.Popen[bytes]:
    """Starts a program that ends with this test."""
    with log.open("ab") as said:
        command = [str(argument) for argument in arguments]
        process = subprocess.Popen(command, stdin=stdin, stdout=said, stderr=said)
    processes.append(process)
    return process


def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """Ends a program of this test; a frozen one too."""
    if process.poll() is None:
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def children(process: int) -> list[int]:
    """The programs that `process` has started, such as GStreamer."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


class Feeder:
    """Feeds a program's standard input with a video that does not end."""

    def __init__(self, video: Path) -> None:
        self.bytes = video.read_bytes()
        self.flowing = threading.Event()
        self.flowing.set()

    def feed(self, process: subprocess.Popen[bytes]) -> None:
        """Begins with the header, in a thread that ends with `process`."""
        threading.Thread(target=self._feed, args=(process,), daemon=True).start()

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        header, frames = self.bytes.split(b"\n", 1)
        count = frames.count(b"FRAME\n")
        size = len(frames) // count
        stream = process.stdin
        assert stream is not None
        try:
            stream.write(header + b"\n")
            number = 0
            while process.poll() is None:
                self.flowing.wait()
                stream.write(frames[number % count * size :][:size])
                stream.flush()
                number += 1
                time.sleep(1 / RATE)
        except OSError:
            pass  # The program has ended.


class Drain:
    """Reads a named pipe while it is told to."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.reads = True
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                if self.reads and os.read(self.descriptor, 1 << 16):
                    continue
            except BlockingIOError:
                pass
            time.sleep(0.05)


class Prometheus:
    """Debian's Prometheus with the fleet's files, time running `FASTER` times as fast."""

    def __init__(self, folder: Path, boards: dict[str, int]) -> None:
        folder.mkdir()
        for file in (FLEET / "prometheus").glob("*.yml"):
            (folder / file.name).write_text(faster(file.read_text()))
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name}} for name, port in boards.items()
        ]
        (folder / "boards.yml").write_text(json.dumps(targets))
        self.port = free_port()
        options = {
            "config.file": folder / "prometheus.yml",
            "storage.tsdb.path": folder / "data",
            "web.listen-address": f"127.0.0.1:{self.port}",
        }
        start(folder / "log", "prometheus", *(f"--{name}={value}" for name, value in options.items()))

    def ask(self, path: str, **parameters: str) -> dict[str, Any]:
        """The `data` of a response of its interface."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return dict(json.load(response)["data"])
        except urllib.error.HTTPError as error:
            return {"error": error.read().decode()}
        except (urllib.error.URLError, OSError):
            return {}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now."""
        return list(self.ask("query", query=expression).get("result", []))

    def sum(self, expression: str) -> float:
        """The sum of the values of an expression now."""
        return float(sum(float(series["value"][1]) for series in self.query(expression)))

    def grows(self, expression: str, cause: Callable[[], None]) -> None:
        """Waits until the sum of `expression` is larger than before `cause`, which is carried out."""
        before = self.sum(expression)
        cause()
        until(30, lambda: self.sum(expression) > before)

    def firing(self) -> set[tuple[str, str]]:
        """Names and boards of the alerts that fire."""
        alerts = [alert for alert in self.ask("alerts").get("alerts", []) if alert["state"] == "firing"]
        return {(alert["labels"]["alertname"], alert["labels"]["instance"]) for alert in alerts}


def faster(text: str) -> str:
    """A configuration with every duration divided."""
    seconds = {"s": 1, "m": 60, "h": 3600}

    def shorter(match: re.Match[str]) -> str:
        return f"{int(match[1]) * seconds[match[2]] * 1000 // FASTER}ms"

    return re.sub(r"(?<=[\[ ])(\d+)([smh])(?=[\]\n])", shorter, text)


def expressions() -> list[tuple[str, str]]:
    """Title of the panel and expression of every query of the dashboard."""
    dashboard = json.loads((FLEET / "grafana/sinew.json").read_text())
    found = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$instance", ".*")
            found.append((panel["title"], expression.replace("$__rate_interval", f"{60 // FASTER}s")))
    return found


def thermal(folder: Path) -> Path:
    """A thermal zone as Linux shows it, cool; the file with its temperature."""
    zone = folder / "thermal_zone0"
    zone.mkdir(parents=True)
    lines = {"type": "soc-thermal", "trip_point_0_type": "passive", "trip_point_0_temp": "95000"}
    for name, text in lines.items():
        (zone / name).write_text(text + "\n")
    (zone / "temp").write_text("45000\n")
    return zone / "temp"


class Broker(NamedTuple):
    """The broker, and the sink for one board."""

    process: subprocess.Popen[bytes]
    sink: str


def mosquitto(folder: Path) -> Broker:
    """The broker with the fleet's files: who gets in, and what a board may do."""
    certificates, conf = folder / "certs", folder / "conf.d"
    certificates.mkdir(parents=True)
    conf.mkdir()
    script: list[str | Path] = [FLEET / "mosquitto/certificates.sh", "broker", "localhost", "127.0.0.1"]
    subprocess.run(script, cwd=certificates, check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    text = (FLEET / "mosquitto/sinew.conf").read_text().replace("/etc/mosquitto", str(folder))
    (conf / "sinew.conf").write_text(text.replace("listener 8883", f"listener {port} 127.0.0.1"))
    shutil.copy(FLEET / "mosquitto/sinew.acl", folder)
    passwords = folder / "sinew.passwd"
    passwords.touch()
    for user in ["door", "yard", "reader"]:
        subprocess.run(["mosquitto_passwd", "-b", passwords, user, PASSWORD], check=True)
    # Debian's own file, elsewhere.
    debian = Path("/etc/mosquitto/mosquitto.conf").read_text()
    for theirs in ["/etc/mosquitto", "/run/mosquitto", "/var/lib/mosquitto", "/var/log/mosquitto"]:
        debian = debian.replace(theirs, str(folder))
    (folder / "mosquitto.conf").write_text(debian + "\nuser root\n")
    process = start(folder / "log", "mosquitto", "-c", folder / "mosquitto.conf")

    def client(program: str, user: str, *more: str, password: str = PASSWORD, tls: bool = True) -> list[str]:
        secure = ["--cafile", str(certificates / "sinew-ca.crt")] if tls else []
        known = ["-u", user, "-P", password] if user else []
        return [program, "-h", "127.0.0.1", "-p", str(port), *secure, *known, *more]

    def says(user: str, topic: str, password: str = PASSWORD, tls: bool = True) -> bool:
        message = ["-q", "1", "-r", "-t", topic, "-m", "{}"]
        command = client("mosquitto_pub", user, *message, password=password, tls=tls)
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0

    status = "sinew/door/status"
    row("mosquitto takes the configuration", until(20, lambda: says("door", status)))
    row("a wrong password is refused", not says("door", status, password="wrong"))
    row("so is no password", not says("", status))
    row("and a connection without TLS", not says("door", status, tls=False))
    for elsewhere in ["sinew/yard/status", "homeassistant/sensor/door/config"]:
        says("door", elsewhere)
    command = client("mosquitto_sub", "reader", "-v", "-W", "2", "-t", "sinew/#", "-t", "homeassistant/#")
    heard = subprocess.run(command, capture_output=True, timeout=20).stdout.decode()
    topics = sorted(line.split()[0] for line in heard.splitlines())
    expected = ["homeassistant/sensor/door/config", status]
    row("a board writes below its own name, and nowhere else", topics == expected, topics)
    (folder / "door").write_text(f"door:{PASSWORD}\n")
    more = "queue=64KiB&client=door"
    options = f"credentials={folder}/door&ca={certificates}/sinew-ca.crt&{more}"
    return Broker(process, f"mqtts://127.0.0.1:{port}/sinew/door?{options}")


def main() -> int:
    """Runs everything in a folder that is gone afterwards."""
    sinew, bundles = Path(sys.argv[1]).resolve(), sys.argv[2]
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        print("one program has a thermal zone and a disk of its own, in a mount namespace: run this as root")
        return 1
    with tempfile.TemporaryDirectory() as name:
        try:
            broker = mosquitto(Path(name) / "mosquitto")
            boards(Path(name), sinew, bundles, broker)
        finally:
            for process in processes:
                end(process, signal.SIGKILL)
    print(f"{failures} rows failed" if failures else "all rows passed")
    return int(failures > 0)


def boards(scratch: Path, sinew: Path, bundles: str, broker: Broker) -> None:
    """Three programs and Prometheus."""
    photograph = PROJECT / "tests/data/photos/walkers.jpg"
    video = scratch / "walkers.y4m"
    ffmpeg = ["ffmpeg", "-nostdin", "-v", "error", "-loop", "1", "-i", str(photograph)]
    size = ["-vf", "scale=320:240,format=yuv420p", "-frames:v", "5"]
    subprocess.run([*ffmpeg, *size, str(video)], check=True)
    ports = {name: free_port() for name in ["door", "yard", "hall"]}
    temperature = thermal(scratch / "thermal")
    feeder, drain = Feeder(video), Drain(scratch / "yard.pipe")
    small = scratch / "small"
    small.mkdir()
    pipeline = (
        f"gst:multifilesrc location={photograph} loop=true caps=image/jpeg,framerate={RATE}/1 ! jpegdec"
        " ! identity sync=true ! videoscale ! video/x-raw,width=320,height=240"
    )
    run = [sinew, "run", "--model", Path(bundles) / "logocap-tiny", "--threads", "1"]
    zones = ["--zone", "all=0,0,320,0,320,240,0,240", "--line", "middle=160,0,160,240"]
    mounts = f"mount --bind {scratch}/thermal /sys/class/thermal && mount -t tmpfs -o size=256k none {small}"
    inside = ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh"]

    def board(name: str) -> subprocess.Popen[bytes]:
        log, metrics = scratch / f"{name}.log", ["--preview", f"127.0.0.1:{ports[name]}?fps=0"]
        if name == "door":
            to = ["--source", "-", "--sink", broker.sink]
            process = start(log, *run, *metrics, *zones, *to, stdin=subprocess.PIPE)
            feeder.feed(process)
            return process
        if name == "yard":
            return start(log, *run, *metrics, "--source", pipeline, "--sink", f"jsonl:{scratch}/yard.pipe")
        sink = f"jsonl:{small}/hall.jsonl?rotate=16KiB&keep=1"
        return start(log, *inside, *run, *metrics, "--source", pipeline, "--sink", sink)

    running = {name: board(name) for name in ports}
    prometheus = Prometheus(scratch / "prometheus", ports)

    def said(name: str) -> str:
        return (scratch / f"{name}.log").read_text()[-2000:]

    def fires(alert: str, name: str, seconds: float) -> None:
        begun = time.monotonic()
        passed = until(seconds, lambda: (alert, name) in prometheus.firing())
        took = time.monotonic() - begun
        row(f"{alert} fires ({took:.0f} s)", passed, f"{prometheus.firing()}; {name} said {said(name)}")

    def resolves(alert: str, name: str, seconds: float) -> None:
        passed = until(seconds, lambda: (alert, name) not in prometheus.firing())
        row(f"{alert} ends with its cause", passed, prometheus.firing())

    is_up = until(60, lambda: len(prometheus.query('up{job="sinew"} == 1')) == len(ports))
    row("Prometheus scrapes three programs", is_up, [said(name) for name in ports])
    # Longer than the longest window and waiting time of what may fire soon.
    time.sleep(45)
    row("none has anything to report", not prometheus.firing(), prometheus.firing())

    # A camera's cable: frames end, and begin again.
    feeder.flowing.clear()
    fires("SinewNoFrames", "door", 60)
    feeder.flowing.set()
    resolves("SinewNoFrames", "door", 60)

    temperature.write_text("96000\n")
    fires("SinewHot", "hall", 90)
    fires("SinewThrottled", "hall", 90)

    # A full disk: what fills it is a file of somebody else.
    filler = Path(f"/proc/{running['hall'].pid}/root{small}/filler")
    with contextlib.suppress(OSError):
        filler.write_bytes(bytes(1 << 20))
    fires("SinewLinesDropped", "hall", 60)
    filler.unlink()

    # Nobody reads the output.
    drain.reads = False
    fires("SinewFramesDropped", "yard", 120)
    drain.reads = True

    def kill_child() -> None:
        for child in children(running["yard"].pid):
            os.kill(child, signal.SIGKILL)

    for _ in range(4):
        prometheus.grows("sinew_camera_restarts_total", kill_child)
    fires("SinewCameraRestarting", "yard", 60)

    # The processor is elsewhere most of the time.
    over = threading.Event()

    def freeze() -> None:
        while not over.wait(0.3):
            running["hall"].send_signal(signal.SIGSTOP)
            time.sleep(0.8)
            running["hall"].send_signal(signal.SIGCONT)

    threading.Thread(target=freeze, daemon=True).start()
    fires("SinewFramesLate", "hall", 120)
    # Now that some alerts fire, no query of the dashboard is empty.
    for title, expression in expressions():
        answer = prometheus.ask("query", query=expression)
        row(f"dashboard, {title}: {expression[:50]}", bool(answer.get("result")), answer)
    over.set()

    def restart() -> None:
        end(running["door"], signal.SIGKILL)
        running["door"] = board("door")

    end(broker.process)
    fires("SinewMqttAway", "door", 60)
    fires("SinewMqttDropped", "door", 60)
    for _ in range(4):
        prometheus.grows('sinew_start_time_seconds{instance="door"}', restart)
    fires("SinewRestarting", "door", 60)
    end(running["door"], signal.SIGKILL)
    fires("SinewDown", "door", 60)


if __name__ == "__main__":
    sys.exit(main())
