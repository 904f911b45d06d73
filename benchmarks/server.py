"""A server with micro-batching beside the same one that judges clip by clip.

Both are processes of their own on this machine, which answer the same requests in turns: real clips
of EmoDB from clients side by side. Every answer is compared with the one without a server.

python benchmarks/server.py [--model MODEL] [--requests 2000] [--clients 64]
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from threading import Thread
from typing import Any

import numpy as np

CLIPS = Path(__file__).parent.parent / "data/emodb/wav"
TIMES = 2.0  # the throughput of one by one
NEAR = 1e-3  # of scores: batches differ in the last bits of bf16
ROUNDS = 2  # of each server, in turns
BOUNDARY = "affekt-benchmark"


def predictor(model: str | None) -> Any:
    """The model called so; the one that comes with affekt without."""
    from affekt.inference.predictor import DEFAULT, Predictor

    return Predictor.load(model or DEFAULT)


def served(model: str | None, clips: int, address: Any) -> None:
    """A server with batches of so many clips; it puts its port into a queue."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from affekt.server.limits import Limits
    from affekt.server.running import serve

    serve(
        lambda: predictor(model),
        port=0,
        limits=Limits(clips=clips, timeout=120.0),
        page=False,
        ready=lambda at: address.put(int(at.rpartition(":")[2])),
    )


@contextmanager
def server(model: str | None, clips: int) -> Iterator[int]:
    """The port of a server that is a process of its own, and ends."""
    context = get_context("spawn")
    address = context.Queue()
    process = context.Process(target=served, args=(model, clips, address), daemon=True)
    process.start()
    try:
        yield address.get(timeout=120)
    finally:
        process.terminate()
        process.join(30)


@dataclass
class Answered:
    """What clients measured: seconds of each request, and what each was answered."""

    seconds: list[float]
    scores: list[tuple[int, list[float]]]


def client(port: int, numbers: list[int], bodies: list[bytes], found: Answered) -> None:
    """Ask for these clips, one after the other, over one connection."""
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    for n in numbers:
        begin = time.perf_counter()
        connection.request("POST", "/v1/predict", bodies[n], {"content-type": kind})
        response = connection.getresponse()
        answer = json.loads(response.read())
        found.seconds.append(time.perf_counter() - begin)
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {answer}")
        scores = answer["scores"]
        found.scores.append((n, [scores[name] for name in sorted(scores)]))
    connection.close()


def form(path: Path) -> bytes:
    """A clip as a form with one file."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"'
    return f"{head}\r\n\r\n".encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def asked(port: int, bodies: list[bytes], requests: int, clients: int) -> tuple[float, Answered]:
    """Seconds until all was answered, and the answers."""
    found = Answered([], [])
    numbers = [n % len(bodies) for n in range(requests)]
    threads = [
        Thread(target=client, args=(port, numbers[c::clients], bodies, found))
        for c in range(clients)
    ]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin, found


def offline(model: str | None, paths: list[Path]) -> list[list[float]]:
    """Scores of the clips without a server, by class in the order of the alphabet."""
    rows = []
    for _, segment in predictor(model).each(paths):
        rows.append([segment.scores[name] for name in sorted(segment.scores)])
    return rows


def wrong(answers: Answered, expected: list[list[float]]) -> float:
    """The largest difference of a score from the one without a server."""
    return max(float(np.abs(np.subtract(row, expected[n])).max()) for n, row in answers.scores)


def main() -> int:
    """0 if batches are `TIMES` as fast and every answer is right, else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=64)
    asks = parser.parse_args()
    paths = sorted(CLIPS.glob("*.flac"))
    bodies = [form(path) for path in paths]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        expected = pool.submit(offline, asks.model, paths).result()
    rates: dict[str, list[float]] = {"one by one": [], "batches": []}
    worst, lost, half = 0.0, 0, asks.requests // ROUNDS
    for _ in range(ROUNDS):
        for name, clips in (("one by one", 1), ("batches", 64)):
            with server(asks.model, clips) as port:
                asked(port, bodies, asks.clients, asks.clients)  # an unmeasured one of each client
                seconds, answers = asked(port, bodies, half, asks.clients)
            rates[name].append(len(answers.scores) / seconds)
            lost += half - len(answers.scores)
            worst = max(worst, wrong(answers, expected))
            cuts = quantiles(answers.seconds, n=100)
            print(
                f"{name:10}  {half / seconds:7.1f} requests/s   p50 {cuts[49] * 1e3:6.0f} ms   "
                f"p99 {cuts[98] * 1e3:6.0f} ms   {len(answers.scores)} answers",
                flush=True,
            )
    ratio = sum(rates["batches"]) / sum(rates["one by one"])
    print(f"batches answer {ratio:.2f} x as many, needed {TIMES}; largest difference {worst:.1e}")
    print(f"{lost} requests without a right answer")
    return 0 if ratio >= TIMES and worst < NEAR and not lost else 1


if __name__ == "__main__":
    sys.exit(main())
