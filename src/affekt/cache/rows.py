"""Rows of numbers by key, such as openSMILE functionals, in one SQLite file."""

import logging
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from affekt.errors import AffektError

log = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds that one process waits for another one's commit
CHUNK = 900  # keys in one query; old builds of SQLite allow 999
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Rows:
    """float32 vectors by key in one SQLite file.

    Several processes may read and write it at once; what `put` returned from survives a kill.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as e:
            raise self._unusable(e) from e
        except sqlite3.DatabaseError as e:
            self._rebuild(e)

    def _open(self) -> None:
        self._database = sqlite3.connect(self.path, timeout=PATIENCE)
        with self._database as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, crc INTEGER, row BLOB)"
            )

    def _rebuild(self, error: sqlite3.DatabaseError) -> None:
        """Start a damaged file anew; any other error is the user's to solve."""
        if error.sqlite_errorcode & 0xFF not in DAMAGED:  # the low byte is the primary code
            raise self._unusable(error) from error
        log.warning("%s is damaged (%s); starting it anew", self.path, error)
        self._database.close()
        for name in (self.path, Path(f"{self.path}-journal")):  # an old journal would be replayed
            name.unlink(missing_ok=True)
        self._open()

    def _unusable(self, error: Exception) -> AffektError:
        return AffektError(
            f"the cache {self.path} cannot be used ({error}); "
            "make room there, or set AFFEKT_CACHE to another folder that you can write to"
        )

    def get(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """The rows that are there and whole; other keys are left out."""
        keys = list(dict.fromkeys(keys))
        found = {}
        try:
            for first in range(0, len(keys), CHUNK):
                chunk = keys[first : first + CHUNK]
                marks = ",".join("?" * len(chunk))
                query = f"SELECT key, crc, row FROM rows WHERE key IN ({marks})"
                for key, crc, row in self._database.execute(query, chunk):
                    if zlib.crc32(row) == crc:
                        found[key] = np.frombuffer(row, np.float32)
        except sqlite3.DatabaseError as e:
            self._rebuild(e)
        return found

    def put(self, rows: Mapping[str, np.ndarray]) -> None:
        """Keep all these rows, or none if the process is killed meanwhile."""
        blobs = {key: np.asarray(row, np.float32).tobytes() for key, row in rows.items()}
        values = [(key, zlib.crc32(blob), blob) for key, blob in blobs.items()]
        try:
            self._insert(values)
        except sqlite3.DatabaseError as e:
            self._rebuild(e)
            self._insert(values)

    def _insert(self, values: list[tuple[str, int, bytes]]) -> None:
        with self._database as database:
            database.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", values)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
