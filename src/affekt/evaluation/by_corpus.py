"""The scores of a run on each of its corpora, and whether they were trained on.

A recipe may train on some of its corpora and test on all of them: the scores on the others are
those across corpora, and mostly across languages (Tang et al. 2023, arXiv:2311.13678, 4.4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from affekt.evaluation import intervals, metrics, pages, plots, svg
from affekt.evaluation.plots import Mark
from affekt.types import Prediction

TRAINED, UNTRAINED = "trained on", "not trained on"
SHAPES = {TRAINED: "dot", UNTRAINED: "ring"}
FEW = "target"  # the mark of a corpus of which some clips were trained on
SIGNS = {TRAINED: "", UNTRAINED: "○ "}
FEW_SIGN = "◎ "
SOME = "some clips trained on"
GAP = 9.0  # px between marks that stand in one row
Rows = Sequence[Mapping[str, Any]]  # of affekt.evaluation.table


def scores(
    judged: Sequence[Prediction], recipe: Mapping[str, Any], folds: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Per corpus: language, n, how it was trained on, UA and WA with their intervals.

    Args:
        judged: the predictions of a run.
        recipe: its recipe.
        folds: what its `folds.json` holds.
    """
    found = {}
    for name in dict.fromkeys(p.corpus for p in judged):
        part = [p for p in judged if p.corpus == name]
        found[name] = {
            "language": ", ".join(sorted({p.language for p in part if p.language})),
            "n": metrics.distinct(part),
            "training": training(name, recipe, folds),
        } | {metric: asdict(intervals.interval(part, metric)) for metric in ("UA", "WA")}
    return found


def training(corpus: str, recipe: Mapping[str, Any], folds: Sequence[Mapping[str, Any]]) -> str:
    """'trained on', 'not trained on', or '30 clips' if that is all it had in training.

    Folds tell what was trained on, for every protocol; without them the recipe does.
    """
    counts = [
        len({key for key in fold["train"] if key.startswith(f"{corpus}:")})
        for fold in folds
        if "train" in fold and any(key.startswith(f"{corpus}:") for key in fold["test"])
    ]
    wanted = recipe.get("train_on", [])
    if not counts:
        return TRAINED if corpus in wanted or not wanted else UNTRAINED
    least, shots = min(counts), recipe.get("few_shot", {}).get("shots", 0)
    if 0 < least <= shots and corpus not in wanted:
        return f"{least} clips"
    return TRAINED if least else UNTRAINED


def corpora(rows: Rows) -> list[str]:
    """The corpora of a table's rows as they first occur; none if no row holds several."""
    if all(len(row["by_corpus"]) < 2 for row in rows):
        return []
    return list(dict.fromkeys(name for row in rows for name in row["by_corpus"]))


def languages(rows: Rows) -> dict[str, str]:
    """The language of each of the `corpora`."""
    return {
        name: next(row["by_corpus"][name]["language"] for row in rows if name in row["by_corpus"])
        for name in corpora(rows)
    }


def paints(names: Sequence[str]) -> dict[str, str]:
    """A colour per corpus."""
    paints = (*plots.LINES, *svg.SPARE) * len(names)
    return dict(zip(names, paints, strict=False))


def shape(*trainings: str) -> str:
    """The mark of a corpus: full, hollow if one of the runs was not trained on it."""
    if UNTRAINED in trainings:
        return SHAPES[UNTRAINED]
    return SHAPES[TRAINED] if {*trainings} == {TRAINED} else FEW


def sign(training: str) -> str:
    """What stands before a score in a table: nothing if the corpus was trained on."""
    return SIGNS.get(training, FEW_SIGN)


def signs(rows: Rows) -> str:
    """What the signs of a table mean: '○ not trained on'; nothing if it has none."""
    return "; ".join(sign(words) + words for words in unlike(rows))


def unlike(rows: Rows) -> list[str]:
    """Not trained on, and some clips trained on, as far as a table has them."""
    said = {part["training"] for row in rows for part in row["by_corpus"].values()}
    return [UNTRAINED] * (UNTRAINED in said) + [SOME] * bool(said - SIGNS.keys())


def in_lines(label: str) -> str:
    r"""The label of a row, its values on lines of their own.

    >>> in_lines("(de-en, small)")
    'de-en\nsmall'
    """
    return label[1:-1].replace(", ", "\n") if label.startswith("(") else label


def lifts(count: int, gap: int | float = GAP) -> list[float]:
    """How far the marks of so many corpora stand from the middle, in px, the first farthest up."""
    return [float(gap * ((count - 1) / 2 - n)) for n in range(count)]


def height(count: int) -> float:
    """The height of a row with the marks of so many corpora, in px."""
    return max(plots.STEP, GAP * (count + 1.5))


def picture(rows: Rows) -> str:
    """The UA of every run on each corpus as a mark within its interval; none of one corpus."""
    names = corpora(rows)
    if not names:
        return ""
    paint = paints(names)
    marks: dict[str, list[Mark]] = {}
    for row in rows:
        marks[in_lines(row["label"])] = [
            mark(row["name"], name, row["by_corpus"][name], paint[name], lift=lift)
            for name, lift in zip(names, lifts(len(names)), strict=True)
            if name in row["by_corpus"]
        ]
    return plots.strips(
        marks,
        axis="UA on each corpus, with its 95 % interval",
        legend=legend(paint, rows),
        step=height(len(names)),
    )


def mark(
    run: str, corpus: str, found: Mapping[str, Any], colour: str, *, lift: int | float
) -> Mark:
    """The UA of a run on a corpus."""
    said = f"{run} on {corpus}, {found['training']}: "
    said += ", ".join(f"{metric} {pages.interval(found[metric])}" for metric in ("UA", "WA"))
    return Mark(
        value=found["UA"]["value"],
        colour=colour,
        shape=shape(found["training"]),
        lift=lift,
        span=(found["UA"]["low"], found["UA"]["high"]),
        hint=said,
    )


def legend(paint: Mapping[str, str], rows: Rows) -> list[svg.Entry]:
    """Corpora by colour; then what other marks than full ones mean, where there are such."""
    entries = [(name, colour, SHAPES[TRAINED]) for name, colour in paint.items()]
    return entries + [(words, svg.MUTED, shape(words)) for words in unlike(rows)]
