"""Several runs side by side: scores with intervals, and paired tests between them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from affekt import disk
from affekt.evaluation import (
    by_corpus,
    compare,
    differences,
    grid,
    maps,
    metrics,
    pages,
    plots,
    predictions,
    sides,
    svg,
)
from affekt.evaluation.compare import Comparison, Pair, clearest
from affekt.evaluation.expected import beside
from affekt.evaluation.report import read_json, scores, size
from affekt.types import Prediction

FEW_RUNS = 6  # so many confusion matrices and maps can be looked at

Runs = Mapping[str, Sequence[Prediction]]


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a table says, computed once for the page and the terminal."""

    title: str
    rows: list[dict[str, Any]]
    tests: list[Comparison]
    by_corpus: Mapping[str, list[Comparison]]  # none if no run holds several corpora
    keys: Mapping[Pair, str]  # of pairs whose recipes differ in one key alone
    judged: Runs
    folders: Mapping[str, Path]  # of the runs
    missing: Mapping[str, str] = field(default_factory=dict)  # runs that are not there, and why
    varied: Mapping[str, str] = field(default_factory=dict)  # of a grid: short name, dotted key
    notes: Sequence[str] = ()  # what to know of the whole table, under its title


def results(
    runs: Mapping[str, Path],
    folder: Path,
    title: str,
    *,
    missing: Mapping[str, str] | None = None,
    varied: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Results:
    """The table of runs, whose reports are linked as seen from `folder`.

    Args:
        runs: the folder of each run by the name that its row shall have.
        missing: why rows of the table have no run.
        varied: the keys of the recipes that a grid varies: {"heads": "pooling.heads"}.
        notes: sentences to stand under the title.

    Raises:
        RunError: the predictions of a run are missing, incomplete or not valid.
    """
    judged = {name: predictions.read(run) for name, run in runs.items()}
    rows = [
        row(name, judged[name], run, folder=folder, varied=varied) for name, run in runs.items()
    ]
    recipes = {name: predictions.read_recipe(run / "recipe.toml") for name, run in runs.items()}
    keys = differences.of_one_key(recipes, {row["name"]: row["varied"] for row in rows})
    several = by_corpus.corpora(rows)
    return Results(
        title=title,
        rows=rows,
        tests=compare.compare_alike(judged),
        by_corpus=compare.compare_by_corpus(judged, keys=keys) if several else {},
        keys=keys,
        judged=judged,
        folders=runs,
        missing=missing or {},
        varied=varied or {},
        notes=notes,
    )


def write(found: Results, folder: Path) -> Path:
    """Write `table.html`, `table.md` and `table.json` into `folder`; returns the first."""
    values: dict[str, Any] = {
        "title": found.title,
        "notes": list(found.notes),
        "rows": found.rows,
        "tests": _plain(found.tests),
        "tests_by_corpus": {c: _keyed(pairs, found.keys) for c, pairs in found.by_corpus.items()},
        "missing": dict(found.missing),
        "varied": dict(found.varied),
    }
    folder.mkdir(parents=True, exist_ok=True)
    disk.write(folder / "table.json", pages.dump(values))
    values |= {
        "clearest": _plain(clearest(found.tests)),
        "clearest_by_corpus": {
            c: _keyed(clearest(pairs), found.keys) for c, pairs in found.by_corpus.items()
        },
        "procedure": differences.procedure(found.by_corpus, found.keys),
        "corpora": by_corpus.languages(found.rows),
        "sign": by_corpus.sign,
        "signs": by_corpus.signs(found.rows),
        "label": {row["name"]: row["label"] for row in found.rows},
    }
    disk.write(folder / "table.md", pages.render("table.md.j2", **values))
    page = pages.render("table.html.j2", **values, **figures(found))
    return disk.write(folder / "table.html", page)


def _plain(pairs: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [asdict(pair) for pair in pairs]


def _keyed(pairs: Sequence[Comparison], keys: Mapping[Pair, str]) -> list[dict[str, Any]]:
    """The same with the one key of the recipes that sets each pair apart, if there is one."""
    return [asdict(pair) | {"key": keys.get((pair.a, pair.b))} for pair in pairs]


def row(
    name: str,
    judged: Sequence[Prediction],
    run: Path,
    *,
    folder: Path,
    varied: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One run as plain data: name, link to its report, sizes, scores, expected ones, seconds."""
    place = run / "report.html"
    link = Path(os.path.relpath(place, folder)).as_posix() if place.is_file() else None
    environment = read_json(run / "environment.json")
    recipe = predictions.read_recipe(run / "recipe.toml")
    found = scores(judged)
    return {
        "name": name,
        "label": label(name) if varied else name,
        "link": link,
        **size(judged),
        "scores": found,
        "by_corpus": by_corpus.scores(judged, recipe, read_json(run / "folds.json") or []),
        "sides": sides.numbers(sides.read(run)),
        "by_fold": {f["name"]: f["UA"] for f in metrics.breakdown(judged, "fold")},
        "beside": beside(recipe.get("expected", {}), found),
        "source": recipe.get("source", ""),
        "varied": _varied(name, recipe, varied or {}),
    } | {key: environment.get(key) for key in ("seconds", "commit", "processor", "threads")}


def _varied(name: str, recipe: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """The value of each varied key; of one that no recipe holds, `base`, as the row is called."""
    spelt = dict(part.split("=", 1) for part in name.split(",")) if keys else {}
    held = {short: grid.look(recipe, key) for short, key in keys.items()}
    return {short: spelt[short] if held[short] is None else held[short] for short in keys}


def label(name: str) -> str:
    """The name of a grid's row without its keys, which stand at the head of the column.

    >>> label("channel_dropout=0.25,label_smoothing=0")
    '(0.25, 0)'
    """
    values = [part.partition("=")[2] for part in name.split(",")]
    return f"({', '.join(values)})" if len(values) > 1 else values[0]


def figures(found: Results) -> dict[str, Any]:
    """SVG texts: scores of every run, lines over a grid, differences, maps, confusion matrices."""
    rows, lines = found.rows, grid.draw(found.rows, list(found.varied))
    few = found.folders if len(rows) <= FEW_RUNS else {}
    return {
        "figure": "" if lines else picture(rows),
        "lines": lines,
        "by_corpus_figure": "" if lines else by_corpus.picture(rows),
        "differences": differences.draw(found.by_corpus, found.keys, rows),
        "maps": {name: maps.side_maps(sides.read(folder)) for name, folder in few.items()},
        "confusions": {name: _confusion(found.judged[name]) for name in few},
    }


def _confusion(judged: Sequence[Prediction]) -> str:
    return plots.confusion_matrix(metrics.pooled(judged), metrics.classes(judged))


def picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """The UA and WA of every run as a mark within its interval."""
    marks = {}
    for one in rows:
        marks[by_corpus.in_lines(one["label"])] = [
            plots.Mark(
                value=i["value"],
                colour=colour,
                shape=shape,
                size=5,
                lift=lift,
                span=(i["low"], i["high"]),
                hint=f"{metric} {pages.interval(i)}",
            )
            for metric, colour, shape, lift in (
                ("UA", svg.ACCENT, "dot", 6.0),
                ("WA", svg.WARM, "diamond", -6.0),
            )
            for i in (one["scores"][metric],)
        ]
    legend = [("UA", svg.ACCENT, "dot"), ("WA", svg.WARM, "diamond")]
    return plots.strips(marks, axis="score, with its 95 % interval", legend=legend)
