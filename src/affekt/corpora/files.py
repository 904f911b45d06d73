"""The recordings under a folder, in the same order on every machine."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from affekt.audio import ENDINGS
from affekt.errors import CorpusError


def files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """Files under `folder` with one of the endings, sorted by path; hidden ones are left out.

    Archives made on a Mac hold a '._name.wav' beside every 'name.wav': hidden, and no audio.
    """
    return sorted(
        (p for p in _walk(folder) if p.suffix.lower() in endings),
        key=lambda p: p.relative_to(folder).as_posix(),
    )


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        yield from (Path(root, name) for name in names if not name.startswith("."))


def recordings(folder: Path) -> list[Path]:
    """Every .wav, .flac, .ogg and .mp3 under `folder`, sorted by path."""
    return files(folder, ENDINGS)


def named(folder: Path, pattern: str) -> list[tuple[Path, re.Match[str]]]:
    """The recordings whose name without its ending matches `pattern`, each with its match."""
    found = ((p, re.fullmatch(pattern, p.stem)) for p in recordings(folder))
    return [(p, match) for p, match in found if match]


def nothing(corpus: str, folder: Path, expected: str) -> CorpusError:
    """The error for a folder that does not hold what it should."""
    return CorpusError(f"no {corpus} under {folder}: expected {expected}")


def sibling(path: Path) -> Path:
    """`path`, or the file of the same name with another ending if only that exists."""
    if path.is_file():
        return path
    others = (path.with_suffix(e) for e in ENDINGS)
    return next((p for p in others if p.is_file()), path)
