"""How far probabilities can be believed: temperature scaling, and the errors of calibration.

Guo et al. 2017 (arXiv:1706.04599): softmax(z / T) of logits z, T fitted on a dev side. A softmax
forgets a constant, so that the logarithms of probabilities serve as logits.

Probabilities in files have six digits: one of 0 is taken for FLOOR, half of the last digit, if the
class is one of the model's. An emotion that is none of them has probability 0 and cannot be told:
such an utterance is an error, costs -ln(FLOOR) in likelihood, and says nothing of T.

Axes: N predictions, K classes of all models together, B bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from affekt.errors import RunError
from affekt.evaluation import metrics
from affekt.types import Prediction

FLOOR = 0.5e-6
RANGE = 0.05, 20.0  # where a temperature is looked for
HALVINGS = 60  # of that range
BINS = 15  # of Guo et al. 2017
DRAWS = 100  # of what chance alone does


@dataclass(frozen=True)
class Chances:
    """Predictions as numbers."""

    logs: Float[np.ndarray, "N K"]  # ln p; minus infinity for a class that is none of the model's
    truth: Int[np.ndarray, " N"]  # places of classes
    label: Int[np.ndarray, " N"]

    @property
    def p(self) -> Float[np.ndarray, "N K"]:
        """Probabilities; the rows sum up to 1."""
        return np.exp(self.logs)

    @property
    def confidence(self) -> Float[np.ndarray, " N"]:
        """The probability of the label given."""
        return np.exp(self.logs[np.arange(len(self.label)), self.label])

    @property
    def right(self) -> Bool[np.ndarray, " N"]:
        """Whether the label is the truth."""
        return self.label == self.truth


def chances(judged: Sequence[Prediction]) -> Chances:
    """Predictions as numbers, their classes in the order of `affekt.labels`.

    Raises:
        RunError: there are no predictions.
    """
    if not judged:
        raise RunError("there are no predictions whose confidence could be measured")
    place = {name: n for n, name in enumerate(metrics.classes(judged))}
    p = np.zeros((len(judged), len(place)))
    for row, said in zip(p, judged, strict=True):
        for name, value in said.probabilities.items():
            row[place[name]] = max(value, FLOOR)
    with np.errstate(divide="ignore"):
        logs = np.log(p / p.sum(axis=1, keepdims=True))
    truth = np.array([place[said.truth] for said in judged])
    return Chances(logs, truth, np.array([place[said.label] for said in judged]))


def temperature(judged: Sequence[Prediction]) -> float:
    """T that makes the truth of these predictions likeliest, in RANGE.

    mean(ln sum_k exp(z_k / T) - z_y / T) over the utterances, z = ln p and y the truth, is convex
    in 1 / T: its slope is halved to zero. 1.0 where there is nothing to fit, that is if no
    utterance's truth is a class of its model, or if none is likelier than the truth anywhere: then
    a smaller T would always be better.
    """
    if not judged:
        return 1.0
    found = chances(judged)
    every = np.arange(len(found.truth))
    known = np.isfinite(found.logs[every, found.truth])
    # A class that the model has not: so unlikely that it weighs nothing at any T in RANGE.
    z = np.maximum(found.logs[known], -1e5)
    right = z[np.arange(len(z)), found.truth[known]]
    if not len(z) or (right >= z.max(axis=1)).all():
        return 1.0
    low, high = np.log(RANGE)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        p = _softmax(z * np.exp(-middle))
        slope = float(((p * z).sum(axis=1) - right).mean())  # by 1 / T
        low, high = (middle, high) if slope > 0 else (low, middle)
    return float(np.exp((low + high) / 2))


def _softmax(z: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N K"]:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def scaled(judged: Sequence[Prediction], temperature: float) -> list[Prediction]:
    """The predictions with softmax(ln p / T) as probabilities; labels stay what they are."""
    if not judged:
        return []
    if not temperature > 0:
        raise RunError(f"a temperature is above 0, but got {temperature:g}; 1 changes nothing")
    p = _softmax(chances(judged).logs / temperature)
    place = {name: n for n, name in enumerate(metrics.classes(judged))}
    return [
        replace(said, probabilities={k: float(row[place[k]]) for k in said.probabilities})
        for said, row in zip(judged, p, strict=True)
    ]


def likelihood(found: Chances) -> Float[np.ndarray, " N"]:
    """-ln p of the truth; NLL is its mean."""
    logs = found.logs[np.arange(len(found.truth)), found.truth]
    return -np.maximum(logs, np.log(FLOOR))


def squares(found: Chances) -> Float[np.ndarray, " N"]:
    """sum_k (p_k - [k is the truth])^2, from 0 to 2; the Brier score is its mean."""
    target = np.zeros_like(found.logs)
    target[np.arange(len(target)), found.truth] = 1.0
    return ((found.p - target) ** 2).sum(axis=1)


def bins(found: Chances, count: int = BINS) -> Int[np.ndarray, " N"]:
    """The bin of every confidence: b holds those in (b / count, (b + 1) / count]."""
    return np.clip(np.ceil(found.confidence * count).astype(int) - 1, 0, count - 1)


def nll(judged: Sequence[Prediction]) -> float:
    """Negative log likelihood: mean of -ln p of the truth."""
    return float(likelihood(chances(judged)).mean())


def brier(judged: Sequence[Prediction]) -> float:
    """Brier score: mean over utterances of sum_k (p_k - [k is the truth])^2, from 0 to 2."""
    return float(squares(chances(judged)).mean())


def ece(judged: Sequence[Prediction], count: int = BINS) -> float:
    """Expected calibration error: sum_b n_b / N |accuracy_b - confidence_b|.

    Utterances of which the label's probability lies in the same of `count` bins of equal width are
    taken together: n_b so many of N, the share of them that is right, the mean probability.
    """
    rows = reliability(judged, count)
    gaps = [row["n"] * abs(row["accuracy"] - row["confidence"]) for row in rows]
    return float(sum(gaps) / len(judged))


def ece_by_chance(
    judged: Sequence[Prediction], count: int = BINS, *, draws: int = DRAWS, seed: int = 0
) -> float:
    """The ECE to expect although every confidence is exactly true, as there are so few predictions.

    The mean over draws in which a label is right with the probability that it was given.
    """
    found, rng = chances(judged), np.random.default_rng(seed)
    here = np.eye(count)[bins(found, count)]
    gaps = [((rng.random(len(here)) < found.confidence) - found.confidence) @ here
            for _ in range(draws)]  # fmt: skip
    return float(np.abs(gaps).sum(axis=1).mean() / len(judged))


def reliability(judged: Sequence[Prediction], count: int = BINS) -> list[dict[str, float]]:
    """Per bin that is not empty: `low`, `high`, `n`, mean `confidence`, `accuracy`."""
    found = chances(judged)
    place = bins(found, count)
    rows = []
    for b in sorted({*place.tolist()}):
        here = place == b
        rows.append({
            "low": b / count,
            "high": (b + 1) / count,
            "n": int(here.sum()),
            "confidence": float(found.confidence[here].mean()),
            "accuracy": float(found.right[here].mean()),
        })  # fmt: skip
    return rows
