"""The training log of a run: `log.csv` with the columns seed, fold, epoch, then any measures.

Where networks are trained per corpus there is a column for it, empty for what they share.
"""

import csv
import io
from collections.abc import Iterable, Mapping
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
        try:
            return _measures(rows, [name for name in names if name not in (*KEYS, CORPUS)])
        except (ValueError, TypeError) as e:
            raise RunError(f"{path}, line {rows.line_num}: {e}; remove it or run again") from e


def _measures(rows: Iterable[dict[str, str]], names: list[str]) -> dict[str, Runs]:
    measures: dict[str, dict[tuple[int, str], list[tuple[float, float]]]] = {}
    for row in rows:
        line = ", ".join(filter(None, (row["fold"], row.get(CORPUS))))
        key, epoch = (int(row["seed"]), line), float(row["epoch"])
        for name in names:
            if row[name]:  # a measure that was not taken in this epoch is left blank
                point = epoch, float(row[name])
                measures.setdefault(name, {}).setdefault(key, []).append(point)
    return {name: dict(measures[name]) for name in names if name in measures}


def panels(measures: dict[str, Runs]) -> dict[str, dict[str, Runs]]:
    """The measures by what they share an axis with: losses, and scores in [0, 1]."""
    losses = {name: runs for name, runs in measures.items() if name.endswith("loss")}
    scores = {n: r for n, r in measures.items() if n.rpartition("_")[2] in ("UA", "WA", "F1")}
    return {title: panel for title, panel in (("loss", losses), ("score", scores)) if panel}
