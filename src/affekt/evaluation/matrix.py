"""Trained on some corpora, tested on each: scores, what other training cost, what more gave.

The page of `affekt matrix`. A row is a run, a column a corpus that all of them tested. In each
column every run is compared with one reference, the run trained on this corpus alone, or on all
corpora where no such run was asked for: paired tests over the same utterances, corrected by Holm's
procedure for the number of runs in the column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from affekt import disk
from affekt.evaluation import by_corpus, pages, plots, predictions, svg
from affekt.evaluation.by_corpus import TRAINED, UNTRAINED
from affekt.evaluation.compare import Comparison, compare, holm
from affekt.evaluation.plots import Mark
from affekt.evaluation.report import notes, read_json, size
from affekt.evaluation.table import row
from affekt.types import Prediction

PAINTS = {TRAINED: svg.ACCENT, UNTRAINED: svg.WARM}
LARGE, SMALL = 4.5, 2.4  # the mark of a mean, and of one of its runs

Trained = Mapping[str, Sequence[str]]  # the corpora that each row is trained on
Runs = Mapping[str, Sequence[Prediction]]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """What the page says, computed once for it and the terminal."""

    title: str
    trained: Trained  # of the rows that are missing, too
    rows: list[dict[str, Any]]  # of affekt.evaluation.table, those that ran
    corpora: dict[str, dict[str, Any]]  # the columns
    differences: dict[str, list[Comparison]]  # per column each run less the reference
    means: dict[str, list[dict[str, Any]]]  # per column, by the number of corpora in training
    missing: Mapping[str, str]  # why rows did not run


def results(
    runs: Mapping[str, Path],
    folder: Path,
    title: str,
    *,
    trained: Trained,
    missing: Mapping[str, str] | None = None,
) -> Matrix:
    """The matrix of runs, whose reports are linked as seen from `folder`.

    Args:
        runs: the folder of each run by the name of its row.
        trained: what every row is trained on, also one that has no run.
        missing: why rows have no run.

    Raises:
        RunError: the predictions of a run are missing, incomplete or not valid.
    """
    judged = {name: predictions.read(run) for name, run in runs.items()}
    rows = [row(name, judged[name], run, folder=folder) for name, run in runs.items()]
    for one in rows:
        for corpus, cell in one["by_corpus"].items():
            cell["unheard"] = unheard(_on(corpus, judged[one["name"]]))
    first = next(iter(runs))
    corpora = {
        corpus: {
            **column(_on(corpus, judged[first]), read_json(runs[first] / "folds.json") or []),
            "best": max(rows, key=lambda one: one["by_corpus"][corpus]["UA"]["value"])["name"],
            "reference": reference(corpus, trained),
        }
        for corpus in dict.fromkeys(name for some in trained.values() for name in some)
    }
    return Matrix(
        title=title,
        trained=trained,
        rows=rows,
        corpora=corpora,
        differences={c: differences(judged, c, of["reference"]) for c, of in corpora.items()},
        means={corpus: means(rows, corpus, trained) for corpus in corpora},
        missing=missing or {},
    )


def _on(corpus: str, judged: Sequence[Prediction]) -> list[Prediction]:
    return [p for p in judged if p.corpus == corpus]


def unheard(judged: Sequence[Prediction]) -> list[str]:
    """The emotions that no training utterance had: their recall is 0."""
    return sorted({p.truth for p in judged if p.truth not in p.probabilities})


def column(judged: Sequence[Prediction], folds: Any) -> dict[str, Any]:
    """What is the same for all runs on a corpus: language, sizes, classes, what to know of them."""
    return {
        "language": ", ".join(sorted({p.language for p in judged if p.language})),
        **{key: value for key, value in size(judged).items() if key != "seeds"},
        "classes": len({p.truth for p in judged}),
        "notes": notes(judged, folds),
    }


def reference(corpus: str, trained: Trained) -> str:
    """The row that is trained on this corpus alone, or else on most corpora.

    >>> reference("b", {"a": ["a"], "b": ["b"], "a+b": ["a", "b"]})
    'b'
    >>> reference("b", {"a+b": ["a", "b"], "b+c": ["b", "c"], "a+b+c": ["a", "b", "c"]})
    'a+b+c'
    """
    alone = next((name for name, some in trained.items() if list(some) == [corpus]), None)
    return alone or max(trained, key=lambda name: len(trained[name]))


def differences(judged: Runs, corpus: str, reference: str) -> list[Comparison]:
    """Each run less the reference on one corpus; none if the reference did not run."""
    parts = {name: _on(corpus, run) for name, run in judged.items()}
    pairs = [
        compare(part, parts[reference], names=(name, reference))
        for name, part in parts.items()
        if reference in parts and name != reference
    ]
    adjusted = holm([pair.p for pair in pairs])
    return [replace(pair, adjusted=p) for pair, p in zip(pairs, adjusted, strict=True)]


def means(rows: Sequence[Mapping[str, Any]], corpus: str, trained: Trained) -> list[dict[str, Any]]:
    """The mean UA on a corpus of the runs with it in training, and without it, by their size."""
    found: dict[tuple[int, bool], dict[str, float]] = {}
    for one in rows:
        some = trained[one["name"]]
        runs = found.setdefault((len(some), corpus in some), {})
        runs[one["name"]] = one["by_corpus"][corpus]["UA"]["value"]
    return [
        {
            "corpora": number,
            "training": TRAINED if inside else UNTRAINED,
            "UA": sum(runs.values()) / len(runs),
            "runs": runs,
        }
        for (number, inside), runs in sorted(found.items())
    ]


def write(found: Matrix, folder: Path) -> Path:
    """Write `matrix.html`, `matrix.md` and `matrix.json` into `folder`; returns the first."""
    values: dict[str, Any] = {
        "title": found.title,
        "corpora": found.corpora,
        "trained": {name: list(some) for name, some in found.trained.items()},
        "rows": found.rows,
        "differences": {c: [asdict(d) for d in pairs] for c, pairs in found.differences.items()},
        "means": found.means,
        "missing": dict(found.missing),
    }
    folder.mkdir(parents=True, exist_ok=True)
    disk.write(folder / "matrix.json", pages.dump(values))
    values |= {
        "row": {one["name"]: one for one in found.rows},
        "less": {c: {d.a: d for d in pairs} for c, pairs in found.differences.items()},
        "sign": by_corpus.sign,
        "unheard": any(c["unheard"] for one in found.rows for c in one["by_corpus"].values()),
        "seconds": sum(one["seconds"] or 0.0 for one in found.rows),
    }
    disk.write(folder / "matrix.md", pages.render("matrix.md.j2", **values))
    drawn = {corpus: picture(corpus, points) for corpus, points in found.means.items()}
    return disk.write(
        folder / "matrix.html", pages.render("matrix.html.j2", **values, pictures=drawn)
    )


def picture(corpus: str, points: Sequence[Mapping[str, Any]]) -> str:
    """The means over the number of corpora, a line with the corpus in training, one without.

    A small mark is a run, where a mean has several. Nothing if all runs have the same number.
    """
    if len({point["corpora"] for point in points}) < 2:
        return ""
    series: dict[str, list[plots.Point]] = {training: [] for training in PAINTS}
    loose: list[plots.Point] = []
    for point in points:
        number, training, runs = point["corpora"], point["training"], point["runs"]
        hint = f"{corpus} {training}: mean UA {pages.score(point['UA'])} of {', '.join(runs)}"
        series[training].append((number, _mark(point["UA"], training, hint)))
        if len(runs) > 1:
            loose += [
                (number, _mark(ua, training, f"{name}: UA {pages.score(ua)}", size=SMALL))
                for name, ua in runs.items()
            ]
    legend = [(f"{corpus} {words}", PAINTS[words], by_corpus.SHAPES[words]) for words in series]
    return plots.lines(series, axis="corpora in training", loose=loose, legend=legend)


def _mark(ua: int | float, training: str, hint: str, *, size: int | float = LARGE) -> Mark:
    shape = by_corpus.SHAPES[training]
    return Mark(value=ua, colour=PAINTS[training], shape=shape, size=size, hint=hint)
