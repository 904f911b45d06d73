"""The report of a run: every number computed anew from its predictions.

A run folder holds `recipe.toml`, `environment.json`, `corpus.json`, `folds.json`, `log.csv` and
`seed-S/fold-NAME/{predictions.jsonl,dev.jsonl,embeddings.npy}`. Only predictions.jsonl is
indispensable.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from affekt import disk
from affekt.errors import RunError
from affekt.evaluation import (
    by_corpus,
    confidence,
    figures,
    genders,
    intervals,
    metrics,
    pages,
    predictions,
    sides,
)
from affekt.evaluation.expected import beside
from affekt.types import Prediction

BREAKDOWNS = ("seed", "fold", "speaker", "gender", "language", "corpus")
SHARING = {
    "all": "Train and test share speakers: the scores hold for speakers that were trained on, "
    "not for new ones.",
    "dev": "Train and dev share speakers, as the protocol's name says; the test speakers are new.",
}


def report(run: Path) -> Path:
    """Write `report.html`, `report.md` and `report.json` into the run folder; returns the first.

    Raises:
        RunError: the predictions are missing, incomplete or not valid.
    """
    judged = predictions.read(run)
    values = numbers(run, judged)
    recipe = _text(run / "recipe.toml")
    disk.write(run / "report.json", pages.dump(values))
    disk.write(run / "report.md", pages.render("report.md.j2", recipe=recipe, **values))
    drawn = figures.draw(run, judged, values["confidence"])
    page = pages.render("report.html.j2", recipe=recipe, figures=drawn, **values)
    return disk.write(run / "report.html", page)


def numbers(run: Path, judged: Sequence[Prediction]) -> dict[str, Any]:
    """Everything that `report.json` holds, as plain data."""
    environment = read_json(run / "environment.json")
    recipe = predictions.read_recipe(run / "recipe.toml")
    folds = read_json(run / "folds.json") or []
    rows = {by: metrics.breakdown(judged, by) for by in BREAKDOWNS}
    found = scores(judged)
    return {
        "run": run.resolve().name,
        "title": recipe.get("title") or run.resolve().name,
        "headline": headline(judged, commit=environment.get("commit")),
        "scores": found,
        **size(judged),
        "labels": metrics.classes(judged),
        "confusion": metrics.pooled(judged).tolist(),
        "classes": metrics.per_class(judged),
        "by": {by: r for by, r in rows.items() if len(r) > 1},
        "genders": genders.numbers(judged),
        "confidence": confidence.numbers(run, judged, folds),
        "by_corpus": by_corpus.scores(judged, recipe, folds),
        "sides": sides.numbers(sides.read(run)),
        "notes": notes(judged, folds),
        "protocol": recipe.get("protocol"),
        "beside": beside(recipe.get("expected", {}), found),
        "source": recipe.get("source", ""),
        "corpus": {"corpora": [], "skipped": [], "notes": []} | read_json(run / "corpus.json"),
        "environment": environment,
    }


def size(judged: Sequence[Prediction]) -> dict[str, Any]:
    """How much was judged: n utterances, folds, seeds, speakers, clusters of the intervals."""
    keys, unit = intervals.clusters(judged)
    return {
        "n": metrics.distinct(judged),
        "folds": len({p.fold for p in judged}),
        "seeds": len({p.seed for p in judged}),
        "speakers": len({p.speaker for p in judged} - {None}),
        "clusters": len(set(keys)),
        "unit": unit,
    }


def scores(judged: Sequence[Prediction]) -> dict[str, dict[str, float]]:
    """Each metric pooled over folds and seeds with its interval, and its spread over folds."""
    return {
        name: asdict(intervals.interval(judged, name))
        | {f"fold_{k}": v for k, v in asdict(metrics.over_folds(judged, name)).items()}
        for name in metrics.METRICS
    }


def headline(judged: Sequence[Prediction], *, commit: str | None = None) -> str:
    """'UA 0.742 [0.721, 0.763], WA ..., n = 339, 5 folds x 3 seeds, 10 speakers, commit abc1234'"""
    pooled = {name: asdict(intervals.interval(judged, name)) for name in ("UA", "WA")}
    said = [f"{name} {pages.interval(value)}" for name, value in pooled.items()]
    s = size(judged)
    counts = [_count(s["folds"], "fold") + " x " + _count(s["seeds"], "seed")]
    counts += [_count(s["speakers"], "speaker")] if s["speakers"] else []
    counts += [f"commit {commit[:7]}"] if commit else []
    return ", ".join([*said, f"n = {s['n']}", *counts])


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def notes(judged: Sequence[Prediction], folds: Any) -> list[str]:
    """What a reader must know before believing the numbers."""
    s = size(judged)
    said = []
    if s["unit"] == "utterance":
        said.append(
            f"{'Only one speaker is' if s['speakers'] else 'No speaker is'} known: the intervals "
            "take each utterance for itself, and are too narrow if one speaker said several."
        )
    elif s["speakers"] < intervals.FEW_SPEAKERS:
        said.append(
            f"Only {s['speakers']} speakers: the intervals are widened for so few, but approximate."
        )
    heard: dict[str, set[str | None]] = {}
    for p in judged:
        heard.setdefault(p.corpus, set()).add(p.speaker)
    if alone := sorted(c for c, who in heard.items() if len(who - {None}) == 1 < len(heard)):
        said.append(
            f"Only one speaker of {', '.join(alone)} is tested: the interval of that corpus takes "
            "each utterance for itself, and is too narrow."
        )
    nobody = metrics.distinct(p for p in judged if p.speaker is None)
    if nobody and s["unit"] == "speaker":
        said.append(
            f"{nobody} of {s['n']} utterances have no known speaker; the intervals take each of "
            "them for itself, and are too narrow if one speaker said several."
        )
    shared = {fold.get("sharing", "none") for fold in folds}
    said += [words for sharing, words in SHARING.items() if sharing in shared]
    return said


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def read_json(path: Path) -> Any:
    """What the file holds; nothing where there is none."""
    try:
        return json.loads(_text(path) or "{}")
    except ValueError as e:
        raise RunError(f"{path} is not JSON: {e}; run again") from e
