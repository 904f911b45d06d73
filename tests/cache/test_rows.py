import logging
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from affekt.cache import rows as module
from affekt.cache.rows import Rows
from affekt.errors import AffektError


@pytest.fixture
def rows(tmp_path):
    rows = Rows(tmp_path / "deep" / "rows.sqlite")
    yield rows
    rows.close()


def vectors(n, dim=88):
    values = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
    return {f"key{i}": row for i, row in enumerate(values)}


def test_rows_come_back_bit_for_bit_in_another_connection(rows):
    given = vectors(5)
    rows.put(given)
    again = Rows(rows.path)
    found = again.get(["key3", "nobody", "key0", "key3"])
    again.close()
    assert set(found) == {"key0", "key3"}
    assert all(np.array_equal(found[k], given[k]) for k in found)
    assert found["key0"].dtype == np.float32


def test_thousands_of_keys_are_read_in_a_moment(rows):
    given = vectors(5000)
    rows.put(given)
    begin = time.perf_counter()
    found = rows.get(given)
    assert time.perf_counter() - begin < 1.0  # some 15 ms on an idle core
    assert np.array_equal(np.stack(list(map(found.get, given))), np.stack(list(given.values())))


def test_the_later_row_of_a_key_wins(rows):
    rows.put({"a": np.zeros(3)})
    rows.put({"a": np.ones(3)})
    assert rows.get(["a"])["a"].tolist() == [1, 1, 1]


def test_a_failed_put_leaves_no_row(rows):
    with pytest.raises(ValueError, match="could not convert"):
        rows.put({"good": np.zeros(3), "bad": "text"})
    assert rows.get(["good", "bad"]) == {}


def test_a_file_that_is_no_database_is_started_anew_with_a_warning(tmp_path, caplog):
    path = tmp_path / "rows.sqlite"
    path.write_bytes(b"not a database, " * 500)
    with caplog.at_level(logging.WARNING):
        rows = Rows(path)
    rows.put(vectors(3))
    assert "damaged" in caplog.text
    assert len(rows.get(vectors(3))) == 3
    rows.close()


def overwritten(rows: Rows) -> Rows:
    """A database of 500 rows, opened again after all but its first page was overwritten."""
    rows.put(vectors(500))
    rows.close()
    whole = rows.path.read_bytes()
    rows.path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    return Rows(rows.path)


def test_a_database_with_overwritten_pages_is_started_anew_with_a_warning(rows, caplog):
    again = overwritten(rows)
    with caplog.at_level(logging.WARNING):
        assert again.get(vectors(500)) == {}
    assert "damaged" in caplog.text
    again.put(vectors(2))
    assert len(again.get(vectors(500))) == 2
    again.close()


def test_a_put_into_a_damaged_database_starts_it_anew_and_keeps_the_rows(rows, caplog):
    again = overwritten(rows)
    with caplog.at_level(logging.WARNING):
        again.put(vectors(2))
    assert "damaged" in caplog.text
    assert len(again.get(vectors(500))) == 2
    again.close()


def test_another_processs_long_write_is_an_error_that_says_what_would_do(rows, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    other = sqlite3.connect(rows.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(AffektError, match="database is locked"):
        Rows(rows.path).get(["a"])
    other.close()


def test_a_row_with_a_flipped_bit_counts_as_missing(rows):
    rows.put(vectors(2))
    other = sqlite3.connect(rows.path)
    with other:
        blob = bytearray(other.execute("SELECT row FROM rows WHERE key = 'key0'").fetchone()[0])
        blob[10] ^= 1
        other.execute("UPDATE rows SET row = ? WHERE key = 'key0'", (bytes(blob),))
    other.close()
    assert set(rows.get(["key0", "key1"])) == {"key1"}


def test_several_processes_write_at_once_and_lose_nothing(rows):
    script = (
        "import sys, numpy as np; from pathlib import Path; from affekt.cache.rows import Rows\n"
        "rows = Rows(Path(sys.argv[1]))\n"
        "for i in range(30): rows.put({f'{sys.argv[2]}-{i}': np.full(4, i)})\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(rows.path), name]) for name in "abc"
    ]
    assert [p.wait(timeout=60) for p in processes] == [0, 0, 0]
    assert len(rows.get(f"{name}-{i}" for name in "abc" for i in range(30))) == 90


def test_a_folder_that_cannot_be_made_says_what_would_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AffektError, match=r"rows\.sqlite cannot be used .* set AFFEKT_CACHE"):
        Rows(tmp_path / "file" / "rows.sqlite")
