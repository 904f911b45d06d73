import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from affekt import parts
from affekt.classical import CLASSIFIERS, WCCN, Standardise, classify
from affekt.errors import RecipeError
from affekt.types import Fold, Utterance

EMOTIONS = ("sad", "angry", "neutral")


@pytest.fixture(scope="module")
def toy():
    """A fold of six speakers, and features of very different scales that tell a little."""
    rng = np.random.default_rng(0)
    centres = rng.normal(scale=0.7, size=(3, 12))
    utterances, features = [], {}
    for n in range(180):
        u = Utterance(
            id=str(n),
            audio=Path(f"{n}.wav"),
            emotion=EMOTIONS[n % 3],
            corpus="toy",
            speaker=str(n % 6),
            gender="female" if n % 2 else "male",
            language="de",
        )
        features[u.key] = np.float32(
            (centres[n % 3] + rng.normal(size=12)) * np.logspace(-3, 3, 12) + 5
        )
        utterances.append(u)
    sides = [tuple(u for u in utterances if u.speaker in s) for s in ("0123", "4", "5")]
    return Fold(name="1", train=sides[0], dev=sides[1], test=sides[2]), features


def arrays(toy):
    fold, features = toy
    train = np.array([features[u.key] for u in fold.train], np.float64)
    test = np.array([features[u.key] for u in fold.test], np.float64)
    return train, np.array([u.emotion for u in fold.train]), test


def make(name, seed=0, **options):
    return parts.build(CLASSIFIERS, parts.Section(name=name, **options), "classifier", seed)


def reference(name):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    estimators = {
        "random-forest": RandomForestClassifier(100, max_depth=5, random_state=0),
        "linear-svm": SVC(kernel="linear", C=0.01, break_ties=True),
        "logistic-regression": LogisticRegression(max_iter=1000),
    }
    return make_pipeline(StandardScaler(), estimators[name])


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_labels_are_those_of_a_scikit_learn_pipeline(toy, name):
    train, truth, test = arrays(toy)
    expected = reference(name).fit(train, truth).predict(test)
    guesses = classify(*toy, make(name), seed=0)
    assert [p.label for p in guesses] == list(expected)
    assert len(set(expected)) == 3


@pytest.mark.parametrize("name", ["random-forest", "logistic-regression"])
def test_probabilities_are_those_of_a_scikit_learn_pipeline(toy, name):
    train, truth, test = arrays(toy)
    pipeline = reference(name).fit(train, truth)
    for p, row in zip(
        classify(*toy, make(name), seed=0), pipeline.predict_proba(test), strict=True
    ):
        expected = dict(zip(pipeline.classes_, row, strict=True))
        assert p.probabilities == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("wccn", [False, True])
def test_the_label_is_the_most_probable_class_and_classes_are_in_order(toy, name, wccn):
    for p in classify(*toy, make(name, wccn=wccn), seed=0):
        assert list(p.probabilities) == ["angry", "neutral", "sad"]
        assert sum(p.probabilities.values()) == pytest.approx(1)
        assert p.probabilities[p.label] == max(p.probabilities.values())


def test_predictions_carry_what_the_utterances_say(toy):
    fold, _ = toy
    guesses = classify(*toy, make("linear-svm", 7), seed=7)
    assert [(p.id, p.truth) for p in guesses] == [(u.id, u.emotion) for u in fold.test]
    first = guesses[0]
    assert (first.fold, first.seed, first.corpus) == ("1", 7, "toy")
    assert (first.speaker, first.gender, first.language) == ("toy:5", "female", "de")


def test_the_same_seed_gives_the_same_forest_and_another_seed_another(toy):
    one, two, other = (
        [p.probabilities for p in classify(*toy, make("random-forest", s), seed=s)]
        for s in (3, 3, 4)
    )
    assert one == two
    assert one != other


def test_a_classifier_forgets_the_fold_before(toy):
    fold, features = toy
    turned = Fold(name="2", train=fold.train[::-1][:60] + fold.test, test=fold.dev)
    machine = make("linear-svm", wccn=True)
    classify(turned, features, machine, seed=0)
    again = classify(fold, features, machine, seed=0)
    assert again == classify(fold, features, make("linear-svm", wccn=True), seed=0)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_two_classes_are_told_apart(toy, name):
    fold, features = toy
    two = [tuple(u for u in side if u.emotion != "sad") for side in (fold.train, fold.test)]
    guesses = classify(Fold(name="1", train=two[0], test=two[1]), features, make(name), seed=0)
    assert np.mean([p.label == p.truth for p in guesses]) > 0.8
    assert all(p.probabilities[p.label] >= 0.5 for p in guesses)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_balanced_weights_raise_the_probability_of_the_rare_class(toy, name):
    fold, features = toy
    rare = [u for u in fold.train if u.emotion == "sad"][:6]
    train = tuple(u for u in fold.train if u.emotion != "sad" or u in rare)
    few = Fold(name="1", train=train, test=fold.test)
    sad = [
        [p.probabilities["sad"] for p in classify(few, features, make(name, balanced=b), seed=0)]
        for b in (False, True)
    ]
    assert np.mean(sad[0]) < np.mean(sad[1])


def test_an_unknown_option_is_an_error_that_names_the_nearest():
    with pytest.raises(RecipeError, match="Did you mean 'trees'"):
        make("random-forest", treees=10)


def test_standardise_is_scikit_learns_and_makes_a_constant_feature_zero(toy):
    from sklearn.preprocessing import StandardScaler

    train, truth, test = arrays(toy)
    train[:, 4] = test[:, 4] = 0.1
    ours = Standardise().fit(train, truth).transform(test)
    np.testing.assert_allclose(ours, StandardScaler().fit(train).transform(test), atol=1e-9)
    assert np.all(ours[:, 4] == 0)


def within(x, y, alpha=0.0):
    """Equations (4) and (7) of arXiv 2311.13678, sample by sample."""
    w = np.zeros((x.shape[1], x.shape[1]))
    for c in sorted(set(y)):
        mine = [row for row, label in zip(x, y, strict=True) if label == c]
        centre = sum(mine) / len(mine)
        for row in mine:
            w += np.outer(row - centre, row - centre) / len(mine) / len(set(y))
    return (1 - alpha) * w + alpha * np.eye(len(w))


def test_after_wccn_the_within_class_covariance_is_the_identity(toy):
    train, truth, _ = arrays(toy)
    train = train[:-7]  # classes of unequal size count alike
    mapped = WCCN().fit(train, truth[:-7]).transform(train)
    np.testing.assert_allclose(within(mapped, truth[:-7]), np.eye(12), atol=1e-7)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_b_is_the_lower_cholesky_factor_of_the_inverse_of_the_smoothed_w(toy, alpha):
    train, truth, test = arrays(toy)
    train, test = train / train.std(axis=0), test / train.std(axis=0)
    b = np.linalg.cholesky(np.linalg.inv(within(train, truth, alpha)))
    ours = WCCN(alpha).fit(train, truth).transform(test)
    np.testing.assert_allclose(ours, [b.T @ row for row in test], rtol=1e-6)


def test_a_rank_deficient_w_is_whitened_where_it_has_variance(toy):
    train, truth, _ = arrays(toy)
    x = Standardise().fit(train, truth).transform(train)
    x = np.hstack([x, x[:, :3] + x[:, 3:6], np.zeros((len(x), 1))])  # 16 features, rank 12
    covariance = within(WCCN().fit(x, truth).transform(x), truth)
    values = np.linalg.eigvalsh(covariance)
    np.testing.assert_allclose(values[4:], 1, atol=1e-4)
    np.testing.assert_allclose(values[:4], 0, atol=1e-6)


def test_wccn_works_with_more_features_than_utterances():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 50)), np.arange(20) % 2
    assert np.isfinite(WCCN().fit(x, y).transform(x)).all()


def test_importing_the_module_imports_no_scikit_learn():
    script = "import sys, affekt.classical; assert not {'sklearn', 'torch'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
