"""Embeddings of the utterances that a run was trained and chosen on.

Where a recipe asks for them they lie beside the predictions of a fold: `embeddings-train.npy` and
`embeddings-dev.npy`, a row per utterance, and what the rows are in a JSON file of the same name.

Axes: N utterances, D dimensions of an embedding.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Num

from affekt.errors import RunError
from affekt.protocols.grouping import natural

SIDES = ("train", "dev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The utterances of one side of a fold, in the order of the rows of `embeddings`."""

    name: str
    embeddings: Num[np.ndarray, "N D"]
    keys: Sequence[str]
    truth: Sequence[str]
    language: Sequence[str | None]


def read(run: Path) -> list[Side]:
    """Train and dev of the first fold that has them, of the first seed; nothing without such.

    Raises:
        RunError: the files of a side do not fit each other.
    """
    folds = run.glob("seed-*/fold-*")
    for fold in sorted(folds, key=lambda fold: natural(fold.relative_to(run).as_posix())):
        places = {side: fold / f"embeddings-{side}.npy" for side in SIDES}
        found = [
            _side(side, path)
            for side, path in places.items()
            if path.is_file() and path.with_suffix(".json").is_file()
        ]
        if any(side.truth for side in found):
            return [side for side in found if side.truth]
    return []


def _side(name: str, path: Path) -> Side:
    embeddings = np.load(path, allow_pickle=False)
    beside = path.with_suffix(".json")
    try:
        rows = json.loads(beside.read_text(encoding="utf-8"))
        columns = [[row[key] for row in rows] for key in ("key", "truth", "language")]
    except (ValueError, KeyError, TypeError) as e:
        raise RunError(
            f"{beside} is not a list of utterances with 'key', 'truth' and 'language': {e!r}; "
            "remove it or run again"
        ) from e
    if embeddings.ndim != 2 or len(embeddings) != len(rows) or not np.isfinite(embeddings).all():
        raise RunError(
            f"{path} holds {embeddings.shape} numbers; expected finite ones, one row for each of "
            f"the {len(rows)} utterances of {beside.name}; remove it or run again"
        )
    keys, truth, language = columns
    return Side(name=name, embeddings=embeddings, keys=keys, truth=truth, language=language)


def numbers(sides: Sequence[Side]) -> list[dict[str, str | int | float]]:
    """Per side: its name, n, and how compact its classes are."""
    return [
        {
            "name": side.name,
            "n": len(side.truth),
            "within_over_total": within_over_total(side.embeddings, side.truth),
        }
        for side in sides
    ]


def within_over_total(embeddings: Num[np.ndarray, "N D"], truth: Sequence[str]) -> float:
    """tr(S_w) / tr(S_t): 0 if every class is one point, 1 if all classes have the same mean.

    S_w is the scatter of the embeddings around the means of their classes, S_t that around the
    mean of all: sums over utterances, so that a class weighs as much as it occurs. NaN where all
    embeddings are the same.

    >>> within_over_total(np.array([[0.0], [2.0], [6.0]]), ["sad", "sad", "angry"])
    0.10714285714285714
    """
    x, names = embeddings.astype(float), np.array(truth)
    total = _scatter(x)
    within = sum(_scatter(x[names == name]) for name in sorted(set(truth)))
    return within / total if total else float("nan")


def _scatter(x: Num[np.ndarray, "N D"]) -> float:
    """The trace of the scatter matrix: squared distances from the mean, summed."""
    return float(((x - x.mean(0)) ** 2).sum())
