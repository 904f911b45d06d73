"""Folds as data: folds.json, written and read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from affekt import disk
from affekt.errors import ProtocolError
from affekt.types import WHOLE, Corpus, Fold

SIDES = ("train", "dev", "test")


def to_json(folds: Sequence[Fold]) -> list[dict[str, Any]]:
    """The folds as plain data: names, what they share, and the keys of each side."""
    return [
        {"name": f.name, "sharing": f.sharing}
        | {side: [u.key for u in getattr(f, side)] for side in SIDES}
        for f in folds
    ]


def write(folds: Sequence[Fold], path: Path) -> None:
    """Write the folds as JSON."""
    disk.write_json(path, to_json(folds))


def saved(corpus: Corpus, *, path: str) -> list[Fold]:
    """The folds of an earlier run: `path` is its folds.json."""
    return read(Path(path).expanduser(), corpus)


def read(path: Path, corpus: Corpus) -> list[Fold]:
    """The folds that `write` wrote, on the utterances of this corpus.

    Raises:
        ProtocolError: not such a file, or the corpus lacks some of its utterances.
    """
    known = {u.key: u for u in corpus}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        sides = [{side: list(row[side]) for side in SIDES} for row in rows]
        given = [(row["name"], row["sharing"]) for row in rows]
        lacking = {key for row in sides for keys in row.values() for key in keys} - set(known)
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ProtocolError(f"{path}: no folds as affekt writes them ({e!r})") from e
    if lacking:
        raise ProtocolError(
            f"{path}: {corpus.name} lacks {len(lacking)} of its utterances, such as "
            f"{', '.join(sorted(lacking)[:5])}; read the same corpora with the same labels"
        )
    return [
        Fold(name=name, sharing=sharing, **{s: tuple(known[k] for k in row[s]) for s in SIDES})
        for (name, sharing), row in zip(given, sides, strict=True)
    ]


def whole(folds: Sequence[Fold], *, dev: bool) -> Fold:
    """All utterances of these folds to train on; with `dev` but for the dev side of the first."""
    chosen = folds[0].dev if dev else ()
    kept = {u.key for u in chosen}
    every = {u.key: u for fold in folds for side in SIDES for u in getattr(fold, side)}
    train = tuple(u for key, u in every.items() if key not in kept)
    sharing = "all" if {u.talker for u in train} & {u.talker for u in chosen} else "none"
    return Fold(name=WHOLE, train=train, dev=chosen, test=(), sharing=sharing)
