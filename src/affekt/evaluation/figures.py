"""The pictures of one run, each made from what lies in its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affekt.errors import RunError
from affekt.evaluation import intervals, log, maps, metrics, plots, predictions, sides, svg
from affekt.evaluation.plots import Mark, Point
from affekt.types import Prediction

SCALED = {
    "plain": ("as trained", svg.WARM, "diamond"),
    "scaled": ("with the temperature of dev", svg.ACCENT, "dot"),
}
FEW = 10  # predictions in a bin of confidence
SHAPES = {"UA": (svg.ACCENT, "dot"), "WA": (svg.WARM, "diamond")}


def draw(run: Path, judged: Sequence[Prediction], confidence: Mapping[str, Any]) -> dict[str, str]:
    """SVG texts by name; pictures that the run has no data for are left out.

    Args:
        run: its folder.
        judged: its predictions.
        confidence: what `affekt.evaluation.confidence` finds of them.
    """
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
    drawn |= {"reliability": reliability(confidence), "risk": risk(confidence)}
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


def reliability(confidence: Mapping[str, Any]) -> str:
    """Accuracy of labels by their probability; a mark is as large as its bin has utterances.

    The line leaves out bins of less than FEW: they say little.
    """
    series: dict[str, list[Point]] = {}
    loose: list[Point] = []
    for side, rows in confidence["reliability"].items():
        most = max(row["n"] for row in rows)
        series[side] = []
        for row in rows:
            size = 2.0 + 5.0 * (row["n"] / most) ** 0.5
            point = row["confidence"], _bin(row, SCALED[side], size)
            (series[side] if row["n"] >= FEW else loose).append(point)
    return plots.shares(
        series,
        across="confidence, mean of its bin",
        up="share that is right",
        legend=[SCALED[side] for side in series],
        loose=loose,
        square=True,
    )


def _bin(row: Mapping[str, Any], look: svg.Entry, size: float) -> Mark:
    said, right = row["confidence"], row["accuracy"]
    hint = f"said with {said:.3f}, right {right:.3f}, n = {row['n']}"
    return Mark(value=right, colour=look[1], shape=look[2], size=size, hint=hint)


def risk(confidence: Mapping[str, Any]) -> str:
    """The share of wrong labels among those answered, over the share that is answered."""
    series = {}
    for side, found in confidence["answered"].items():
        colour = SCALED[side][1]
        series[side] = [
            (coverage, Mark(value=wrong, colour=colour, hint="", size=0.0))
            for coverage, wrong in found["curve"]
        ]
    return plots.shares(
        series,
        across="share that is answered, the surest first",
        up="share that is wrong",
        legend=[SCALED[side] for side in series],
    )


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
