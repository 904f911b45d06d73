"""Paired comparison of runs that judged the same utterances.

If two runs are equally good, it does not matter which of the two judged a speaker. The test swaps
their judgements for whole speakers, in every possible way (up to 2**12) or 10,000 random ones, and
counts how often the difference of the scores is at least as large as the one observed.

Axes: G clusters, U distinct rows, S swaps, F = K * K cells of a confusion matrix.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from affekt.errors import RunError
from affekt.evaluation import intervals, metrics
from affekt.types import Prediction

EXACT = 12  # clusters that can be swapped in every way: 4096
Utterance = tuple[str, str]  # corpus, id
Pair = tuple[str, str]  # the names of two runs
DRAWS = 10_000  # random swaps beyond
ALL_PAIRS = 15  # of six runs; of more pairs only the clearest are shown
CLEAREST = 10
EPS = 1e-12  # differences as close as this are equal: their sums are taken in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs over the same utterances: score of `a` minus score of `b`, with its doubt."""

    a: str
    b: str
    metric: str
    difference: float
    low: float  # bootstrap interval of the difference, clustered like the test
    high: float
    p: float  # two-sided
    adjusted: float  # p after Holm's correction; the same as p for a single comparison
    smallest: float  # the smallest p that so few clusters could give
    n: int  # utterances
    clusters: int
    unit: intervals.Unit
    exact: bool  # all swaps, or random ones


def compare(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    metric: str = "UA",
    *,
    names: tuple[str, str] = ("A", "B"),
    seed: int = 0,
) -> Comparison:
    """The paired test of two runs, which may have different numbers of seeds.

    Raises:
        RunError: the runs did not judge the same utterances with the same truth.
    """
    _refuse_unpaired(a, b, names)
    score = metrics.metric(metric)
    labels = metrics.classes([*a, *b])
    places, unit = _places(a)
    left, right = _matrices(a, places, labels), _matrices(b, places, labels)
    count, size = len(left), len(labels)

    def difference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return score(x.reshape(-1, size, size)) - score(y.reshape(-1, size, size))

    observed = float(difference(left.sum(0), right.sum(0))[0])
    p, smallest, exact = _permute(left, right, difference, seed=seed)
    low, high = -1.0, 1.0
    if count > 1:
        both = np.hstack([left, right])
        rows, weights = intervals.resample(both, draws=intervals.DRAWS, seed=seed)
        x, y = np.split(weights @ rows, 2, axis=1)
        low, high = intervals.bounds(difference(x, y), count, level=intervals.LEVEL)
    return Comparison(
        a=names[0], b=names[1], metric=metric, difference=observed, low=low, high=high,
        p=p, adjusted=p, smallest=smallest, exact=exact,
        n=metrics.distinct(a), clusters=count, unit=unit,
    )  # fmt: skip


def compare_all(
    runs: Mapping[str, Sequence[Prediction]],
    metric: str = "UA",
    *,
    keys: Mapping[Pair, str] | None = None,
) -> list[Comparison]:
    """Every pair of runs, with Holm's correction over the pairs.

    Args:
        keys: what sets a pair apart; then only pairs with a key are compared, each corrected for
            those of the same key.
    """
    chosen = [pair for pair in combinations(runs, 2) if keys is None or pair in keys]
    found = {(a, b): compare(runs[a], runs[b], metric, names=(a, b)) for a, b in chosen}
    families: dict[str, list[Pair]] = {}
    for pair in found:
        families.setdefault(keys[pair] if keys else "", []).append(pair)
    adjusted: dict[Pair, float] = {}
    for family in families.values():
        adjusted |= zip(family, holm([found[pair].p for pair in family]), strict=True)
    return [replace(test, adjusted=adjusted[pair]) for pair, test in found.items()]


def compare_alike(
    runs: Mapping[str, Sequence[Prediction]],
    metric: str = "UA",
    *,
    keys: Mapping[Pair, str] | None = None,
) -> list[Comparison]:
    """The pairs of runs that judged the same utterances, corrected within those, and each key."""
    alike: dict[frozenset[tuple[str, str]], dict[str, Sequence[Prediction]]] = {}
    for name, run in runs.items():
        alike.setdefault(frozenset(truths(run).items()), {})[name] = run
    return [pair for group in alike.values() for pair in compare_all(group, metric, keys=keys)]


def compare_by_corpus(
    runs: Mapping[str, Sequence[Prediction]],
    metric: str = "UA",
    *,
    keys: Mapping[Pair, str] | None = None,
) -> dict[str, list[Comparison]]:
    """Per corpus the pairs of runs that judged the same of its utterances, corrected within those.

    Args:
        keys: what sets a pair apart; then only pairs with a key are compared, each corrected for
            those of the same key. All are where a corpus has no such pair.
    """
    found = {}
    for corpus in dict.fromkeys(p.corpus for run in runs.values() for p in run):
        parts = {name: [p for p in run if p.corpus == corpus] for name, run in runs.items()}
        there = {name: part for name, part in parts.items() if part}
        kept = compare_alike(there, metric, keys=keys) if keys else []
        found[corpus] = kept or compare_alike(there, metric)
    return {corpus: pairs for corpus, pairs in found.items() if pairs}


def clearest(pairs: Sequence[Comparison]) -> list[Comparison]:
    """All pairs of few runs; of more runs the pairs with the smallest p."""
    if len(pairs) <= ALL_PAIRS:
        return list(pairs)
    return sorted(pairs, key=lambda pair: (pair.p, -abs(pair.difference)))[:CLEAREST]


def holm(pvalues: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's step-down procedure.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(pvalues)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(pvalues)), key=pvalues.__getitem__)):
        largest = max(largest, min(1.0, (len(pvalues) - rank) * pvalues[place]))
        adjusted[place] = largest
    return adjusted


def truths(predictions: Sequence[Prediction]) -> dict[str, str]:
    """The truth of every utterance: {'emodb:03a01Fa': 'happy'}."""
    return {f"{p.corpus}:{p.id}": p.truth for p in predictions}


def _refuse_unpaired(
    a: Sequence[Prediction], b: Sequence[Prediction], names: tuple[str, str]
) -> None:
    left, right = truths(a), truths(b)
    for one, other, name in ((left, right, names[0]), (right, left, names[1])):
        lone = sorted(set(one) - set(other))
        if lone:
            raise RunError(
                f"{names[0]} judged {len(left)} utterances, {names[1]} {len(right)}; {len(lone)} "
                f"only in {name}, such as {lone[0]}; compare runs over the same corpus and folds"
            )
    for key, truth in left.items():
        if truth != right[key]:
            raise RunError(
                f"{key} is {truth} in {names[0]} and {right[key]} in {names[1]}; "
                "compare runs with the same labels"
            )


def _places(predictions: Sequence[Prediction]) -> tuple[dict[Utterance, int], intervals.Unit]:
    """The number of the cluster of every utterance, the same in whatever order they come."""
    keys, unit = intervals.clusters(predictions)
    numbers = {key: n for n, key in enumerate(sorted(set(keys), key=str))}
    return {(p.corpus, p.id): numbers[k] for p, k in zip(predictions, keys, strict=True)}, unit


def _matrices(
    predictions: Sequence[Prediction], places: Mapping[Utterance, int], labels: list[str]
) -> Float[np.ndarray, "G F"]:
    """One confusion matrix per cluster.

    Each utterance weighs 1, however many seeds judged it, so that runs with 3 seeds and with 1
    can be swapped for each other.
    """
    keys = [(p.corpus, p.id) for p in predictions]
    times = Counter(keys)
    return metrics.tally(
        [(p.truth, p.label) for p in predictions],
        [places[key] for key in keys],
        labels,
        weights=[1 / times[key] for key in keys],
    ).reshape(-1, len(labels) ** 2)


def _permute(
    left: Float[np.ndarray, "G F"],
    right: Float[np.ndarray, "G F"],
    difference: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    seed: int,
) -> tuple[float, float, bool]:
    """The p-value, the smallest one attainable, and whether all swaps were tried."""
    observed = abs(float(difference(left.sum(0), right.sum(0))[0]))
    changes = right - left
    changes = changes[np.any(changes, axis=1)]  # to swap what is equal changes nothing
    exact = len(changes) <= EXACT
    if exact:
        swapped = (np.arange(2 ** len(changes))[:, None] >> np.arange(len(changes))) & 1
    else:
        changes, counts = intervals.merge(changes)
        swapped = np.random.default_rng(seed).binomial(counts, 0.5, size=(DRAWS, len(counts)))
    moved = swapped @ changes
    extreme = np.abs(difference(left.sum(0) + moved, right.sum(0) - moved)) >= observed - EPS
    if exact:
        return float(extreme.mean()), min(1.0, 2 / len(swapped)), True
    return (int(extreme.sum()) + 1) / (DRAWS + 1), 1 / (DRAWS + 1), False
