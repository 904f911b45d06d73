"""The recordings that somebody names: files, folders, lists of files, standard input."""

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path

from affekt.audio import ENDINGS
from affekt.corpora import rows
from affekt.corpora.files import files
from affekt.corpora.manifest import TABLES, cells
from affekt.errors import AudioError, CorpusError

# In a folder: what libsndfile reads, and what ffmpeg does where it is installed.
SOUNDS = (
    *ENDINGS,
    ".opus",
    ".aiff",
    ".aif",
    ".au",
    ".caf",
    ".m4a",
    ".aac",
    ".webm",
    ".mp4",
    ".wma",
)


STDIN = "-"


class Standard(BytesIO):
    """A sound file that came on standard input."""

    name = STDIN


def listed(given: Iterable[str], standard: Callable[[], bytes]) -> Iterator[str | Standard]:
    """Every recording, in order.

    Args:
        given: files; folders, for all recordings in them; tables with a column `file` or lists
            (.txt) of a file per line, relative to where they lie; or "-".
        standard: reads what "-" stands for.

    Raises:
        AffektError: a folder without recordings, or a table that names none.
    """
    for name in given:
        path = Path(name).expanduser()
        if not name:
            raise AudioError("an empty path; give a file, a folder or a list")
        if name == STDIN:
            yield Standard(standard())
        elif path.is_dir():
            yield from _inside(path)
        elif path.suffix.lower() in (*TABLES, ".txt") and path.is_file():
            yield from map(str, _rows(path))
        else:
            yield str(path)


def _inside(folder: Path) -> list[str]:
    if not (found := files(folder, SOUNDS)):
        raise AudioError(f"{folder}: no recording in it; give another folder, or files")
    return [str(path) for path in found]


def _rows(table: Path) -> list[Path]:
    """The files that a table or a list names."""
    if table.suffix.lower() == ".txt":
        try:
            lines = table.read_text(encoding="utf-8-sig").splitlines()
        except ValueError as e:
            raise CorpusError(f"{table}: no list of files, a path per line: {e}") from e
        found = [line.strip() for line in lines if line.strip()]
    else:
        found = [_file(table, line, row) for line, row in cells(table)]
    if not found:
        raise CorpusError(f"{table}: names no file")
    return [table.parent / Path(name).expanduser() for name in found]


def _file(table: Path, line: int, row: dict[str, str]) -> str:
    where = f"{table}, line {line}"
    column = next((name for name in rows.COLUMNS["audio"] if name in row), None)
    if column is None:
        expected = ", ".join(rows.COLUMNS["audio"])
        raise CorpusError(f"{where}: no column for the file; expected one of {expected}")
    if (found := rows.value(row, column)) is None:
        raise CorpusError(f"{where}: no file; name one or take the row out")
    for field in ("start", "end"):
        if any(rows.value(row, name) for name in rows.COLUMNS[field]):
            raise CorpusError(
                f"{where}: has a {field}, but recordings are judged as a whole; cut them, or take "
                "the column out"
            )
    return found
