"""Where frames could be kept: affekt's safetensors files beside shards, Arrow and zarr.

The same random frames (13 layers x 60 to 440 frames x 768 channels, bf16) go into each store, in
a process of its own: writing, opening an index, epochs of random reads, and resident memory.

    python benchmarks/cache_stores.py --utterances 300

zarr is optional: pip install zarr
"""

import argparse
import multiprocessing
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cache_candidates import DIM, OURS, STORES

LAYERS = 13  # of the base-size encoders
SHORTEST, LONGEST = 60, 440  # frames
BATCH = 32
IEMOCAP = 5531  # utterances of its four classes
AS_FAST = 0.5  # of the fastest warm epoch: a map that is kept saves page faults, but not memory
WARM = 8  # epochs by the processor's clock; the fastest one counts, it was disturbed least
GIVES = (
    ("", "kill-safe append", "several writers", "pruning one entry"),
    ("safetensors files", "yes: rename", "yes", "unlink"),
    ("memmap shards + SQLite", "yes: data, then commit", "with a shard each", "leaves a hole"),
    ("Arrow IPC file", "no: footer at the close", "with a file each", "write all anew"),
    ("zarr arrays", "no: a missing chunk is zeros", "yes", "remove a folder"),
)


def corpus(utterances: int) -> Iterator[tuple[str, torch.Tensor]]:
    """(key, frames) of so many random utterances, the same ones every time."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(LAYERS, 4 * LONGEST, DIM, generator=generator).bfloat16()
    rng = np.random.default_rng(0)
    for n in range(utterances):
        t, at = int(rng.integers(SHORTEST, LONGEST + 1)), int(rng.integers(3 * LONGEST))
        yield f"utterance-{n}", noise[:, at : at + t].contiguous()


def measure(name: str, utterances: int, folder: Path, queue: Any) -> None:
    """Put a dictionary of figures into `queue`."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    place, tiny = folder / "frames", folder / "tiny"
    place.mkdir()
    found = {"index": index(STORES[name], tiny)} | write(STORES[name](place), utterances, place)
    store = STORES[name](place)
    keys = list(store.lengths([f"utterance-{n}" for n in range(utterances)]))
    batch = torch.zeros(BATCH, LAYERS, LONGEST, DIM, dtype=torch.bfloat16)
    before = resident()
    epochs = [epoch(store, keys, batch, seed=0)]
    epochs += [epoch(store, keys, batch, seed=n, clock=time.process_time) for n in range(WARM)]
    seconds = [taken for taken, _ in epochs]
    found["cold"] = found["size"] / seconds[0]
    found["warm"] = found["size"] / min(seconds[1:])
    found["peak"] = max(highest for _, highest in epochs) - before
    found["left"] = resident() - before
    queue.put(found)


def write(store: Any, utterances: int, folder: Path) -> dict[str, float]:
    """Megabytes of frames, and how many a second a store takes, and has on disk."""
    seconds, size = 0.0, 0.0
    for key, frames in corpus(utterances):
        begin = time.perf_counter()
        store.put(key, frames)
        seconds += time.perf_counter() - begin
        size += frames.nbytes / 1e6
    begin = time.perf_counter()
    store.close()
    forget(folder)
    synced = seconds + time.perf_counter() - begin
    return {"size": size, "put": size / seconds, "synced": size / synced}


def index(kind: Any, folder: Path) -> float:
    """Seconds until a store tells the lengths of as many entries as IEMOCAP has."""
    folder.mkdir()
    store = kind(folder)
    keys = [f"tiny-{n}" for n in range(IEMOCAP)]
    frames = torch.zeros(1, 4, DIM, dtype=torch.bfloat16)
    for key in keys:
        store.put(key, frames)
    store.close()
    begin = time.perf_counter()
    assert len(kind(folder).lengths(keys)) == IEMOCAP
    return time.perf_counter() - begin


def forget(folder: Path) -> None:
    """Have the files on disk, and out of the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def epoch(
    store: Any,
    keys: list[str],
    batch: torch.Tensor,
    *,
    seed: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Seconds for all utterances in random order in padded batches; the most megabytes resident."""
    order = np.random.default_rng(seed).permutation(keys).tolist()
    seconds, highest = 0.0, 0.0
    for first in range(0, len(order), BATCH):
        begin = clock()
        for row, key in zip(batch, order[first : first + BATCH], strict=False):
            frames = store.get(key)
            row[:, : frames.shape[1]] = frames
            row[:, frames.shape[1] :] = 0
        del frames
        seconds += clock() - begin
        highest = max(highest, resident())
    return seconds, highest


def resident() -> float:
    """Megabytes of this process, pages of mapped files included."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024 / 1e6


def main() -> int:
    """0 if affekt's store reads about as fast as the fastest one, else 1."""
    parser = argparse.ArgumentParser(description="stores of frames, side by side")
    parser.add_argument("--utterances", type=int, default=300)
    parser.add_argument("--folder", type=Path, help="a folder on the disk to be measured")
    chosen = parser.parse_args()
    columns = ("put MB/s", "on disk", "index, s", "cold MB/s", "warm MB/s", "RSS peak", "left")
    print(f"{'':34}" + "".join(f"{column:>11}" for column in columns), flush=True)
    found = {}
    for name in STORES:
        if name.startswith("zarr") and find_spec("zarr") is None:
            print(f"{name:34}  zarr is not installed; run: pip install zarr")
            continue
        found[name] = apart(name, chosen.utterances, chosen.folder)
        keys = ("put", "synced", "index", "cold", "warm", "peak", "left")
        cells = (f"{found[name][k]:>11.{2 if k == 'index' else 0}f}" for k in keys)
        print(f"{name:34}{''.join(cells)}", flush=True)
    for row in GIVES:
        print("{:26}{:32}{:20}{}".format(*row))
    fastest = max(found, key=lambda name: found[name]["warm"])
    ratio = found[OURS]["warm"] / found[fastest]["warm"]
    print(
        f"MB/s count frames in bf16, also where less is on disk. Index: until the lengths of "
        f"{IEMOCAP} entries are known. RSS: growth over {1 + WARM} epochs, MB.\n"
        f"affekt's warm epoch: {ratio:.2f} of the fastest one ({fastest}), needed {AS_FAST}\n"
        f"{chosen.utterances} utterances, {os.cpu_count()} cores, one thread, "
        f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )
    return 0 if ratio >= AS_FAST else 1


def apart(name: str, utterances: int, folder: Path | None) -> dict[str, float]:
    """The figures of one store, from a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        process = context.Process(target=measure, args=(name, utterances, Path(place), queue))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{name} failed, see above")
        return queue.get()


if __name__ == "__main__":
    sys.exit(main())
