from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from affekt.evaluation import intervals


def test_the_interval_is_that_of_a_plain_loop_over_the_same_draws(judge):
    judged = judge(100, speakers=8, seeds=(0, 1))
    names = sorted({p.speaker for p in judged})
    # The counts belong to the speakers in ascending order of their confusion matrices.
    matrices = {
        name: np.array([
            [sum((p.truth, p.label) == (t, g) for p in judged if p.speaker == name) for g in LABELS]
            for t in LABELS
        ])
        for name in names
    }  # fmt: skip
    names.sort(key=lambda name: matrices[name].ravel().tolist())
    draws = np.random.default_rng(5).multinomial(8, np.full(8, 1 / 8), size=200)
    scores = []
    for draw in draws:
        drawn = [p for name, n in zip(names, draw, strict=True) for p in by(judged, name) * int(n)]
        present = sorted({p.truth for p in drawn})
        scores.append(np.mean([
            np.mean([p.label == p.truth for p in drawn if p.truth == name]) for name in present
        ]))  # fmt: skip
    tail = stats.norm.cdf(np.sqrt(8 / 7) * stats.t.ppf(0.05, 7))
    low, high = np.quantile(scores, [tail, 1 - tail])
    found = intervals.interval(judged, level=0.9, draws=200, seed=5)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)
    truth, label = [p.truth for p in judged], [p.label for p in judged]
    assert found.value == pytest.approx(balanced_accuracy_score(truth, label))
    assert found.n == 100


LABELS = ("angry", "happy", "neutral", "sad")


def by(judged, speaker):
    return [p for p in judged if p.speaker == speaker]


@pytest.mark.parametrize("clusters", [2, 5, 10, 40, 5000])
def test_the_tail_is_widened_as_students_t_asks(clusters):
    t = stats.t.ppf(0.025, clusters - 1)
    expected = stats.norm.cdf(np.sqrt(clusters / (clusters - 1)) * t)
    assert intervals.expanded_tail(0.025, clusters) == pytest.approx(expected, abs=1e-5)


def test_merged_clusters_are_drawn_as_often_as_single_ones():
    rows = np.array([[1.0, 0.0]] * 30 + [[0.0, 1.0]] * 10)
    distinct, weights = intervals.resample(rows, draws=4000, seed=0)
    assert distinct.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert (weights.sum(1) == 40).all()
    alone = np.random.default_rng(1).integers(40, size=(4000, 40)) >= 30
    assert weights[:, 0].mean() == pytest.approx(10, abs=0.2)
    assert weights[:, 0].std() == pytest.approx(alone.sum(1).std(), rel=0.05)


def test_about_95_percent_of_the_intervals_hold_the_true_score(judge):
    rng = np.random.default_rng(0)
    template = judge(120, speakers=10, classes=("angry", "sad"))
    hits = 0
    for trial in range(200):
        ease = {f"toy:{n + 1:02d}": rng.uniform(0.5, 0.9) for n in range(10)}  # mean 0.7
        judged = [
            replace(p, label=p.truth if rng.random() < ease[p.speaker] else "angry sad".replace(
                p.truth, "").strip()) for p in template
        ]  # fmt: skip
        found = intervals.interval(judged, "WA", draws=300, seed=trial)
        hits += found.low <= 0.7 <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_an_interval_over_speakers_is_wider_than_one_over_utterances_when_speakers_differ(judge):
    judged = judge(400, speakers=8)
    judged = [replace(p, label=p.truth if p.speaker <= "toy:04" else "sad") for p in judged]
    alone = [replace(p, speaker=None) for p in judged]
    clustered, plain = intervals.interval(judged), intervals.interval(alone)
    assert clustered.value == plain.value
    assert clustered.high - clustered.low > 2 * (plain.high - plain.low)


def test_the_interval_does_not_depend_on_the_order_of_the_predictions(judge):
    judged = judge(100, seeds=(0, 1))
    assert intervals.interval(judged) == intervals.interval(judged[::-1])


def test_more_seeds_of_the_same_judgements_do_not_narrow_the_interval(judge):
    once = judge(100)
    thrice = once + [replace(p, seed=s) for s in (1, 2) for p in once]
    assert intervals.interval(thrice, "WA") == intervals.interval(once, "WA")


def test_clusters_are_speakers_or_utterances_where_fewer_than_two_are_known(judge):
    judged = judge(20, speakers=4)
    assert intervals.clusters(judged)[1] == "speaker"
    keys, unit = intervals.clusters([replace(p, speaker="toy:01") for p in judged])
    assert (unit, len(set(keys))) == ("utterance", 20)
    judged[:2] = [replace(p, speaker=None) for p in judged[:2]]
    keys, unit = intervals.clusters(judged)
    assert (unit, len(set(keys))) == ("speaker", 6)


def test_a_single_utterance_says_nothing(judge):
    found = intervals.interval(judge(1))
    assert (found.low, found.high, found.n) == (0.0, 1.0, 1)
