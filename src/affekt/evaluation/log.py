"""The training log of a run: `log.csv` with the columns seed, fold, epoch, then any measures.

Where networks are trained per corpus there is a column for it, empty for what they share.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from affekt import disk
from affekt.errors import RunError
from affekt.evaluation.plots import Runs
from affekt.protocols.grouping import natural

KEYS = ("seed", "fold", "epoch")
CORPUS = "corpus"


def replace(path: Path, seed: int, fold: str, history: Iterable[Mapping[str, Any]]) -> None:
    """Put the epochs of one fold into the log, in place of what an earlier try left there."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [r for r in csv.DictReader(file) if (r["seed"], r["fold"]) != (str(seed), fold)]
    rows += [{"seed": seed, "fold": fold, **row} for row in history]
    rows.sort(key=lambda r: (int(r["seed"]), natural(r["fold"])))  # folds end in any order
    text = io.StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(key for row in rows for key in row), restval="")
    writer.writeheader()
    writer.writerows(rows)
    disk.write(path, text.getvalue())


def read(path: Path) -> dict[str, Runs]:
    """Each measure's (epoch, value) pairs by (seed, fold); empty where there is no log."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        names = list(rows.fieldnames or ())
        if not set(KEYS) <= set(names):
            raise RunError(f"{path} has the columns {names}; expected {', '.join(KEYS)}")
        return _measures(path, list(rows), [n for n in names if n not in (*KEYS, CORPUS)])


def _measures(path: Path, rows: Sequence[dict[str, str]], names: list[str]) -> dict[str, Runs]:
    """Of each corpus that has a network of its own a line, which begins with what all share."""
    own: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        if row.get(CORPUS):
            own.setdefault((row["seed"], row["fold"]), {})[row[CORPUS]] = None
    measures: dict[str, dict[tuple[int, str], list[tuple[float, float]]]] = {}
    for number, row in enumerate(rows, 2):
        fold = row["fold"]
        corpora = [row[CORPUS]] if row.get(CORPUS) else own.get((row["seed"], fold), [""])
        try:  # a measure that was not taken in this epoch is left blank
            found = {name: float(row[name]) for name in ("epoch", *names) if row[name]}
            keys = [(int(row["seed"]), f"{fold}, {c}" if c else fold) for c in corpora]
        except (ValueError, TypeError) as e:
            raise RunError(f"{path}, line {number}: {e}; remove it or run again") from e
        epoch = found.pop("epoch")
        for name, value in found.items():
            for key in keys:
                measures.setdefault(name, {}).setdefault(key, []).append((epoch, value))
    return {name: dict(measures[name]) for name in names if name in measures}


def panels(measures: dict[str, Runs]) -> dict[str, dict[str, Runs]]:
    """The measures by what they share an axis with: losses, and scores in [0, 1]."""
    losses = {name: runs for name, runs in measures.items() if name.endswith("loss")}
    scores = {n: r for n, r in measures.items() if n.rpartition("_")[2] in ("UA", "WA", "F1")}
    return {title: panel for title, panel in (("loss", losses), ("score", scores)) if panel}
