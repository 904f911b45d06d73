"""Hugging Face-style columns in local parquet, arrow, csv or jsonl files.

What `hf download --repo-type dataset` or `Dataset.save_to_disk` leaves in a folder:
`data/train-00000-of-00001.parquet` with `audio` (bytes and path, or a path), `emotion` or `label`,
`speaker_id`, `gender`, `transcription`. The names of a ClassLabel come with the file.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affekt import cache as caches
from affekt.corpora import manifest, rows
from affekt.corpora.card import Card
from affekt.corpora.files import files, nothing
from affekt.errors import CorpusError
from affekt.types import Corpus, Utterance

if TYPE_CHECKING:
    import pyarrow as pa

CARD = Card(
    name="huggingface",
    title="A downloaded Hugging Face data set",
    source="https://huggingface.co/datasets",
    layout=("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
    note='names = ["angry", "happy"] for numbered labels without names',
)


def read(
    folder: Path,
    *,
    columns: dict[str, str] | None = None,
    names: list[str] | None = None,
    cache: str | None = None,
    corpus: str | None = None,
) -> Corpus:
    """The utterances of every table under a folder; audio inside a table is written out once.

    Args:
        folder: holds the tables.
        columns: {field: column} for a table with names of its own.
        names: of the labels, where a table numbers them and does not name them.
        cache: where audio is written; `audio` in affekt's own cache without it.
        corpus: its name; the folder's without the option.
    """
    tables = files(folder, (".parquet", ".arrow")) or files(folder, manifest.TABLES)
    if not tables:
        raise nothing("Hugging Face data set", folder, "*.parquet, *.arrow, *.csv or *.jsonl")
    name = corpus or folder.resolve().name
    kept = Path(cache).expanduser() if cache else caches.folder() / "audio"
    splits = {table: _split(table, folder) for table in tables}
    utterances: list[Utterance] = []
    for table in tables:
        if table.suffix.lower() in manifest.TABLES:
            found = manifest.utterances(table, name, columns)
        else:
            found = _utterances(table, columns or {}, names, cache=kept, corpus=name)
        if len(set(splits.values())) > 1:  # one split alone is called 'train' and divides nothing
            split = splits[table]
            part = rows.part(split, str(table))
            found = (replace(u, id=f"{split}/{u.id}", part=u.part or part) for u in found)
        utterances += found
    return Corpus(name, tuple(utterances))


def _split(table: Path, folder: Path) -> str | None:
    """The split that the name of a file or of a folder above it tells."""
    words = (table.stem.split("-")[0], *reversed(table.relative_to(folder).parts[:-1]))
    return next((w for w in words if w.casefold() in rows.PARTS), None)


def _utterances(
    table: Path,
    chosen: dict[str, str],
    names: list[str] | None,
    *,
    cache: Path,
    corpus: str,
) -> Iterator[Utterance]:
    schema, batches = _open(table)
    inside = [f.name for f in schema if f.name == "audio" and f.type.num_fields]
    # A path column beside the audio is often one of the author's machine.
    using = rows.columns(schema.names, str(table), {c: c for c in inside} | chosen)
    label = using["emotion"]
    names = _names(schema, label) or names
    for n, row in enumerate(row for batch in batches for row in batch.to_pylist()):
        where = f"{table}, row {n}"
        row[label] = _named(row[label], names, where)
        audio, row[using["audio"]] = _audio(row[using["audio"]], f"{table.stem}/{n}", table, cache)
        yield rows.utterance(row, using, audio=audio, where=where, corpus=corpus)


def _open(table: Path) -> "tuple[pa.Schema, Iterator[pa.RecordBatch]]":
    """The columns of a table, and its rows in small batches: recordings are large."""
    import pyarrow as pa
    from pyarrow import ipc, parquet

    try:
        if table.suffix.lower() == ".parquet":
            file = parquet.ParquetFile(table)
            return file.schema_arrow, file.iter_batches(batch_size=64)
        stream = ipc.open_stream(pa.memory_map(str(table)))
        return stream.schema, iter(stream)
    except (pa.ArrowInvalid, OSError) as e:
        raise CorpusError(f"{table} is not readable ({e}); download it again") from e


def _names(schema: "pa.Schema", label: str) -> list[str] | None:
    """The names of a ClassLabel, which the Hugging Face library keeps beside the columns."""
    kept = (schema.metadata or {}).get(b"huggingface")
    features = json.loads(kept).get("info", {}).get("features", {}) if kept else {}
    return features.get(label, {}).get("names")


def _named(label: Any, names: list[str] | None, where: str) -> Any:
    if not isinstance(label, int):
        return label
    if names is None:
        raise CorpusError(
            f"{where}: the label is the number {label} and the table does not name it; "
            'set names = ["angry", "happy", ...] in the order of the numbers'
        )
    if not 0 <= label < len(names):
        raise CorpusError(f"{where}: label {label}, but there are names for 0 to {len(names) - 1}")
    return names[label]


def _audio(cell: Any, name: str, table: Path, cache: Path) -> tuple[Path, str]:
    """The recording of a row, and what it is called there."""
    cell = cell if isinstance(cell, dict) else {"path": cell}
    called, content = cell.get("path"), cell.get("bytes")
    if content is None and not called:
        raise CorpusError(f"{table}, {name}: no audio; download the data set with its audio")
    if content is None:
        return table.parent / called, called
    suffix = Path(called or "").suffix or ".wav"
    # Named by its content: shared by all data sets, and written once whoever comes first.
    path = cache / f"{blake2b(content, digest_size=16).hexdigest()}{suffix}"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.part")
        partial.write_bytes(content)
        partial.replace(path)
    return path, called or name
