"""Several runs side by side: scores with intervals, and paired tests between them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from affekt import disk
from affekt.evaluation import compare, intervals, metrics, pages, plots, predictions, svg
from affekt.evaluation.report import read_json, scores, size
from affekt.types import Prediction


def table(runs: Mapping[str, Path], folder: Path, title: str) -> Path:
    """Write `table.html`, `table.md` and `table.json` into `folder`; returns the first.

    `runs` gives the folder of each run by the name that its row shall have.

    Raises:
        RunError: the predictions of a run are missing, incomplete or not valid.
    """
    judged = {name: predictions.read(run) for name, run in runs.items()}
    values = {
        "title": title,
        "rows": [row(name, judged[name], run, folder=folder) for name, run in runs.items()],
        "tests": [asdict(pair) for pair in tests(judged)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    disk.write(folder / "table.json", pages.dump(values))
    disk.write(folder / "table.md", pages.render("table.md.j2", **values))
    page = pages.render("table.html.j2", figure=picture(judged), **values)
    return disk.write(folder / "table.html", page)


def row(name: str, judged: Sequence[Prediction], run: Path, *, folder: Path) -> dict[str, Any]:
    """One run as plain data: name, link to its report, sizes, scores, expected ones, seconds."""
    place = run / "report.html"
    link = Path(os.path.relpath(place, folder)).as_posix() if place.is_file() else None
    environment = read_json(run / "environment.json")
    return {
        "name": name,
        "link": link,
        **size(judged),
        "scores": scores(judged),
        "by_fold": {f["name"]: f["UA"] for f in metrics.breakdown(judged, "fold")},
        "expected": predictions.read_recipe(run / "recipe.toml").get("expected", {}),
    } | {key: environment.get(key) for key in ("seconds", "commit", "processor", "threads")}


def tests(
    judged: Mapping[str, Sequence[Prediction]], metric: str = "UA"
) -> list[compare.Comparison]:
    """Paired tests among the runs that judged the same utterances, corrected within those."""
    alike: dict[frozenset[tuple[str, str]], dict[str, Sequence[Prediction]]] = {}
    for name, run in judged.items():
        alike.setdefault(frozenset(compare.truths(run).items()), {})[name] = run
    return [pair for group in alike.values() for pair in compare.compare_all(group, metric)]


def picture(judged: Mapping[str, Sequence[Prediction]]) -> str:
    """The UA and WA of every run as a mark within its interval."""
    rows = {}
    for name, run in judged.items():
        rows[name] = []
        for metric, colour, shape, lift in (
            ("UA", svg.ACCENT, "dot", 6.0),
            ("WA", svg.WARM, "diamond", -6.0),
        ):
            i = intervals.interval(run, metric)
            rows[name].append(
                plots.Mark(
                    value=i.value,
                    colour=colour,
                    shape=shape,
                    size=5,
                    lift=lift,
                    span=(i.low, i.high),
                    hint=f"{metric} {pages.interval(asdict(i))}",
                )  # fmt: skip
            )
    legend = [("UA", svg.ACCENT, "dot"), ("WA", svg.WARM, "diamond")]
    return plots.strips(rows, axis="score, with its 95 % interval", legend=legend)
