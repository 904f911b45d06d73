"""EmoBox metadata: JSON lines of key, dataset, wav, emo (Ma et al. 2024, arXiv 2406.07162).

`data/casia/casia.jsonl` or the folds beside it, such as
`data/casia/fold_1/casia_train_fold_1.jsonl`; the recordings lie at `downloads/casia/...` below the
folder that holds `data/`. The files do not say who speaks.
"""

import json
from pathlib import Path

from affekt.corpora import rows
from affekt.corpora.card import Card
from affekt.corpora.files import files, nothing
from affekt.corpora.manifest import cells
from affekt.errors import CorpusError
from affekt.types import Corpus, Utterance

CARD = Card(
    name="emobox",
    title="EmoBox jsonl",
    source="https://github.com/emo-box/EmoBox",
    layout=("data/casia/casia.jsonl", "data/casia/label_map.json", "downloads/casia/..."),
    note="no speakers; give a fold_N folder to read its train, valid and test files as parts",
)


def read(folder: Path, *, audio: str | None = None, language: str | None = None) -> Corpus:
    """The utterances of the .jsonl files in a folder, their labels merged by label_map.json.

    Args:
        folder: data/NAME, data/NAME/fold_N, or a single .jsonl file.
        audio: the folder that holds downloads/; without it every folder above is tried.
        language: of all recordings.
    """
    folder = folder.absolute()  # the folders above it are searched for the recordings
    tables = [folder]
    if folder.is_dir():
        tables = [p for p in files(folder, (".jsonl",)) if p.parent == folder]
    if not tables:
        raise nothing("EmoBox metadata", folder, "*.jsonl, such as casia.jsonl")
    merged = _label_map(tables[0].parent)
    downloads = Path(audio).expanduser() if audio else None
    utterances = tuple(
        _utterance(
            row,
            f"{table}, line {line}",
            table,
            downloads=downloads,
            merged=merged,
            language=language,
        )
        for table in tables
        for line, row in cells(table)
    )
    if not utterances:
        raise nothing("EmoBox metadata", folder, "at least one line of JSON")
    return Corpus(utterances[0].corpus, utterances)


def _label_map(folder: Path) -> dict[str, str]:
    found = [f / "label_map.json" for f in (folder, folder.parent)]
    path = next((p for p in found if p.is_file()), None)
    return json.loads(path.read_text(encoding="utf-8")) if path else {}


def _utterance(
    row: dict[str, object],
    where: str,
    table: Path,
    *,
    downloads: Path | None,
    merged: dict[str, str],
    language: str | None,
) -> Utterance:
    if lacking := {"key", "wav", "emo", "dataset"} - set(row):
        raise CorpusError(f"{where}: EmoBox lines have {', '.join(sorted(lacking))}, this has not")
    emotion = str(row["emo"])
    made = row | {"emo": merged.get(emotion, emotion), "language": language}
    # A fold's file says which part it is: casia_train_fold_1.jsonl. Single files say nothing.
    made["part"] = next((word for word in table.stem.split("_") if word in rows.PARTS), None)
    using = {"audio": "wav", "emotion": "emo", "id": "key", "part": "part", "language": "language"}
    if "start_time" in row:
        using |= {"start": "start_time", "end": "end_time"}
    wav = str(row["wav"])
    above = [downloads] if downloads else [table.parent, *table.parent.parents]
    found = (f / wav for f in above if (f / wav).is_file())
    return rows.utterance(
        made, using, audio=next(found, above[0] / wav), where=where, corpus=str(row["dataset"])
    )
