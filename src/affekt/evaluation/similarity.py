"""How alike utterances of one emotion are to an encoder, layer by layer, and those of several.

Figure 4 of Xiang 2024 (arXiv:2411.19803): the cosine similarity of frames averaged over time.
Axes: N utterances, L layers, D channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import Float

from affekt import disk
from affekt.evaluation import pages, plots
from affekt.evaluation.plots import LINES, Mark

SIDES = ("train", "test")
POSITIVE, NEGATIVE = "positive", "negative"
SHAPES = {POSITIVE: "dot", NEGATIVE: "ring"}


@dataclass(frozen=True)
class Similarity:
    """The mean similarity of positive and of negative pairs in each layer, of one fold's side."""

    positive: list[float]
    negative: list[float]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What an encoder makes of pairs, by side, fold after fold."""

    name: str
    sides: Mapping[str, Sequence[Similarity]]

    def mean(self, side: str, kind: str) -> list[float]:
        """Of the folds, for each layer; `kind` is POSITIVE or NEGATIVE."""
        return [fmean(at) for at in zip(*(getattr(f, kind) for f in self.sides[side]), strict=True)]


def similarity(
    vectors: Float[np.ndarray, "N L D"], emotions: Sequence[str], corpora: Sequence[str]
) -> Similarity:
    """The mean cosine similarity of pairs as batches of arXiv:2411.19803 hold them.

    A positive pair are two utterances of one emotion, a negative one is an utterance of an emotion
    and one of any other. As in `ContrastiveBatches`, emotions weigh the same, and so do, for each
    of them, the corpora that either utterance may come from. All pairs are looked at, none is
    drawn: the mean over pairs is the product of sums of unit vectors.

    Args:
        vectors: frames averaged over time.
        emotions: of each utterance.
        corpora: likewise.

    Raises:
        ValueError: no two utterances share an emotion, or all do.
    """
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(min=1e-12)
    emotion, corpus = np.array(emotions), np.array(corpora)
    positive, negative = [], []
    for name in np.unique(emotion):
        has, hers, others = emotion == name, [], []
        for one in np.unique(corpus[has]):
            anchors = unit[has & (corpus == one)]
            for two in np.unique(corpus):
                same, other = unit[has & (corpus == two)], unit[~has & (corpus == two)]
                hers += [_between(anchors, same) if one != two else _within(anchors)]
                others += [_between(anchors, other)]
        positive += _mean(hers)
        negative += _mean(others)
    if not positive or not negative:
        raise ValueError("there are no pairs: all utterances share one emotion, or none do")
    return Similarity(np.mean(positive, 0).tolist(), np.mean(negative, 0).tolist())


def _mean(parts: list[Float[np.ndarray, " L"] | None]) -> list[Float[np.ndarray, " L"]]:
    found = [part for part in parts if part is not None]
    return [np.mean(found, axis=0)] if found else []


def _between(
    a: Float[np.ndarray, "A L D"], b: Float[np.ndarray, "B L D"]
) -> Float[np.ndarray, " L"] | None:
    """The mean similarity of one of `a` and one of `b`."""
    return (a.mean(axis=0) * b.mean(axis=0)).sum(axis=-1) if len(a) and len(b) else None


def _within(a: Float[np.ndarray, "A L D"]) -> Float[np.ndarray, " L"] | None:
    """The mean similarity of two different ones of `a`."""
    count = len(a)
    if count < 2:
        return None
    whole = np.square(a.sum(axis=0)).sum(axis=-1)
    return (whole - np.square(a).sum(axis=(0, 2))) / (count * (count - 1))


def write(curves: Sequence[Curves], folder: Path, title: str, *, pairs: str) -> Path:
    """`similarity.json`, `similarity.md` and `similarity.html` in `folder`; returns the last.

    Args:
        curves: of the encoders.
        folder: it is made if need be.
        title: of the page.
        pairs: a sentence about the corpora and folds behind them.
    """
    values: dict[str, Any] = {"title": title, "pairs": pairs, "rows": rows(curves)}
    folder.mkdir(parents=True, exist_ok=True)
    disk.write(folder / "similarity.json", pages.dump(values))
    told: dict[str, Any] = values | {"sides": SIDES}
    disk.write(folder / "similarity.md", pages.render("similarity.md.j2", **told))
    drawn = {side: picture(curves, side) for side in SIDES}
    page = pages.render("similarity.html.j2", pictures=drawn, **told)
    return disk.write(folder / "similarity.html", page)


def rows(curves: Sequence[Curves]) -> list[dict[str, Any]]:
    """A row per encoder and layer: for each side the means over folds, and what each fold gave."""
    made = []
    for of in curves:
        for layer in range(len(of.sides[SIDES[0]][0].positive)):
            row: dict[str, Any] = {"encoder": of.name, "layer": layer}
            for side, folds in of.sides.items():
                by_fold = {kind: [getattr(f, kind)[layer] for f in folds] for kind in SHAPES}
                positive, negative = (fmean(by_fold[kind]) for kind in SHAPES)
                row[side] = {
                    POSITIVE: positive,
                    NEGATIVE: negative,
                    "difference": positive - negative,
                    "folds": by_fold,
                }
            made.append(row)
    return made


def picture(curves: Sequence[Curves], side: str) -> str:
    """Figure 4: similarity over layers, a colour per encoder, full marks for positive pairs."""
    series, legend = {}, []
    for of, colour in zip(curves, LINES * len(curves), strict=False):
        for kind, shape in SHAPES.items():
            means = list(enumerate(of.mean(side, kind)))
            series[f"{of.name}, {kind}"] = [
                (layer, _mark(of, side, kind, layer, value, colour=colour))
                for layer, value in means
            ]
            legend.append((f"{of.name}: {kind}", colour, shape))
    return plots.lines(series, axis="layer", legend=legend)


def _mark(of: Curves, side: str, kind: str, layer: int, value: float, *, colour: str) -> Mark:
    spread = [getattr(fold, kind)[layer] for fold in of.sides[side]]
    said = f"{of.name}, layer {layer}, {kind} pairs of {side}: {value:.3f}"
    said += f", folds {min(spread):.3f} to {max(spread):.3f}" if len(spread) > 1 else ""
    span = (min(spread), max(spread)) if len(spread) > 1 else None
    return Mark(value=value, colour=colour, shape=SHAPES[kind], hint=said, span=span)
