"""The similarity of pairs, against loops over pairs and against batches that are drawn."""

from pathlib import Path

import numpy as np
import pytest

from affekt.evaluation.similarity import similarity
from affekt.methods.supervised_contrastive import ContrastiveBatches
from affekt.types import Utterance


@pytest.fixture
def said():
    """Two corpora with classes of their own, some with one utterance only."""
    counts = {("x", "angry"): 4, ("x", "sad"): 3, ("x", "bored"): 2, ("x", "happy"): 1}
    counts |= {("y", "angry"): 2, ("y", "sad"): 5, ("y", "calm"): 3, ("y", "happy"): 1}
    return [
        Utterance(id=f"{corpus}{emotion}{n}", audio=Path("a.wav"), emotion=emotion, corpus=corpus)
        for (corpus, emotion), count in counts.items()
        for n in range(count)
    ]


@pytest.fixture
def vectors(said):
    rng = np.random.default_rng(0)
    names = sorted({u.emotion for u in said})
    of_class = rng.normal(size=(len(names), 3, 6))
    noise = rng.normal(size=(len(said), 3, 6))
    return noise + of_class[[names.index(u.emotion) for u in said]] * [[0.0], [1.0], [3.0]]


def made(said, vectors):
    return similarity(vectors, [u.emotion for u in said], [u.corpus for u in said])


def cosine(a, b):
    return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


@pytest.mark.parametrize("layer", range(3))
def test_it_is_the_mean_over_all_pairs_of_each_emotion_and_of_its_corpora(said, vectors, layer):
    positive, negative = [], []
    for emotion in sorted({u.emotion for u in said}):
        hers, others = [], []
        anchors = sorted({u.corpus for u in said if u.emotion == emotion})
        for one in anchors:
            for two in ("x", "y"):
                pairs = {True: [], False: []}
                for i, u in enumerate(said):
                    for j, v in enumerate(said):
                        if i != j and u.emotion == emotion and (u.corpus, v.corpus) == (one, two):
                            likeness = cosine(vectors[i, layer], vectors[j, layer])
                            pairs[v.emotion == emotion].append(likeness)
                hers += [np.mean(pairs[True])] if pairs[True] else []
                others += [np.mean(pairs[False])]
        positive.append(np.mean(hers))
        negative.append(np.mean(others))
    found = made(said, vectors)
    assert found.positive[layer] == pytest.approx(np.mean(positive), abs=1e-9)
    assert found.negative[layer] == pytest.approx(np.mean(negative), abs=1e-9)


def test_pairs_are_weighed_as_in_the_batches_that_train(said, vectors):
    alike = [u for u in said if u.emotion in ("angry", "sad")]  # of which both corpora have two
    rows = np.array([said.index(u) for u in alike])
    unit = vectors[rows] / np.linalg.norm(vectors[rows], axis=-1, keepdims=True)
    size, drawn = 8, {"within": [], "across": [], "negative": []}
    for batch in ContrastiveBatches(alike, size, batches=4000, seed=0):
        sims = np.einsum("ild,jld->ijl", unit[batch], unit[batch])
        first, second, others = slice(0, 2), slice(2, 4), slice(4, 8)
        drawn["within"] += [sims[0, 1], sims[2, 3]]
        drawn["across"] += [sims[first, second].mean(axis=(0, 1))]
        drawn["negative"] += [sims[:4, others].mean(axis=(0, 1))]
    means = {kind: np.mean(values, axis=0) for kind, values in drawn.items()}
    found = made(alike, vectors[rows])
    np.testing.assert_allclose(found.positive, (means["within"] + means["across"]) / 2, atol=0.02)
    np.testing.assert_allclose(found.negative, means["negative"], atol=0.02)


def test_what_does_not_matter_changes_nothing(said, vectors):
    found = made(said, vectors)
    order = np.random.default_rng(1).permutation(len(said))
    scale = np.random.default_rng(2).uniform(0.1, 9.0, (len(said), 3, 1))
    other = made([said[n] for n in order], (vectors * scale)[order])
    np.testing.assert_allclose(other.positive, found.positive)
    np.testing.assert_allclose(other.negative, found.negative)
    same = made(said, np.ones_like(vectors))
    assert same.positive == same.negative == pytest.approx([1.0] * 3)
    assert found.positive[2] > found.negative[2] + 0.4


def test_without_pairs_there_is_no_similarity(said, vectors):
    one = [n for n, u in enumerate(said) if u.emotion == "sad"]
    with pytest.raises(ValueError, match="all utterances share one emotion"):
        made([said[n] for n in one], vectors[one])
