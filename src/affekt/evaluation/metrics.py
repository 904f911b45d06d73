"""Scores, all of them from confusion matrices.

Axes: K classes, G groups; in a confusion matrix the rows are the truth, the columns the label
given. A score takes any leading axes and keeps them. Where it is not defined, it is NaN.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Num

from affekt.errors import RunError, choose
from affekt.labels import order
from affekt.types import Prediction

Confusion = Num[np.ndarray, "*lead K K"]
Score = Float[np.ndarray, "*lead"]
PerClass = Float[np.ndarray, "*lead K"]
Row = dict[str, str | int | float]
Key = TypeVar("Key", bound=Hashable)


def confusion(
    truth: Sequence[str], label: Sequence[str], labels: Sequence[str]
) -> Num[np.ndarray, "K K"]:
    """How often each class (row) was called each class (column), in the order of `labels`."""
    return tally(list(zip(truth, label, strict=True)), [0] * len(truth), labels)[0]


def tally(
    pairs: Sequence[tuple[str, str]],
    groups: Sequence[int],
    labels: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
) -> Num[np.ndarray, "G K K"]:
    """One confusion matrix per group of (truth, label) pairs; `groups` counts from 0."""
    place = {name: n for n, name in enumerate(labels)}
    size = len(place)
    try:
        cells = [place[truth] * size + place[label] for truth, label in pairs]
    except KeyError as e:
        raise RunError(f"label {e} is not among {list(labels)}") from e
    count = max(groups, default=0) + 1
    flat = np.asarray(groups, dtype=np.int64) * size**2 + np.asarray(cells, dtype=np.int64)
    return np.bincount(flat, weights, minlength=count * size**2).reshape(count, size, size)


def _hits(c: Confusion) -> Num[np.ndarray, "*lead K"]:
    return np.diagonal(c, axis1=-2, axis2=-1)


def _ratio(a: np.ndarray | np.number, b: np.ndarray | np.number) -> np.ndarray:
    """a / b, and NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=np.asarray(b) != 0)


def recall(c: Confusion) -> PerClass:
    """Per class: hits / how often it is the truth."""
    return _ratio(_hits(c), c.sum(-1))


def precision(c: Confusion) -> PerClass:
    """Per class: hits / how often it is the label given."""
    return _ratio(_hits(c), c.sum(-2))


def f1(c: Confusion) -> PerClass:
    """Per class: 2 hits / (how often it is the truth + how often it is the label given)."""
    return _ratio(2 * _hits(c), c.sum(-1) + c.sum(-2))


def _mean(values: PerClass, weights: Num[np.ndarray, "*lead K"]) -> Score:
    """The weighted mean over classes; one without weight does not count, NaN or not."""
    total = np.where(weights > 0, np.nan_to_num(values) * weights, 0.0).sum(-1)
    return _ratio(total, weights.sum(-1))


def unweighted_accuracy(c: Confusion) -> Score:
    """UA, also UAR, balanced accuracy: recall averaged over the classes that occur in truth.

    >>> float(unweighted_accuracy(np.array([[3, 0], [1, 0]])))
    0.5
    """
    return _mean(recall(c), (c.sum(-1) > 0).astype(float))


def weighted_accuracy(c: Confusion) -> Score:
    """WA, also WAR, accuracy: the share of utterances that are right.

    >>> float(weighted_accuracy(np.array([[3, 0], [1, 0]])))
    0.75
    """
    return _ratio(_hits(c).sum(-1), c.sum((-2, -1)))


def macro_f1(c: Confusion) -> Score:
    """Macro-F1: F1 averaged over the classes that occur in truth or among the labels given."""
    return _mean(f1(c), ((c.sum(-1) + c.sum(-2)) > 0).astype(float))


def weighted_f1(c: Confusion) -> Score:
    """WF1: F1 averaged over utterances, so that a class weighs as much as it occurs in truth."""
    return _mean(f1(c), c.sum(-1))


METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "UA": unweighted_accuracy,
    "WA": weighted_accuracy,
    "macro-F1": macro_f1,
    "WF1": weighted_f1,
}

BY: dict[str, Callable[[Prediction], str | int | None]] = {
    "seed": lambda p: p.seed,
    "fold": lambda p: p.fold,
    "speaker": lambda p: p.speaker,
    "gender": lambda p: p.gender,
    "language": lambda p: p.language,
    "corpus": lambda p: p.corpus,
}


def metric(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The score called UA, WA, macro-F1 or WF1."""
    return choose(METRICS, name, "metric", RunError)


def classes(predictions: Iterable[Prediction]) -> list[str]:
    """All classes that are judged or true, in the order of `affekt.labels`."""
    predictions = list(predictions)
    return order({p.truth for p in predictions}.union(*(p.probabilities for p in predictions)))


def grouped(
    predictions: Sequence[Prediction], keys: Sequence[Key], labels: Sequence[str]
) -> tuple[list[Key], Num[np.ndarray, "G K K"]]:
    """The distinct keys in the order of their first occurrence, each with its confusion matrix."""
    if not predictions:
        raise RunError("there are no predictions to score")
    place = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    pairs = [(p.truth, p.label) for p in predictions]
    return list(place), tally(pairs, [place[key] for key in keys], labels)


def pooled(predictions: Sequence[Prediction]) -> Num[np.ndarray, "K K"]:
    """The confusion matrix of all predictions, summed over folds and seeds."""
    labels = classes(predictions)
    return grouped(predictions, [0] * len(predictions), labels)[1][0]


def distinct(predictions: Iterable[Prediction]) -> int:
    """How many utterances were judged; those judged under several seeds count once."""
    return len({(p.corpus, p.id) for p in predictions})


def breakdown(predictions: Sequence[Prediction], by: str) -> list[Row]:
    """One row per seed, fold, speaker, gender, language or corpus: name, n, scores over all seeds.

    What nobody knows (`None`) is called 'unknown'.
    """
    key = choose(BY, by, "breakdown", RunError)
    keys = [key(p) for p in predictions]
    names, matrices = grouped(predictions, keys, classes(predictions))
    utterances: dict[Hashable, set[tuple[str, str]]] = {}
    for name, p in zip(keys, predictions, strict=True):
        utterances.setdefault(name, set()).add((p.corpus, p.id))
    scores = {title: score(matrices) for title, score in METRICS.items()}
    return [
        {"name": "unknown" if name is None else str(name), "n": len(utterances[name])}
        | {title: float(values[g]) for title, values in scores.items()}
        for g, name in enumerate(names)
    ]


def per_class(predictions: Sequence[Prediction]) -> list[Row]:
    """One row per class: name, n utterances, recall, precision, F1."""
    c = pooled(predictions)
    values = zip(classes(predictions), recall(c), precision(c), f1(c), strict=True)
    return [
        {"name": name, "n": distinct(p for p in predictions if p.truth == name)}
        | {"recall": float(r), "precision": float(s), "F1": float(f)}
        for name, r, s, f in values
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A score over the folds of a run."""

    mean: float
    deviation: float  # sample standard deviation (n - 1) over folds; NaN for a single fold
    seeds: float  # sample standard deviation of the mean over seeds; NaN for a single seed


def over_folds(predictions: Sequence[Prediction], name: str = "UA") -> Spread:
    """Mean and deviation over folds, taken within each seed and then averaged over the seeds.

    With one seed these are the 'mean (std)' of the literature; more seeds do not shrink the
    deviation, which stays that of the folds.
    """
    keys = [(p.seed, p.fold) for p in predictions]
    places, matrices = grouped(predictions, keys, classes(predictions))
    by_seed: dict[int, list[float]] = {}
    for (seed, _), value in zip(places, metric(name)(matrices), strict=True):
        by_seed.setdefault(seed, []).append(float(value))
    means = [float(np.mean(values)) for values in by_seed.values()]
    deviations = [_deviation(values) for values in by_seed.values()]
    return Spread(
        mean=float(np.mean(means)), deviation=float(np.mean(deviations)), seeds=_deviation(means)
    )


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
