"""A server over a toy whose answer is a function of the file, in this process."""

import asyncio
import contextlib
import ctypes
import gc
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import soundfile
import uvicorn
from fastapi import FastAPI

from affekt.inference.predictor import Predictor
from affekt.server.app import application
from affekt.server.limits import Limits

LABELS = ["low", "high"]


def wav(level: float = 0.5, seconds: float = 0.25, rate: int = 16_000, **how) -> bytes:
    """A file whose every sample is `level`."""
    file = io.BytesIO()
    samples = np.full(round(seconds * rate), level, np.float32)
    soundfile.write(file, samples, rate, **{"format": "WAV", "subtype": "FLOAT"} | how)
    return file.getvalue()


@dataclass
class Toy:
    """Scores of a clip: its mean level, and the rest; it notes every batch, and can be held."""

    batches: list[int] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)
    free: threading.Event = field(default_factory=threading.Event)
    warm: bool = False

    def __post_init__(self) -> None:
        self.free.set()

    def scores(self, signals) -> np.ndarray:
        if self.warm:  # not the call that warms it
            self.free.wait(10.0)
            self.batches.append(len(signals))
            self.levels += [float(s.mean()) for s in signals]
        self.warm = True
        means = np.array([s.mean() for s in signals], np.float64)
        return np.stack([1.0 - means, means], axis=1)

    def load(self) -> Predictor:
        return Predictor(labels=LABELS, logits=self.scores, name="toy", activation="none")


@dataclass
class Running:
    toy: Toy
    address: str
    service: object
    server: object
    thread: threading.Thread
    app: FastAPI

    def post(self, data: bytes | Iterator[bytes], path: str = "/v1/predict", **given):
        headers = {"content-type": "audio/wav"} | given.pop("headers", {})
        return httpx.post(self.address + path, content=data, headers=headers, timeout=20.0, **given)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20.0)


@contextmanager
def running(key: str | None = None, load: Callable | None = None, page: bool = False, **limits):
    """A real uvicorn in a thread."""
    toy, begun = Toy(), Future()

    async def main() -> None:
        app = application(load or toy.load, Limits(**limits), key=key)
        if page:
            from affekt.server.page import add_page

            add_page(app)
        config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        begun.set_result((app, server))
        await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    app, server = begun.result(30.0)
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    found = Running(toy, f"http://127.0.0.1:{port}", app.state.service, server, thread, app)
    try:
        if load is None:
            found.service.batcher.model.result(10.0)
        yield found
    finally:
        toy.free.set()
        found.stop()


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # what the C library keeps for later
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
