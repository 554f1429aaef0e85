"""A run: this process, or several that hold the same weights."""

from __future__ import annotations

import signal
import socket
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing

from models.train.options import Options, parse
from models.train.tasks import TASKS
from models.train.trainer import Trainer


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def work(rank: int, options: Options, port: int) -> None:
    """The body of one process."""
    if options.processes > 1:
        address = f"tcp://127.0.0.1:{port}"
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=options.processes)
    Trainer(options, rank, TASKS[options.model]).run()
    if options.processes > 1:
        dist.destroy_process_group()


def main(arguments: list[str] | None = None) -> int:
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if options.processes == 1:
        work(0, options, 0)
        return 0
    # The children decide when to stop; this process only waits, so a signal to the whole group must not end
    # it first.
    context = torch.multiprocessing.get_context("spawn")
    port = _free_port()
    children = [context.Process(target=work, args=(rank, options, port)) for rank in range(options.processes)]
    for child in children:
        child.start()

    def forward(*_: object) -> None:
        for child in children:
            if child.is_alive():
                child.terminate()

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, lambda *_: None)
    for child in children:
        child.join()
    return max(abs(child.exitcode or 0) for child in children)
