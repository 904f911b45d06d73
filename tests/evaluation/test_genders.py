"""Recall by gender beside counting."""

import pytest

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
    assert rows["angry"]["gap"] == -0.5


def test_gender_itself_is_scored_where_it_was_asked_for():
    heard = genders.numbers(judged())["heard"]
    assert heard["value"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert heard["n"] == 6
    assert genders.numbers(judged(heard=False))["heard"] is None


def test_one_gender_alone_is_not_compared(tmp_path):
    women = [p for p in judged() if p.gender == "female"]
    assert genders.numbers(women) == {}
    assert numbers(tmp_path, women)["genders"] == {}
