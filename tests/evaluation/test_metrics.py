from dataclasses import replace

import audmetric
import numpy as np
import pytest
from sklearn import metrics as sk

from affekt.errors import RunError
from affekt.evaluation import metrics

LABELS = ["angry", "happy", "neutral", "sad"]


@pytest.fixture(params=["balanced", "skewed", "absent in truth", "never given"])
def pair(request):
    """Truth and label given, 200 of each."""
    rng = np.random.default_rng(3)
    shares = [0.7, 0.1, 0.15, 0.05] if request.param == "skewed" else [0.25] * 4
    truth = rng.choice(LABELS, size=200, p=shares)
    label = np.where(rng.random(200) < 0.6, truth, rng.choice(LABELS, size=200))
    if request.param == "absent in truth":
        truth = np.where(truth == "sad", "happy", truth)
    if request.param == "never given":
        label = np.where(label == "sad", "happy", label)
    return truth.tolist(), label.tolist()


def test_confusion_is_scikit_learns_with_truth_in_the_rows(pair):
    expected = sk.confusion_matrix(*pair, labels=LABELS)
    assert (metrics.confusion(*pair, LABELS) == expected).all()


def test_ua_is_recall_averaged_over_the_classes_in_truth(pair):
    occurring = sorted(set(pair[0]))
    expected = sk.recall_score(*pair, average="macro", labels=occurring)
    c = metrics.confusion(*pair, LABELS)
    assert metrics.unweighted_accuracy(c) == pytest.approx(expected)
    if set(pair[0]) == set(LABELS):
        uar = audmetric.unweighted_average_recall(*pair, labels=LABELS)
        assert metrics.unweighted_accuracy(c) == pytest.approx(uar)


def test_wa_is_plain_accuracy(pair):
    c = metrics.confusion(*pair, LABELS)
    assert metrics.weighted_accuracy(c) == pytest.approx(sk.accuracy_score(*pair))
    assert metrics.weighted_accuracy(c) == pytest.approx(audmetric.accuracy(*pair))


def test_f1_scores_are_scikit_learns(pair):
    c = metrics.confusion(*pair, LABELS)
    for score, average in ((metrics.macro_f1, "macro"), (metrics.weighted_f1, "weighted")):
        assert score(c) == pytest.approx(sk.f1_score(*pair, average=average))


def test_per_class_values_are_scikit_learns_where_they_are_defined(pair):
    c = metrics.confusion(*pair, LABELS)
    expected = sk.precision_recall_fscore_support(*pair, labels=LABELS, zero_division=np.nan)
    assert metrics.precision(c) == pytest.approx(expected[0], nan_ok=True)
    assert metrics.recall(c) == pytest.approx(expected[1], nan_ok=True)
    defined = ~np.isnan(expected[2])
    assert metrics.f1(c)[defined] == pytest.approx(expected[2][defined])


@pytest.mark.parametrize("name", metrics.METRICS)
def test_a_score_over_leading_axes_is_the_score_of_each_matrix(name):
    many = np.random.default_rng(0).integers(0, 9, size=(2, 3, 4, 4))
    many[0, 0, 2], many[1, 1, :, 3], many[1, 2] = 0, 0, 0
    score = metrics.METRICS[name]
    single = [[float(score(c)) for c in row] for row in many]
    assert score(many) == pytest.approx(np.array(single), nan_ok=True)
    assert np.isnan(single[1][2])  # nothing judged: no score


def test_the_classes_are_all_that_is_judged_or_true_in_the_order_of_the_labels(judge):
    judged = judge(20, classes=("sad", "angry"))
    judged[3] = replace(judged[3], truth="happy")
    assert metrics.classes(judged) == ["angry", "happy", "sad"]


def test_a_breakdown_scores_each_group_alone(judge):
    judged = judge(90, seeds=(0, 1))
    judged = [replace(p, gender=None) if p.gender == "male" else p for p in judged]
    rows = {row["name"]: row for row in metrics.breakdown(judged, "gender")}
    assert set(rows) == {"female", "unknown"}
    women = [p for p in judged if p.gender == "female"]
    truth, label = [p.truth for p in women], [p.label for p in women]
    assert rows["female"]["UA"] == pytest.approx(sk.balanced_accuracy_score(truth, label))
    assert rows["female"]["WF1"] == pytest.approx(sk.f1_score(truth, label, average="weighted"))
    assert rows["female"]["n"] == len(women) / 2 == 45  # utterances, not judgements


def test_per_class_counts_utterances_once_under_several_seeds(judge):
    judged = judge(80, seeds=(0, 1, 2))
    truth, label = [p.truth for p in judged], [p.label for p in judged]
    rows = metrics.per_class(judged)
    assert [row["recall"] for row in rows] == pytest.approx(
        list(sk.recall_score(truth, label, average=None, labels=LABELS))
    )
    assert sum(int(row["n"]) for row in rows) == 80


def test_the_spread_is_taken_over_folds_within_a_seed_and_averaged_over_seeds(judge):
    judged = judge(150, seeds=(0, 1))
    table = [
        [
            sk.accuracy_score(
                [p.truth for p in judged if (p.seed, p.fold) == (seed, f"fold {fold}")],
                [p.label for p in judged if (p.seed, p.fold) == (seed, f"fold {fold}")],
            )
            for fold in range(1, 6)
        ]
        for seed in (0, 1)
    ]
    spread = metrics.over_folds(judged, "WA")
    assert spread.mean == pytest.approx(np.mean(table))
    assert spread.deviation == pytest.approx(np.mean(np.std(table, axis=1, ddof=1)))
    assert spread.seeds == pytest.approx(np.std(np.mean(table, axis=1), ddof=1))


def test_one_fold_and_one_seed_have_no_spread(judge):
    spread = metrics.over_folds(judge(40, folds=1))
    assert np.isnan(spread.deviation)
    assert np.isnan(spread.seeds)


def test_unknown_names_and_empty_input_are_explained(judge):
    with pytest.raises(RunError, match="metric 'accuracy' is not known; choose from UA, WA"):
        metrics.metric("accuracy")
    with pytest.raises(RunError, match="breakdown 'age' is not known"):
        metrics.breakdown(judge(10), "age")
    with pytest.raises(RunError, match="label 'calm' is not among"):
        metrics.confusion(["sad"], ["calm"], ["sad"])
    with pytest.raises(RunError, match="no predictions"):
        metrics.pooled([])
