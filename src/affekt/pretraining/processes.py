"""Several devices: a process for each, all of them with the same gradient (Lightning's DDP)."""

import os
import signal
import socket
from contextlib import suppress
from queue import Empty
from typing import Any

from torch import multiprocessing
from torch.multiprocessing.spawn import ProcessException, start_processes

from affekt.errors import AffektError
from affekt.pretraining.speech import Progress
from affekt.pretraining.train import Run, train

PATIENCE = 60.0  # seconds for the others to end after Ctrl-C


def train_on_all(run: Run, progress: Progress) -> None:
    """As `affekt.pretraining.train.train`, by a process per device."""
    told = multiprocessing.get_context("spawn").Queue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (run, told, port)
    devices = run.recipe.training.devices
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # they inherit it, until they train
    try:
        begun: Any = start_processes(_one, arguments, devices, join=False, start_method="spawn")
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        _wait(begun, told, progress)
    except KeyboardInterrupt:  # they were interrupted too, and end after their step
        for process in begun.processes:
            process.join(PATIENCE)
        raise
    except ProcessException as e:
        last = str(e).strip().splitlines()[-1]
        raise AffektError(f"a process of the training failed: {last}") from e
    finally:
        for process in begun.processes:
            if process.is_alive():
                process.terminate()


def _wait(begun: Any, told: Any, progress: Progress) -> None:
    done = False
    while not done:
        done = begun.join(timeout=0.2)
        with suppress(Empty):
            while True:
                progress(*told.get_nowait())


def _one(rank: int, run: Run, told: Any, port: int) -> None:
    """What one process does; the first one tells how far it is."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(run.recipe.training.devices),
    }

    def tell(now: str, done: int, of: int, words: str = "") -> None:
        told.put((now, done, of, words))

    with suppress(KeyboardInterrupt):  # the one who began this process stops at it
        train(run, tell if rank == 0 else lambda *_: None, rank=rank)
