"""The log of a pre-training: `log.csv`, one row per step."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from affekt import disk
from affekt.evaluation import plots

Row = Mapping[str, float | int]

DRAWN = ("loss", "L1", "cosine", "unmasked", "contrastive", "diversity")  # how their names begin


def read(path: Path) -> list[dict[str, float]]:
    """The rows; none where there is no log."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    whole = [row for row in rows if None not in row.values()]  # a killed run may leave half a line
    return [{key: float(value) for key, value in row.items() if value} for row in whole]


def cut(path: Path, step: int) -> list[dict[str, float]]:
    """The rows up to a step; what stands behind it is removed from the file."""
    kept = [row for row in read(path) if row.get("step", step + 1) <= step]
    disk.write(path, _text(kept, head=True) if kept else "")
    return kept


def append(path: Path, rows: Sequence[Row]) -> None:
    """Write more rows; the first ones bring the names of the columns."""
    if rows:
        new = not path.is_file() or path.stat().st_size == 0
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write(_text(rows, head=new))


def _text(rows: Sequence[Row], *, head: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    if head:
        writer.writeheader()
    for row in rows:
        counted = {"step": int(row["step"])} if "step" in row else {}
        writer.writerow({**row, **counted})
    return text.getvalue()


def picture(rows: Sequence[Row]) -> str:
    """The losses over the steps, as SVG, of a thousand steps at most."""
    rows = rows[:: len(rows) // 1000 + 1]
    names = [name for name in rows[0] if name.split()[0] in DRAWN]
    panel = {n: {(0, ""): [(row["step"], row[n]) for row in rows if n in row]} for n in names}
    finite = {
        name: {key: [(x, y) for x, y in points if y == y] for key, points in runs.items()}
        for name, runs in panel.items()
    }
    drawn = plots.curves(finite, axis="step")
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
