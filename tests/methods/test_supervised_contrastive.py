from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from affekt.errors import ProtocolError, RecipeError
from affekt.methods.supervised_contrastive import ContrastiveBatches
from affekt.types import Utterance

CLASSES = ("angry", "fear", "happy", "neutral", "sad", "surprise")
IEMOCAP = {"angry": 110, "happy": 160, "neutral": 170, "sad": 108}
CASIA = dict.fromkeys(CLASSES, 20)


def listed(*counts, order=None):
    """Utterances of the corpora a, b, ... with so many of each class, in a random order."""
    said = [
        Utterance(id=f"{emotion}{n}", audio=Path("a.wav"), emotion=emotion, corpus=corpus)
        for corpus, classes in zip("abcd", counts, strict=False)
        for emotion, count in classes.items()
        for n in range(count)
    ]
    if order is not None:
        said = [said[n] for n in np.random.default_rng(order).permutation(len(said))]
    return said


@st.composite
def corpora(draw):
    """Two to four corpora, each with some of two to six classes; two of each class at least."""
    classes = CLASSES[: draw(st.integers(2, 6))]
    count = st.integers(1, 12)
    some = st.dictionaries(st.sampled_from(classes), count, min_size=2)
    drawn = draw(st.lists(some, min_size=2, max_size=4))
    for name in classes:
        holders = [held for held in drawn if name in held]
        if sum(held[name] for held in holders) == 1:
            holders[0][name] = 2
    return listed(*drawn, order=draw(st.integers(0, 99)))


def blocks(utterances, numbers):
    """(corpus, its numbers) for each run of one corpus."""
    runs = groupby(numbers, key=lambda n: utterances[n].corpus)
    return [(corpus, list(run)) for corpus, run in runs]


def assert_drawn_from(pool, numbers):
    """Each is of the pool, and none came twice unless more were asked than the pool has."""
    assert set(numbers) <= set(pool)
    assert len(set(numbers)) == len(numbers) or len(numbers) > len(pool)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(utterances=corpora(), times=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_every_batch_has_the_composition_of_figures_2_and_3(utterances, times, seed):
    names = list(dict.fromkeys(u.corpus for u in utterances))
    size = 2 * len(names) * times
    for batch in ContrastiveBatches(utterances, size, batches=12, seed=seed):
        assert len(batch) == size
        e = utterances[batch[0]].emotion
        having = [c for c in names if any(u.corpus == c and u.emotion == e for u in utterances)]
        positives = blocks(utterances, batch[: size // 2])
        assert [corpus for corpus, _ in positives] == having
        counts = sorted(len(numbers) for _, numbers in positives)
        least, over = divmod(size // 2, len(having))
        assert counts == [least] * (len(having) - over) + [least + 1] * over
        negatives = blocks(utterances, batch[size // 2 :])
        assert [(corpus, len(numbers)) for corpus, numbers in negatives] == [
            (corpus, times) for corpus in names
        ]
        for drawn, of_e in ((positives, True), (negatives, False)):
            for corpus, numbers in drawn:
                pool = [
                    n
                    for n, u in enumerate(utterances)
                    if u.corpus == corpus and (u.emotion == e) == of_e
                ]
                assert_drawn_from(pool, numbers)


def test_with_two_corpora_the_halves_of_the_positives_are_the_corpora_that_have_the_class():
    utterances = listed(IEMOCAP, CASIA, order=0)
    first, second = dict.fromkeys(u.corpus for u in utterances)
    seen = set()
    for batch in ContrastiveBatches(utterances, 32, batches=60, seed=0):
        e = utterances[batch[0]].emotion
        seen.add(e)
        expected = [first] * 8 + [second] * 8 if e in IEMOCAP else ["b"] * 16
        assert [utterances[n].corpus for n in batch] == expected + [first] * 8 + [second] * 8
        assert len(set(batch)) == 32
    assert seen == set(CLASSES)


def test_every_class_of_any_corpus_is_drawn_as_often_as_another():
    utterances = listed(IEMOCAP, CASIA)
    drawn = Counter(
        utterances[batch[0]].emotion
        for batch in ContrastiveBatches(utterances, 4, batches=6000, seed=0)
    )
    assert set(drawn) == set(CLASSES)
    assert chisquare(list(drawn.values())).pvalue > 0.01


def test_at_every_place_of_a_batch_each_utterance_of_the_pool_is_drawn_as_often_as_another():
    """Positives of one class, and negatives: of a corpus its 7 others, whatever their class."""
    utterances = listed({"angry": 5, "happy": 1, "sad": 6}, {"angry": 5, "sad": 4, "happy": 3})
    sampler = ContrastiveBatches(utterances, 16, batches=9000, seed=0)
    angry = np.array([b for b in sampler if utterances[b[0]].emotion == "angry"])
    for place, pool in ((0, 5), (3, 5), (4, 5), (7, 5), (8, 7), (11, 7), (12, 7), (15, 7)):
        _, counts = np.unique(angry[:, place], return_counts=True)
        assert len(counts) == pool
        assert chisquare(counts).pvalue > 0.001


def test_what_the_positives_leave_over_goes_to_each_corpus_as_often():
    """Four positives from three corpora: one of them gives two."""
    known = {"angry": 9, "sad": 9}
    utterances = listed(known, known, known, {"happy": 9, "neutral": 9})
    twice = Counter()
    for batch in ContrastiveBatches(utterances, 8, batches=6000, seed=0):
        if utterances[batch[0]].emotion in known:
            (most,) = Counter(utterances[n].corpus for n in batch[:4]).most_common(1)
            twice[most] += 1
    assert set(twice) == {("a", 2), ("b", 2), ("c", 2)}
    assert chisquare(list(twice.values())).pvalue > 0.01


def test_a_pool_that_is_too_small_is_drawn_from_with_replacement():
    utterances = listed({"angry": 1, "sad": 1}, {"angry": 1, "sad": 1})
    for batch in ContrastiveBatches(utterances, 16, batches=20, seed=0):
        assert [utterances[n].corpus for n in batch] == list("aaaabbbbaaaabbbb")
        assert len(set(batch[:8])) == len(set(batch[8:])) == 2


def test_each_place_of_an_utterance_that_is_listed_twice_counts():
    said = listed({"angry": 2, "sad": 2}, {"angry": 2, "sad": 2})
    doubled = said * 2
    batches = list(ContrastiveBatches(doubled, 16, batches=50, seed=0))
    assert {n for batch in batches for n in batch} == set(range(16))
    assert all(len(set(batch)) == 16 for batch in batches)  # each pool is asked for all it has


def test_the_same_seed_gives_the_same_epochs_and_another_seed_others():
    utterances = listed(IEMOCAP, CASIA)
    one, same, other = (ContrastiveBatches(utterances, 32, seed=s) for s in (3, 3, 4))
    epochs = [list(one), list(one)]
    assert epochs == [list(same), list(same)]
    assert epochs[0] != epochs[1]
    assert list(other) not in epochs


def test_an_epoch_does_not_depend_on_how_far_the_one_before_was_read():
    utterances = listed(IEMOCAP, CASIA)
    whole, broken_off = (ContrastiveBatches(utterances, 32, seed=3) for _ in range(2))
    list(whole)
    next(iter(broken_off))
    assert list(whole) == list(broken_off)


@pytest.mark.parametrize(
    ("size", "batches", "expected"), [(32, None, 21), (4, None, 167), (4, 5, 5)]
)
def test_an_epoch_has_as_many_batches_as_would_hold_every_utterance_once(size, batches, expected):
    sampler = ContrastiveBatches(listed(IEMOCAP, CASIA), size, batches=batches, seed=0)
    assert len(sampler) == len(list(sampler)) == expected


TWO = {"angry": 2, "sad": 2}


@pytest.mark.parametrize(
    ("counts", "size", "error", "words"),
    [
        ((TWO, TWO), 30, RecipeError, "batch of 30: half .* 2 corpora; .* of 4, such as 28 or 32"),
        ((TWO, TWO, TWO), 32, RecipeError, "batch of 32: .* 3 corpora; .* of 6, such as 30 or 36"),
        ((TWO, TWO), 2, RecipeError, "batch of 2: .* such as 4 or 8"),
        ((TWO, TWO), 0, RecipeError, "batch of 0: .* such as 4 or 8"),
        ((TWO,), 4, ProtocolError, "two corpora at least, but all 4 utterances are of a; name"),
        ((), 4, ProtocolError, "two corpora at least, but all 0 utterances are of none"),
        ((TWO, {"sad": 5}), 4, ProtocolError, "all utterances of b are of one class"),
        ((TWO, TWO | {"fear": 1}), 4, ProtocolError, "fear: one utterance in all .* needs two"),
    ],
)
def test_what_has_no_such_batches_is_refused(counts, size, error, words):
    with pytest.raises(error, match=words):
        ContrastiveBatches(listed(*counts), size, seed=0)


def test_one_utterance_listed_twice_is_no_pair():
    said = listed(TWO, TWO | {"fear": 1})
    with pytest.raises(ProtocolError, match="fear: one utterance"):
        ContrastiveBatches(said + said, 4, seed=0)
    assert ContrastiveBatches(listed(TWO | {"fear": 1}, TWO | {"fear": 1}), 4, seed=0)
