"""The stores that cache_stores.py measures: put, lengths, get, close, by key."""

import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from affekt.cache.frames import FrameStore

DIM = 768  # channels, of the base-size encoders
SHARD = 1 << 30  # bytes


class Files:
    """affekt's own: a safetensors file per utterance, its checksum included."""

    def __init__(self, folder: Path, storage: Any = "bf16") -> None:
        os.environ["AFFEKT_CACHE"] = str(folder)
        self.store = FrameStore("benchmark", {}, storage=storage)

    def put(self, key: str, frames: torch.Tensor) -> None:
        self.store.put(key, frames)

    def lengths(self, keys: list[str]) -> dict[str, int]:
        return self.store.lengths(keys)

    def get(self, key: str) -> torch.Tensor:
        found = self.store.get(key)
        assert found is not None
        return found

    def close(self) -> None:
        """Every put is complete."""


class SmallFiles(Files):
    """The same in int8."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "int8")


class Shards:
    """Frames end to end in files of a gigabyte, where they lie in SQLite; a read maps its part."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = sqlite3.connect(folder / "index.sqlite")
        self.index.execute(
            "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, shard INT, at INT, "
            "l INT, t INT, d INT)"
        )
        self.shard, self.places = 0, {}

    def put(self, key: str, frames: torch.Tensor) -> None:
        path = self.folder / f"{self.shard}.bin"
        at = path.stat().st_size if path.exists() else 0
        with path.open("ab") as file:
            file.write(frames.view(torch.uint8).numpy().data)
        with self.index as index:
            values = (key, self.shard, at, *frames.shape)
            index.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", values)
        self.shard += at > SHARD

    def lengths(self, keys: list[str]) -> dict[str, int]:
        rows = self.index.execute("SELECT * FROM entries")
        self.places = {key: (shard, at, (n, t, d)) for key, shard, at, n, t, d in rows}
        return {key: self.places[key][2][1] for key in keys}

    def get(self, key: str) -> torch.Tensor:
        shard, at, shape = self.places[key]
        path = self.folder / f"{shard}.bin"
        return _tensor(np.memmap(path, np.int16, "c", offset=at, shape=shape))

    def close(self) -> None:
        self.index.close()


class Arrow:
    """One Arrow IPC file, a record batch per utterance; its map is kept."""

    SCHEMA = pa.schema([("key", pa.string()), ("t", pa.int32()), ("frames", pa.large_binary())])

    def __init__(self, folder: Path) -> None:
        self.path = folder / "frames.arrow"
        self.writer = self.reader = None
        self.numbers: dict[str, int] = {}

    def put(self, key: str, frames: torch.Tensor) -> None:
        if self.writer is None:
            self.writer = pa.ipc.new_file(str(self.path), self.SCHEMA)
        offsets = pa.py_buffer(np.array([0, frames.nbytes], np.int64))
        data = pa.py_buffer(frames.view(torch.uint8).numpy())
        column = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, data])
        row = [pa.array([key]), pa.array([frames.shape[1]], pa.int32()), column]
        self.writer.write_batch(pa.record_batch(row, schema=self.SCHEMA))

    def lengths(self, keys: list[str]) -> dict[str, int]:
        self.reader = pa.ipc.open_file(pa.memory_map(str(self.path)))
        found = {}
        for n in range(self.reader.num_record_batches):
            row = self.reader.get_batch(n)
            key = row.column(0)[0].as_py()
            self.numbers[key] = n
            found[key] = row.column(1)[0].as_py()
        return {key: found[key] for key in keys}

    def get(self, key: str) -> torch.Tensor:
        assert self.reader is not None
        row = self.reader.get_batch(self.numbers[key])
        t = row.column(1)[0].as_py()
        _, _, data = row.column(2).buffers()
        return _tensor(np.frombuffer(data, np.int16).reshape(-1, t, DIM))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


class Zarr:
    """An uncompressed zarr array of one chunk per utterance (as int16: zarr has no bf16)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, frames: torch.Tensor) -> None:
        import zarr

        values = frames.view(torch.int16).numpy()
        path = self.folder / key
        zarr.create_array(path, data=values, chunks=values.shape, compressors=None)

    def lengths(self, keys: list[str]) -> dict[str, int]:
        import zarr

        return {key: zarr.open_array(self.folder / key, mode="r").shape[1] for key in keys}

    def get(self, key: str) -> torch.Tensor:
        import zarr

        return _tensor(zarr.open_array(self.folder / key, mode="r")[:])

    def close(self) -> None:
        """Every put is complete."""


STORES = {
    "safetensors files (affekt), bf16": Files,
    "safetensors files (affekt), int8": SmallFiles,
    "memmap shards + SQLite": Shards,
    "Arrow IPC file": Arrow,
    "zarr, an array per utterance": Zarr,
}
OURS = "safetensors files (affekt), bf16"


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).view(torch.bfloat16)
