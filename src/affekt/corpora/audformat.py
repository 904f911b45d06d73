"""An audformat database: `db.yaml` and its tables (https://audeering.github.io/audformat).

Needs the extra `affekt[audformat]`. Filewise and segmented tables; labels that a speaker scheme
holds, such as the gender, are found through it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from affekt.corpora import rows
from affekt.corpora.card import Card
from affekt.corpora.files import nothing
from affekt.errors import CorpusError, optional
from affekt.types import Corpus, Utterance

if TYPE_CHECKING:
    import audformat

CARD = Card(
    name="audformat",
    title="audformat database",
    source="https://audeering.github.io/audformat",
    layout=("db.yaml", "db.emotion.csv", "wav/03a01Fa.wav"),
    note='table = "emotion.categories.test.gold_standard" or scheme = "..." choose among several',
)
FIELDS = ("speaker", "gender", "language", "session", "text", "transcription", "split")


def read(
    folder: Path, *, scheme: str = "emotion", table: str | None = None, corpus: str | None = None
) -> Corpus:
    """The labelled utterances of a database; rows without a label are left out.

    Args:
        folder: holds db.yaml and the recordings.
        scheme: that the emotion is read from.
        table: where to look for it; everywhere without the option.
        corpus: its name; the database's without the option.
    """
    if not (folder / "db.yaml").is_file():
        raise nothing("audformat database", folder, "db.yaml and its tables")
    package = optional("audformat", "audformat")
    db = package.Database.load(str(folder), load_data=False, verbose=False)
    if table is not None and table not in db.tables:
        raise CorpusError(f"{folder} has no table '{table}'; it has {', '.join(db.tables)}")
    try:
        frame = db.get(scheme, _others(db, scheme), tables=table)
    except (ValueError, TypeError) as e:
        raise CorpusError(f"{folder}, scheme '{scheme}': {e} Choose one table with table") from e
    if frame.empty or scheme not in frame:
        found = ", ".join(db.schemes)
        raise CorpusError(f"{folder} has no labels of scheme '{scheme}'; its schemes: {found}")
    parts = _parts(db, scheme, table)
    name = corpus or db.name
    if len(db.languages) == 1 and "language" not in frame:
        frame["language"] = db.languages[0]
    labelled = frame[frame[scheme].notna()]
    return Corpus(
        name,
        tuple(
            _utterance(folder, index, row, scheme=scheme, parts=parts, corpus=name)
            for index, row in zip(labelled.index, labelled.to_dict("records"), strict=True)
        ),
    )


def _others(db: "audformat.Database", scheme: str) -> list[str]:
    """Those of FIELDS that the database knows: as a scheme, a column, or within a scheme."""
    known = set(db.schemes)
    for table in (*db.tables.values(), *db.misc_tables.values()):
        known |= set(table.columns)
    for s in db.schemes.values():
        if isinstance(s.labels, dict):
            known |= {
                key for entry in s.labels.values() if isinstance(entry, dict) for key in entry
            }
    return [field for field in FIELDS if field in known and field != scheme]


def _parts(db: "audformat.Database", scheme: str, table: str | None) -> dict[Any, str]:
    """The split of every labelled row, where the tables belong to splits."""
    parts = {}
    for name, t in db.tables.items():
        if t.split_id and table in (None, name):
            split = str(db.splits[t.split_id].type or t.split_id)
            columns = [c for c, column in t.columns.items() if scheme in (c, column.scheme_id)]
            for index in t.get().index if columns else ():
                parts[index[0] if t.is_segmented else index] = split
    return parts


def _utterance(
    folder: Path,
    index: Any,
    row: dict[str, Any],
    *,
    scheme: str,
    parts: dict[Any, str],
    corpus: str,
) -> Utterance:
    file, start, end = index if isinstance(index, tuple) else (index, None, None)
    using = {f: f for f in (*FIELDS[:5], "transcription") if f in row}
    using |= {"audio": "file", "emotion": scheme, "start": "start", "end": "end", "part": "part"}
    if "transcription" in using:
        using["text"] = using.pop("transcription")
    made = row | {"file": file, "start": start, "end": end}
    made["part"] = row.get("split") or parts.get(file)
    return rows.utterance(
        made, using, audio=folder / file, where=f"{folder}, {file}", corpus=corpus
    )
