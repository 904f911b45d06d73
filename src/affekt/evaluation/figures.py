"""The pictures of one run, each made from what lies in its folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from affekt.errors import RunError
from affekt.evaluation import intervals, log, maps, metrics, plots, predictions, sides, svg
from affekt.evaluation.plots import Mark
from affekt.types import Prediction

SHAPES = {"UA": (svg.ACCENT, "dot"), "WA": (svg.WARM, "diamond")}


def draw(run: Path, judged: Sequence[Prediction]) -> dict[str, str]:
    """SVG texts by name; pictures that the run has no data for are left out."""
    labels = metrics.classes(judged)
    drawn = {"confusion": plots.confusion_matrix(metrics.pooled(judged), labels)}
    if len({p.fold for p in judged}) > 1:
        drawn["fold"] = folds(judged)
    if len({p.speaker for p in judged} - {None}) > 1:
        drawn["speaker"] = speakers(judged)
    for axis, panel in log.panels(log.read(run / "log.csv")).items():
        drawn[axis] = plots.curves(panel, axis=f"{axis} over epochs")
    embeddings = next(iter(sorted(run.glob("seed-*/fold-*/embeddings.npy"))), None)
    if embeddings:
        drawn["embeddings"] = embedding_map(embeddings, labels)
    return drawn | maps.side_maps(sides.read(run))


def folds(judged: Sequence[Prediction]) -> str:
    """UA and WA of every fold, small marks for its seeds, over the interval of the pooled UA."""
    rows: dict[str, list[Mark]] = {}
    for row in metrics.breakdown(judged, "fold"):
        name = str(row["name"])
        part = [p for p in judged if p.fold == name]
        by_seed = metrics.breakdown(part, "seed")
        rows[name] = [
            Mark(value=float(r[m]), colour=colour, shape=shape, size=size, lift=lift,
                 hint=f"{m} {float(r[m]):.3f}{said}")
            for m, lift in (("UA", 5.0), ("WA", -5.0))
            for colour, shape in (SHAPES[m],)
            for r, size, said in (
                *((r, 2.2, f", seed {r['name']}") for r in by_seed if len(by_seed) > 1),
                (row, 5.0, f", n = {row['n']}"),
            )
        ]  # fmt: skip
    pooled = intervals.interval(judged)
    legend = [(name, *SHAPES[name]) for name in SHAPES]
    return plots.strips(
        rows,
        axis="score; the band is the interval of the pooled UA",
        legend=legend,
        band=(pooled.low, pooled.value, pooled.high),
    )


def speakers(judged: Sequence[Prediction]) -> str:
    """The recall of each emotion for each speaker, and the speaker's UA as a tick."""
    labels = metrics.classes(judged)
    paint = svg.colours(labels)
    names, matrices = metrics.grouped(judged, [p.speaker or "unknown" for p in judged], labels)
    lifts = np.linspace(7, -7, len(labels))
    rows = {}
    for name, recalls, c in sorted(
        zip(names, metrics.recall(matrices), matrices, strict=True), key=lambda row: row[0]
    ):
        ua = float(metrics.unweighted_accuracy(c))
        tick = Mark(value=ua, colour=svg.INK, shape="tick", size=10, hint=f"UA {ua:.3f}")
        rows[name] = [tick] + [
            Mark(value=float(r), colour=paint[label], lift=float(lift), hint=f"{label} {r:.3f}")
            for label, r, lift in zip(labels, recalls, lifts, strict=True)
        ]
    legend = [*((label, paint[label], "dot") for label in labels), ("UA", svg.INK, "tick")]
    return plots.strips(rows, axis="recall", legend=legend)


def embedding_map(path: Path, labels: Sequence[str]) -> str:
    """The test utterances of the fold whose `embeddings.npy` this is."""
    judged = predictions.read(path.with_name("predictions.jsonl"))
    embeddings = np.load(path, allow_pickle=False)
    if embeddings.ndim != 2 or len(embeddings) != len(judged) or not np.isfinite(embeddings).all():
        raise RunError(
            f"{path} holds {embeddings.shape} numbers; expected finite ones, one row for each of "
            f"the {len(judged)} lines of predictions.jsonl; remove it or run again"
        )
    truth, label = [p.truth for p in judged], [p.label for p in judged]
    return maps.embedding_map(embeddings, truth, label, labels)
