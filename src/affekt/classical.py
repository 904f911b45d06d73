"""Classical baselines: functionals, scikit-learn, and within-class covariance normalisation.

WCCN: Hatch et al. 2006 and Dehak et al. 2011, in the form and with the symbols of
arXiv 2311.13678, equations (4), (5) and (7). Importing scikit-learn takes over a second, so it
waits until a classifier is made.
"""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from affekt import disk
from affekt.errors import ModelError
from affekt.labels import order
from affekt.parts import Section, build
from affekt.types import Fold, Prediction, Utterance

RIDGE = 1e-6  # added to the diagonal of a W without inverse; standardised features have variance 1


class Transform(Protocol):
    """Learns from features (N, D) and classes (N,), then maps features row by row."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Transform": ...

    def transform(self, x: np.ndarray) -> np.ndarray: ...


class Standardise:
    """Zero mean and unit variance over the training set; a constant feature becomes zero."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Standardise":
        """Learn mean and spread of every feature."""
        self.mean, spread = x.mean(axis=0), x.std(axis=0)
        # Rounding leaves a constant feature a spread of about eps times its size.
        self.scale = np.where(spread > 1e-10 * np.abs(self.mean), spread, np.inf)
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """The features in standard deviations from the mean."""
        return (x - self.mean) / self.scale


class WCCN:
    """Within-class covariance normalisation: after it, the classes' mean covariance is I."""

    def __init__(self, alpha: float = 0.0) -> None:
        self.alpha = alpha

    def fit(self, x: np.ndarray, y: np.ndarray) -> "WCCN":
        """B B^T = W^-1, where W is smoothed towards I by alpha."""
        s = [np.cov(x[y == c], rowvar=False, bias=True) for c in np.unique(y)]
        w = np.mean(s, axis=0)  # eq. (4)
        w = (1 - self.alpha) * w + self.alpha * np.eye(len(w))  # eq. (7)
        if np.linalg.matrix_rank(w, hermitian=True) < len(w):
            w = w + RIDGE * np.eye(len(w))
        self.b = np.linalg.cholesky(np.linalg.inv(w))
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """phi(x) = B^T x"""
        return x @ self.b  # eq. (5)


class Classifier:
    """An estimator of scikit-learn behind standardisation and, if wanted, WCCN.

    The paper does not say how its functionals are scaled; they are standardised here before WCCN,
    as alpha would otherwise weigh hertz against decibels.
    """

    def __init__(self, estimator: Any, *, wccn: bool, alpha: float) -> None:
        self.estimator = estimator
        self.transforms: list[Transform] = [Standardise()]
        if wccn:
            self.transforms.append(WCCN(alpha))

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Classifier":
        """Learn from features (N, D) and classes (N,); what was learnt before is forgotten."""
        for transform in self.transforms:
            x = transform.fit(x, y).transform(x)
        self.estimator.fit(x, y)
        return self

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """(N, C), in the order of `classes`; for the SVM the softmax of its decision values."""
        for transform in self.transforms:
            x = transform.transform(x)
        if hasattr(self.estimator, "predict_proba"):
            return self.estimator.predict_proba(x)
        scores = self.estimator.decision_function(x)
        if scores.ndim == 1:  # two classes: one value, above zero for the second
            scores = np.stack([-scores / 2, scores / 2], axis=1)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    @property
    def classes(self) -> list[str]:
        """The classes of the training set, in the order of the columns of `probabilities`."""
        return [str(c) for c in self.estimator.classes_]


def random_forest(
    seed: int,
    *,
    trees: int = 100,
    depth: int = 5,
    balanced: bool = False,
    wccn: bool = False,
    alpha: float = 0.5,
) -> Classifier:
    """The Random Forest of arXiv 2311.13678: 100 trees of depth 5."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        trees, max_depth=depth, class_weight=_weight(balanced), random_state=seed, n_jobs=1
    )
    return Classifier(forest, wccn=wccn, alpha=alpha)


def linear_svm(
    seed: int, *, c: float = 0.01, balanced: bool = False, wccn: bool = False, alpha: float = 0.5
) -> Classifier:
    """One-against-one linear SVMs that vote; the surer ones break a tie.

    The label is the argmax of `probabilities`. Those rank the classes and are not calibrated:
    Platt scaling fits every machine five times more and can contradict the label.
    """
    from sklearn.svm import SVC

    machine = SVC(
        kernel="linear", C=c, class_weight=_weight(balanced), break_ties=True, random_state=seed
    )
    return Classifier(machine, wccn=wccn, alpha=alpha)


def logistic_regression(
    seed: int, *, c: float = 1.0, balanced: bool = False, wccn: bool = False, alpha: float = 0.5
) -> Classifier:
    """Multinomial logistic regression with an L2 penalty."""
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(
        C=c, class_weight=_weight(balanced), max_iter=1000, random_state=seed
    )
    return Classifier(regression, wccn=wccn, alpha=alpha)


def _weight(balanced: bool) -> str | None:
    return "balanced" if balanced else None


CLASSIFIERS: dict[str, Callable[..., Classifier]] = {
    "random-forest": random_forest,
    "linear-svm": linear_svm,
    "logistic-regression": logistic_regression,
}


def classify(
    fold: Fold, features: Mapping[str, np.ndarray], classifier: Classifier, *, seed: int
) -> list[Prediction]:
    """The test utterances of `fold`, judged by `classifier` once fitted to its train utterances.

    Args:
        fold: its dev utterances are not looked at.
        features: a vector per `Utterance.key`.
        classifier: built with the same seed.
        seed: what the predictions are labelled with.
    """
    x, y = _stack(fold.train, features), np.array([u.emotion for u in fold.train])
    classifier.fit(x, y)
    return judge(fold.test, features, classifier, fold=fold.name, seed=seed)


def judge(
    utterances: Sequence[Utterance],
    features: Mapping[str, np.ndarray],
    classifier: Classifier,
    *,
    fold: str,
    seed: int,
) -> list[Prediction]:
    """What a fitted classifier says of utterances, in their order; arguments as of `classify`."""
    if not utterances:
        return []
    table = classifier.probabilities(_stack(utterances, features))
    classes = order(classifier.classes)
    table = table[:, [classifier.classes.index(c) for c in classes]]
    return [
        Prediction(
            id=u.id,
            corpus=u.corpus,
            fold=fold,
            seed=seed,
            speaker=u.talker,
            gender=u.gender,
            language=u.language,
            truth=u.emotion,
            label=classes[int(row.argmax())],
            probabilities={c: float(p) for c, p in zip(classes, row, strict=True)},
        )
        for u, row in zip(utterances, table, strict=True)
    ]


@dataclass(frozen=True)
class Examples:
    """What a classifier learns from; it is kept in place of the classifier, and fitted again.

    So nothing that runs code has to be read, and no version of scikit-learn to be the same.
    """

    x: np.ndarray  # (N, D) float32
    y: np.ndarray  # (N,) names of classes
    seed: int

    def save(self, file: Path) -> None:
        """Write them."""
        with io.BytesIO() as content:
            np.savez_compressed(content, x=self.x, y=self.y.astype(str), seed=self.seed)
            disk.write_bytes(file, content.getvalue())

    def fit(self, section: Section) -> Classifier:
        """The classifier of a recipe, fitted."""
        made = build(CLASSIFIERS, section, "classifier", self.seed)
        return made.fit(self.x.astype(np.float64), self.y)


def examples(fold: Fold, features: Mapping[str, np.ndarray], *, seed: int) -> Examples:
    """The train side of a fold."""
    y = np.array([u.emotion for u in fold.train])
    return Examples(_stack(fold.train, features).astype(np.float32), y, seed)


def load(file: Path) -> Examples:
    """The examples that were saved.

    Raises:
        ModelError: the file is missing, damaged, or something else.
    """
    try:
        with np.load(file, allow_pickle=False) as content:
            found = Examples(content["x"], content["y"], int(content["seed"]))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as e:
        raise ModelError(f"{file}: no classifier of affekt ({e}); copy it again") from e
    fits = found.x.ndim == 2 and found.y.shape == found.x.shape[:1] and found.y.dtype.kind == "U"
    if not fits or found.x.dtype != np.float32 or not np.isfinite(found.x).all():
        raise ModelError(f"{file}: no classifier of affekt; copy it again")
    return found


def _stack(utterances: Sequence[Utterance], features: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.stack([features[u.key] for u in utterances]).astype(np.float64)
