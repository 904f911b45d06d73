"""Divisions that other people's files describe: EmoBox jsonl, s3prl json, CSV."""

import csv
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from affekt.errors import ProtocolError
from affekt.protocols.grouping import natural
from affekt.types import Corpus, Utterance

log = logging.getLogger(__name__)

Side = Literal["train", "dev", "test"]
ALIASES: dict[str, Side] = {
    "train": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}
EMOBOX = re.compile(r"_(train|valid|test)_fold_?(\d+)\.jsonl$")
ENDING = re.compile(r"\.(wav|flac|ogg|mp3)$")
# An IEMOCAP turn: session, who wears the markers, dialogue, who talks, number.
IEMOCAP = re.compile(r"^(ses\d\d)[fm]_\w+_([fm])(?:xx)?\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A division as somebody else made it; unlike a Fold it refuses nothing."""

    name: str
    train: tuple[Utterance, ...] = ()
    dev: tuple[Utterance, ...] = ()
    test: tuple[Utterance, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One utterance on one side of one division, as a file names it."""

    split: str
    side: Side
    file: str  # a path, or an utterance's id
    speaker: str | None
    emotion: str | None


def read_splits(
    path: Path, corpus: Corpus | None = None, *, missing: Literal["refuse", "drop"] = "refuse"
) -> list[Split]:
    """The divisions that `path` describes.

    Args:
        path: EmoBox's folder of one corpus (fold_1/NAME_train_fold_1.jsonl), s3prl's meta_data
            (Session1/train_meta_data.json), or a CSV file with the columns file (or path, or id),
            split (or part), and optionally fold, speaker, emotion.
        corpus: where the named utterances are looked up, by id, then by path or file name.
            Without it their speakers are what the files say, or unknown.
        missing: 'drop' leaves out what the corpus lacks.

    Raises:
        ProtocolError: no such files, a damaged one, or an utterance that the corpus lacks or
            that could be several of its utterances.
    """
    entries = list(_entries(path))
    if not entries:
        raise ProtocolError(
            f"no split files in {path}: expected fold_1/NAME_train_fold_1.jsonl (EmoBox), "
            "Session1/train_meta_data.json (s3prl), or a CSV file with the columns file and split"
        )
    find = _unknown(path.stem) if corpus is None else _finder(corpus)
    sides: dict[str, dict[Side, dict[str, Utterance]]] = {}
    lacking = []
    for entry in entries:
        found = find(entry)
        if found is None:
            lacking.append(entry.file)
        else:  # a name given twice on one side counts once
            sides.setdefault(entry.split, {}).setdefault(entry.side, {})[found.key] = found
    if lacking and missing == "refuse":
        raise ProtocolError(
            f"{path} names {len(lacking)} of {len(entries)} utterance(s) that are not in "
            f"{corpus.name if corpus else path.stem}, such as {', '.join(lacking[:3])}; "
            'check the corpus and its labels, or set missing = "drop"'
        )
    if lacking:
        log.warning("%s: dropped %d of %d utterances", path, len(lacking), len(entries))
    return [
        Split(name=name, **{side: tuple(found.values()) for side, found in given.items()})
        for name, given in sorted(sides.items(), key=lambda item: natural(item[0]))
    ]


def _entries(path: Path) -> Iterator[_Entry]:
    readers: dict[Path, Callable[[Path], Iterator[_Entry]]] = {path: _csv} if path.is_file() else {}
    readers |= {f: _emobox for f in path.glob("fold_*/*.jsonl") if EMOBOX.search(f.name)}
    readers |= {f: _s3prl for f in path.glob("*/*_meta_data.json")}
    for file, reader in sorted(readers.items()):
        try:
            yield from reader(file)
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as e:
            raise ProtocolError(
                f"{file}: damaged, or not the kind of file its name says ({e!r})"
            ) from e


def _emobox(file: Path) -> Iterator[_Entry]:
    side, number = EMOBOX.findall(file.name)[0]
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield _Entry(number, ALIASES[side], row["wav"], row.get("speaker"), row["emo"])


def _s3prl(file: Path) -> Iterator[_Entry]:
    side = ALIASES[file.name.removesuffix("_meta_data.json")]
    for row in json.loads(file.read_text(encoding="utf-8"))["meta_data"]:
        # Its 'speaker' is who wears the markers in the dialogue, not who talks.
        yield _Entry(file.parent.name, side, row["path"], None, row["label"])


def _csv(file: Path) -> Iterator[_Entry]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines)
        columns = set(table.fieldnames or ())
        name = next((c for c in ("id", "file", "path") if c in columns), None)
        side = next((c for c in ("split", "part") if c in columns), None)
        if name is None or side is None:
            raise ProtocolError(
                f"{file}: needs a column file, path or id and a column split or part, "
                f"but has {', '.join(sorted(columns)) or 'none'}"
            )
        for number, row in enumerate(table, 2):
            if row[side] not in ALIASES:
                raise ProtocolError(
                    f"{file}, line {number}: {side} is '{row[side]}'; "
                    f"choose from {', '.join(ALIASES)}"
                )
            emotion = row.get("emotion") or row.get("label")
            fold = row.get("fold") or "1"
            yield _Entry(fold, ALIASES[row[side]], row[name], row.get("speaker") or None, emotion)


def _unknown(name: str) -> Callable[[_Entry], Utterance]:
    """What the entry itself says: all that can be known without the corpus."""

    def find(entry: _Entry) -> Utterance:
        """The utterance that an entry speaks of."""
        turn = IEMOCAP.match(_tail(entry.file)[0])
        return Utterance(
            id=entry.file,
            audio=Path(entry.file),
            emotion=entry.emotion or "unknown",
            corpus=name,
            speaker=(turn[1] + turn[2]).upper() if turn else entry.speaker,
        )

    return find


def _finder(corpus: Corpus) -> Callable[[_Entry], Utterance | None]:
    """Looks entries up by id, then by path."""
    by_id = {u.key: u for u in corpus} | {u.id: u for u in corpus}
    root = os.path.commonprefix([u.audio.parent.parts for u in corpus])
    tails = [_tail("/".join(u.audio.parts[len(root) :])) for u in corpus]
    by_stem: dict[str, list[tuple[tuple[str, ...], Utterance]]] = {}
    for tail, u in zip(tails, corpus, strict=True):
        by_stem.setdefault(tail[0], []).append((tail, u))
    # Where file names alone tell recordings apart, others' folders may differ from ours.
    telling = len(by_stem) == len(corpus)

    def find(entry: _Entry) -> Utterance | None:
        """The utterance that an entry means; nothing if the corpus has none."""
        if entry.file in by_id:
            return by_id[entry.file]
        tail = _tail(entry.file)
        found = [u for other, u in by_stem.get(tail[0], []) if telling or _same(tail, other)]
        if len(found) > 1:
            raise ProtocolError(
                f"'{entry.file}' could be {len(found)} utterances of {corpus.name}, such as "
                f"{found[0].key} and {found[1].key}; name utterances by their id"
            )
        return found[0] if found else None

    return find


def _tail(path: str) -> tuple[str, ...]:
    """The parts of a path from the last to the first, without the file's ending."""
    *folders, file = path.replace("\\", "/").casefold().split("/")
    return (ENDING.sub("", file), *reversed(folders))


def _same(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Whether two tails agree as far as both go."""
    return all(x == y for x, y in zip(a, b, strict=False))
