"""One row of somebody's table -> one Utterance, whatever the table calls its columns."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from affekt.errors import CorpusError
from affekt.labels import canonical
from affekt.types import Utterance

# Field of an Utterance: the columns it is read from; the first that a table has counts.
COLUMNS: dict[str, tuple[str, ...]] = {
    "audio": ("file", "audio", "path", "wav", "file_name", "filename", "wav_filename"),
    "emotion": ("emotion", "label", "emo"),
    "id": ("id", "key", "file_id"),
    "speaker": ("speaker", "speaker_id", "spk"),
    "gender": ("gender", "sex"),
    "start": ("start", "start_time"),
    "end": ("end", "end_time"),
    "text": ("text", "transcription", "transcript", "sentence"),
    "session": ("session",),
    "language": ("language", "lang"),
    "part": ("part", "split"),
}
GENDERS: dict[str, Literal["female", "male"]] = {
    **dict.fromkeys(("female", "f", "woman", "w", "weiblich"), "female"),
    **dict.fromkeys(("male", "m", "man", "männlich"), "male"),
}
PARTS: dict[str, Literal["train", "dev", "test"]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "devel", "development"), "dev"),
    **dict.fromkeys(("valid", "validation", "val", "evaluation", "eval"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
LANGUAGES = {
    **{"english": "en", "eng": "en", "german": "de", "deu": "de", "polish": "pl", "pol": "pl"},
    **{"mandarin": "zh", "chinese": "zh", "zho": "zh", "french": "fr", "fra": "fr"},
    **{"spanish": "es", "spa": "es", "italian": "it", "ita": "it"},
}
_EMPTY = {"", "nan", "nat", "none", "null", "<na>"}


def columns(
    present: Iterable[str], where: str, chosen: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Field -> the column that it is read from, for the fields that the table has.

    Args:
        present: the table's columns.
        where: the table, for the error.
        chosen: {field: column} for a table with names of its own.

    Raises:
        CorpusError: no column for the audio or the emotion, or one that looks misspelt.
    """
    present, chosen = list(present), dict(chosen or {})
    for field, column in chosen.items():
        if field not in COLUMNS or column not in present:
            raise CorpusError(
                f"{where}: columns says {field} = '{column}'; fields are {', '.join(COLUMNS)}, "
                f"the table has {', '.join(present)}"
            )
    found = {f: next((n for n in names if n in present), "") for f, names in COLUMNS.items()}
    found = {field: column for field, column in (found | chosen).items() if column}
    for field, names in COLUMNS.items():
        if field not in found:
            _refuse_misspelt(field, names, set(present) - set(found.values()), where)
    for field in ("audio", "emotion"):
        if field not in found:
            raise CorpusError(
                f"{where} has no column for the {field}: expected one of "
                f"{', '.join(COLUMNS[field])}, found {', '.join(present)}. Rename it, or set "
                f'columns = {{ {field} = "..." }}'
            )
    return found


def _refuse_misspelt(field: str, names: tuple[str, ...], spare: set[str], where: str) -> None:
    """A column 'speakr' must not be taken for a table without speakers."""
    for column in sorted(spare):
        close = difflib.get_close_matches(column.casefold(), names, n=1, cutoff=0.85)
        if close:
            raise CorpusError(
                f"{where}: column '{column}' is not known. Did you mean '{close[0]}'? Rename it, "
                f'or set columns = {{ {field} = "{column}" }}'
            )


def value(row: Mapping[str, Any], column: str | None) -> str | None:
    """A cell as text without blanks around it; None if it is empty in any spelling."""
    cell = row.get(column) if column else None
    text = "" if cell is None else str(cell).strip()
    return None if text.casefold() in _EMPTY else text


def utterance(
    row: Mapping[str, Any], using: Mapping[str, str], *, audio: Path, where: str, corpus: str
) -> Utterance:
    """The utterance of one row.

    Args:
        row: column -> cell.
        using: what `columns` gave.
        audio: the recording, already found; `using["audio"]` gives the id if there is no other.
        where: table and line, for errors.
        corpus: the corpus's name.
    """
    cell = {field: value(row, column) for field, column in using.items()}
    if cell["emotion"] is None:
        raise CorpusError(f"{where}: no emotion; label the row or take it out")
    start, end = seconds(cell.get("start"), where) or 0.0, seconds(cell.get("end"), where)
    if start < 0 or (end is not None and end <= start):
        raise CorpusError(f"{where}: start {start} s and end {end} s hold nothing between them")
    name = cell.get("id") or Path(cell["audio"] or audio).with_suffix("").as_posix()
    if not cell.get("id") and (start or end is not None):
        name += f"#{start:g}-{'' if end is None else f'{end:g}'}"
    language = cell.get("language")
    return Utterance(
        id=name,
        audio=audio,
        emotion=canonical(cell["emotion"], strict=False, where=where),
        corpus=corpus,
        start=start,
        end=end,
        speaker=cell.get("speaker"),
        gender=GENDERS.get((cell.get("gender") or "").casefold()),
        session=cell.get("session"),
        language=LANGUAGES.get(language.casefold(), language) if language else None,
        text=cell.get("text"),
        part=part(cell.get("part"), where),
    )


def part(name: str | None, where: str) -> Literal["train", "dev", "test"] | None:
    """The official part that `name` stands for."""
    if name is None or name.casefold() in PARTS:
        return None if name is None else PARTS[name.casefold()]
    raise CorpusError(f"{where}: part '{name}' is not known; use train, dev or test")


def seconds(cell: str | None, where: str) -> float | None:
    """Seconds from '1.5' or from the '0 days 00:00:01.5' that a data frame writes."""
    if cell is None:
        return None
    clock = re.fullmatch(r"(?:(\d+) days? )?(\d+):(\d\d):(\d\d(?:\.\d+)?)", cell)
    try:
        found = (
            float(cell)
            if not clock
            else float(clock[4])
            + 60 * (int(clock[3]) + 60 * (int(clock[2]) + 24 * int(clock[1] or 0)))
        )
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise CorpusError(f"{where}: '{cell}' is no time; write seconds, such as 1.25")
    return found
