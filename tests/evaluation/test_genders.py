"""Recall by gender beside counting."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from affekt.evaluation import genders
from affekt.evaluation.report import numbers
from affekt.types import Prediction

SAID = [  # gender, truth, label, gender that was heard
    ("female", "angry", "angry", "female"),
    ("female", "angry", "sad", "male"),
    ("female", "sad", "sad", "female"),
    ("male", "angry", "angry", "male"),
    ("male", "sad", "angry", "male"),
    ("male", "happy", "happy", "female"),
    (None, "sad", "sad", "female"),
]


def judged(heard: bool = True) -> list[Prediction]:
    return [
        Prediction(
            id=str(n),
            corpus="toy",
            fold="1",
            seed=0,
            speaker=f"toy:{n}",
            gender=gender,
            language=None,
            truth=truth,
            label=label,
            probabilities={"angry": 0.5, "happy": 0.0, "sad": 0.5},
            gender_label=said if heard else None,
        )
        for n, (gender, truth, label, said) in enumerate(SAID)
    ]


def test_recalls_and_gaps_are_of_classes_that_both_have():
    rows = {row["name"]: row for row in genders.numbers(judged())["recall"]}
    assert {*rows} == {"angry", "sad"}
    assert (rows["angry"]["female"], rows["angry"]["male"]) == (0.5, 1.0)
    assert (rows["sad"]["female"], rows["sad"]["male"]) == (1.0, 0.0)
    assert rows["angry"]["gap"]["value"] == -0.5
    whole = genders.numbers(judged())["gap"]
    assert (whole["value"], whole["n"]) == ((0.5 + 1.0) / 2 - (1.0 + 0.0) / 2, 5)


def test_the_interval_of_a_gap_is_that_of_a_plain_loop_over_the_same_draws(judge):
    said = judge(240, speakers=10, skill=1.0)
    sides = {g: [p for p in said if p.gender == g] for g in ("female", "male")}
    names = ["angry", "sad"]
    gaps = np.zeros(1000)
    for seed, (sign, side) in enumerate(zip((1, -1), sides.values(), strict=True)):
        counts = {
            who: [sum(p.label == p.truth for p in side if (p.speaker, p.truth) == (who, n))
                  for n in names] + [sum((p.speaker, p.truth) == (who, n) for p in side)
                                     for n in names]
            for who in {p.speaker for p in side}
        }  # fmt: skip
        who = sorted(counts, key=lambda name: counts[name])
        drawn = np.random.default_rng(seed).multinomial(5, np.full(5, 1 / 5), size=1000)
        for n, times in enumerate(drawn):
            taken = sum(t * np.array(counts[w]) for t, w in zip(times, who, strict=True))
            gaps[n] += sign * np.mean(taken[:2] / taken[2:])
    found = genders.gap(sides, names)
    assert found.low < found.value < found.high
    tail = stats.norm.cdf(np.sqrt(5 / 4) * stats.t.ppf(0.025, 4))
    low, high = np.quantile(gaps, [tail, 1 - tail])
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


def test_a_gap_without_several_speakers_of_a_gender_may_be_anything(judge):
    said = judge(60, speakers=2)
    sides = {g: [p for p in said if p.gender == g] for g in ("female", "male")}
    found = genders.gap(sides, ["sad"])
    assert (found.low, found.high) == (-1.0, 1.0)


def test_about_95_percent_of_the_intervals_hold_the_true_gap(judge):
    rng = np.random.default_rng(0)
    template = [p for p in judge(300, speakers=12) if p.truth == "sad"]
    hits = 0
    for _ in range(100):
        ease = {f"toy:{n + 1:02d}": rng.uniform(0.4, 0.9) for n in range(12)}  # a gap of 0
        said = [
            replace(p, label="sad" if rng.random() < ease[p.speaker or ""] else "angry")
            for p in template
        ]
        sides = {g: [p for p in said if p.gender == g] for g in ("female", "male")}
        found = genders.gap(sides, ["sad"])
        hits += found.low <= 0 <= found.high
    assert hits >= 90


def test_gender_itself_is_scored_where_it_was_asked_for():
    heard = genders.numbers(judged())["heard"]
    assert heard["value"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert heard["n"] == 6
    assert genders.numbers(judged(heard=False))["heard"] is None


def test_one_gender_alone_is_not_compared(tmp_path):
    women = [p for p in judged() if p.gender == "female"]
    assert genders.numbers(women) == {}
    assert numbers(tmp_path, women)["genders"] == {}
