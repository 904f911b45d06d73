"""Can the probabilities of a run be believed, as they are and with a temperature for each model?

The temperature of a model is fitted on the dev side of its own fold, on what `dev.jsonl` holds;
never on the test side that is scored.

Axes: N predictions, G clusters, D draws, F sums over predictions, B bins.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from affekt.evaluation import calibration, intervals, metrics, predictions, rejection
from affekt.types import Interval, Prediction

ACCURACIES = 0.9, 0.95  # that somebody may want
POINTS = 100  # of a curve of risk over coverage
Place = tuple[int, str]  # seed, fold


def numbers(
    run: Path, judged: Sequence[Prediction], folds: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Everything that a report says of confidence, as plain data.

    Args:
        run: its folder.
        judged: its predictions.
        folds: what its `folds.json` holds.

    Returns:
        `temperatures`: of each seed and fold that has dev predictions. `measures`: ECE, NLL and
        Brier score as they are, scaled, and the change, with intervals. `ece_by_chance`: of perfect
        confidence. `said`: mean confidence. `answered`: of each side the curve of risk over
        coverage, its area, and the coverage at ACCURACIES. `reliability`: accuracy by confidence.
        `notes`: what to know of it. Where no fold has a temperature, nothing is scaled.
    """
    dev = predictions.read_dev(run)
    places = list(dict.fromkeys((p.seed, p.fold) for p in judged))
    fitted = {place: calibration.temperature(dev[place]) for place in places if place in dev}
    rows = [
        {"seed": place[0], "fold": place[1], "n": len(dev[place]), "temperature": value}
        for place, value in fitted.items()
    ]
    sides = {"plain": list(judged)}
    if fitted:
        sides["scaled"] = scaled(judged, fitted)
    return {
        "temperatures": rows,
        "notes": _lacking([place for place in places if place not in dev], folds),
        "accuracy": float(np.mean([p.label == p.truth for p in judged])),
        "said": {name: _mean_confidence(side) for name, side in sides.items()},
        "measures": measures(sides),
        "ece_by_chance": calibration.ece_by_chance(judged),
        "answered": {name: answered(side) for name, side in sides.items()},
        "reliability": {name: calibration.reliability(side) for name, side in sides.items()},
    }


def scaled(judged: Sequence[Prediction], temperatures: dict[Place, float]) -> list[Prediction]:
    """The predictions in their order, each with the temperature of its seed and fold, if any."""
    at: dict[Place, list[int]] = {}
    for n, p in enumerate(judged):
        at.setdefault((p.seed, p.fold), []).append(n)
    found: dict[int, Prediction] = {}
    for place, rows in at.items():
        part = calibration.scaled([judged[n] for n in rows], temperatures.get(place, 1.0))
        found |= zip(rows, part, strict=True)
    return [found[n] for n in range(len(judged))]


def measures(sides: dict[str, list[Prediction]]) -> dict[str, dict[str, Any]]:
    """ECE, NLL and Brier score of `plain` and `scaled`, and the change, with intervals.

    The bootstrap is that of `affekt.evaluation.intervals`, and the same draws serve both sides.
    """
    first = next(iter(sides.values()))
    keys, _ = intervals.clusters(first)
    place = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    rows = np.concatenate([_sums(side) for side in sides.values()], axis=1)
    table = np.zeros((len(place), rows.shape[1]))
    np.add.at(table, [place[key] for key in keys], rows)
    total = _scores(table.sum(0, keepdims=True), list(sides))
    distinct, weights = intervals.resample(table, draws=intervals.DRAWS, seed=0)
    drawn = _scores(weights @ distinct, list(sides))
    found: dict[str, dict[str, Any]] = {}
    for (name, side), value in total.items():
        low = high = float("nan")  # a single cluster says nothing of others
        if len(place) > 1:
            low, high = intervals.bounds(drawn[name, side], len(place), level=intervals.LEVEL)
        made = Interval(value=float(value[0]), low=low, high=high, n=metrics.distinct(first))
        found.setdefault(name, {})[side] = asdict(made)
    return found


def _sums(judged: Sequence[Prediction]) -> Float[np.ndarray, "N F"]:
    """Of each prediction what the measures are sums of: 1, likelihood, squares, 3 x B of bins."""
    found = calibration.chances(judged)
    here = np.eye(calibration.BINS)[calibration.bins(found)]
    plain = [np.ones(len(here)), calibration.likelihood(found), calibration.squares(found)]
    said, right = found.confidence[:, None], found.right[:, None]
    return np.concatenate([np.stack(plain, axis=1), here * said, here * right], axis=1)


def _scores(
    sums: Float[np.ndarray, "D F"], sides: Sequence[str]
) -> dict[tuple[str, str], Float[np.ndarray, " D"]]:
    """Each measure of each side, and the change from the first side to the second."""
    found = {}
    for side, part in zip(sides, np.split(sums, len(sides), axis=-1), strict=True):
        n, likelihood, squares = part[..., 0], part[..., 1], part[..., 2]
        said, right = np.split(part[..., 3:], 2, axis=-1)
        found["ECE", side] = np.abs(right - said).sum(-1) / n
        found["NLL", side] = likelihood / n
        found["Brier", side] = squares / n
    if len(sides) > 1:
        for name in ("ECE", "NLL", "Brier"):
            found[name, "change"] = found[name, sides[1]] - found[name, sides[0]]
    return found


def answered(judged: Sequence[Prediction]) -> dict[str, Any]:
    """AURC, coverage at ACCURACIES, and at most POINTS points of the curve."""
    coverage, risk = rejection.risk_coverage(judged)
    shown = sorted({*np.linspace(0, len(coverage) - 1, POINTS).round().astype(int).tolist()})
    return {
        "area": rejection.area(judged),
        "coverage": {f"{a:g}": rejection.coverage_at(judged, a) for a in ACCURACIES},
        "curve": [[float(coverage[n]), float(risk[n])] for n in shown],
    }


def _mean_confidence(judged: Sequence[Prediction]) -> float:
    return float(calibration.chances(judged).confidence.mean())


def _lacking(places: Sequence[Place], folds: Sequence[dict[str, Any]]) -> list[str]:
    """Why folds have no temperature, and what would do."""
    without = {fold["name"] for fold in folds if not fold.get("dev")}
    never = list(dict.fromkeys(fold for _, fold in places if fold in without))
    earlier = [f"seed {seed}, fold {fold}" for seed, fold in places if fold not in without]
    told = []
    if never:
        told.append(
            f"Fold(s) {', '.join(never)} have no dev side to fit a temperature on, and are not "
            "scaled; a protocol with one would do, such as -s protocol.dev=next-speaker."
        )
    if earlier:
        what = ", ".join(earlier[:3]) + (f" and {len(earlier) - 3} more" if earlier[3:] else "")
        told.append(
            f"Of {what} it is not kept what the model says of the dev side (dev.jsonl), so that "
            "no temperature can be fitted and nothing is scaled there; affekt run --overwrite "
            "trains anew and keeps it."
        )
    return told
