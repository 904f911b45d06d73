"""A CSV, TSV or JSONL table with a row per utterance.

`file,emotion,speaker,gender` as nkululeko writes it, JSON lines of the same keys, or any table
whose columns are named with `columns`. Paths that are not absolute start at the table's folder.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from affekt.corpora import rows
from affekt.corpora.card import Card
from affekt.corpora.files import files
from affekt.errors import CorpusError
from affekt.types import Corpus, Utterance

TABLES = (".csv", ".tsv", ".jsonl")
CARD = Card(
    name="manifest",
    title="A table of one's own: CSV, TSV or JSONL",
    layout=("mine.csv: file,emotion,speaker,gender,start,end,text,session,language,part",),
    note='file and emotion are needed, the others not; columns = { emotion = "gold" } renames',
)


def read(
    folder: Path,
    *,
    columns: dict[str, str] | None = None,
    corpus: str | None = None,
    language: str | None = None,
) -> Corpus:
    """The utterances of a table.

    Args:
        folder: the table itself, or a folder that holds exactly one.
        columns: {field: column} for a table with names of its own.
        corpus: its name; the table's without the option.
        language: of rows that do not say.
    """
    table = _table(folder)
    name = corpus or table.stem
    found = utterances(table, name, columns)
    return Corpus(name, tuple(replace(u, language=u.language or language) for u in found))


def _table(folder: Path) -> Path:
    if folder.is_file():
        if folder.suffix.lower() in TABLES:
            return folder
        raise CorpusError(f"{folder}: a manifest is a {', '.join(TABLES)} file")
    found = [p for p in files(folder, TABLES) if p.parent == folder]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(p.name for p in found) or "none"
    raise CorpusError(
        f"{folder} should hold one .csv, .tsv or .jsonl table, found: {listed}; "
        "give the path of the table itself"
    )


def utterances(
    table: Path, corpus: str, chosen: Mapping[str, str] | None = None
) -> Iterator[Utterance]:
    """The rows of one table as utterances."""
    layouts: dict[tuple[str, ...], dict[str, str]] = {}  # lines of JSON may leave keys out
    for line, row in cells(table):
        where, present = f"{table}, line {line}", tuple(row)
        if present not in layouts:
            layouts[present] = rows.columns(present, str(table), chosen)
        using = layouts[present]
        file = rows.value(row, using["audio"])
        if file is None:
            raise CorpusError(f"{where}: no file; name one or take the row out")
        yield rows.utterance(row, using, audio=table.parent / file, where=where, corpus=corpus)
    if not layouts:
        raise CorpusError(f"{table} holds no row")


def cells(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and cells of every row of a CSV, TSV or JSONL file."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        try:
            if table.suffix.lower() == ".jsonl":
                for line, text in enumerate(file, 1):
                    if text.strip():
                        yield line, dict(json.loads(text))
                return
            delimiter = "\t" if table.suffix.lower() == ".tsv" else ","
            reader = csv.DictReader(file, delimiter=delimiter)
            for row in reader:
                yield reader.line_num, {k.strip(): v for k, v in row.items() if k}
        except (ValueError, TypeError, csv.Error) as e:
            raise CorpusError(f"{table} is not a readable {table.suffix} table: {e}") from e
