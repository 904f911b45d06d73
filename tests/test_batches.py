from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import lognorm, spearmanr

from affekt import audio, corpora
from affekt.batches import (
    Endless,
    LengthBuckets,
    UtteranceDataset,
    as_listed,
    in_order,
    loader,
    sorted_batches,
)
from affekt.types import Utterance


def dataset(lengths):
    names = ("angry", "sad")
    said = [
        Utterance(id=str(n), audio=Path(f"{n}.wav"), emotion=names[n % 2], corpus="toy")
        for n in range(len(lengths))
    ]
    clips = {u.key: torch.full((2, n, 3), float(n)) for u, n in zip(said, lengths, strict=True)}
    return UtteranceDataset(said, clips, names)


def test_padding_is_zero_and_masked():
    batch = dataset([4, 7, 1]).__getitems__([0, 1, 2])
    assert batch.inputs.layers.shape == (3, 2, 7, 3)
    assert batch.inputs.mask.sum(dim=1).tolist() == [4, 7, 1]
    assert batch.inputs.layers.sum(dim=(1, 2, 3)).tolist() == [4 * 4 * 6, 7 * 7 * 6, 6]
    assert batch.labels.tolist() == [0, 1, 0]
    assert batch.keys == ["toy:0", "toy:1", "toy:2"]


def test_every_utterance_comes_once_per_epoch_in_another_order():
    lengths = np.random.default_rng(0).integers(5, 500, 1003).tolist()
    sampler = LengthBuckets(lengths, 16, seed=0)
    first, second = list(sampler), list(sampler)
    assert len(first) == len(sampler) == 63
    for epoch in (first, second):
        assert sorted(n for batch in epoch for n in batch) == list(range(1003))
    assert first != second
    assert list(LengthBuckets(lengths, 16, seed=0)) == first


def lengths_like_iemocap(clips):
    """Frames of 20 ms: 0.6 to 34 s, 4.2 s on average."""
    at = (np.arange(clips) + 0.5) / clips
    return np.clip(50 * lognorm.ppf(at, 0.62, scale=3.5), 30, 1700).astype(int)


@pytest.fixture(scope="module")
def lengths_of_emodb(emodb_folder):
    return np.array([int(50 * audio.seconds(u)) for u in corpora.listed("emodb", emodb_folder)])


def padding(batches, lengths):
    """The share of frames that are padding."""
    return 1 - lengths.sum() / sum(len(b) * lengths[b].max() for b in batches)


def met(batches, clips):
    """Who is with whom in a batch."""
    number = np.empty(clips, dtype=int)
    for n, batch in enumerate(batches):
        number[batch] = n
    together = number[:, None] == number
    np.fill_diagonal(together, False)
    return together


@pytest.mark.parametrize("size", [4, 16, 32])
def test_clips_of_a_batch_are_of_like_length(size):
    lengths = lengths_like_iemocap(4400)
    assert padding(LengthBuckets(lengths.tolist(), size, seed=0), lengths) < 0.05
    at_random = np.random.default_rng(1).permutation(4400)[: 4400 // size * size].reshape(-1, size)
    assert padding(at_random.tolist(), lengths) > 0.25


def test_clips_of_a_small_corpus_are_of_like_length(lengths_of_emodb):
    """With 17 batches of 32 the lengths within one must differ: sorting alone pads 8 to 10 %."""
    for size, most in ((4, 0.02), (16, 0.06), (32, 0.11)):
        sampler = LengthBuckets(lengths_of_emodb.tolist(), size, seed=0)
        shares = [padding(sampler, lengths_of_emodb) for _ in range(20)]
        assert np.mean(shares) < most


@pytest.mark.parametrize(("size", "most"), [(4, 0.2), (16, 0.5), (32, 0.7)])
def test_clips_meet_others_in_the_next_epoch(lengths_of_emodb, size, most):
    sampler = LengthBuckets(lengths_of_emodb.tolist(), size, seed=0)
    epochs = [met(sampler, len(lengths_of_emodb)) for _ in range(20)]
    again = [(a & b).sum() / a.sum() for a, b in zip(epochs, epochs[1:], strict=False)]
    assert np.mean(again) < most


def test_the_place_of_a_batch_says_nothing_of_its_length(lengths_of_emodb):
    sampler = LengthBuckets(lengths_of_emodb.tolist(), 16, seed=0)
    drawn = [[lengths_of_emodb[b].mean() for b in sampler] for _ in range(100)]
    tied = [spearmanr(range(len(means)), means).statistic for means in drawn]
    assert abs(np.mean(tied)) < 4 / np.sqrt(100 * (len(sampler) - 1))  # 4 standard errors


def test_the_short_batch_holds_clips_of_every_length():
    lengths = lengths_like_iemocap(70)
    sampler = LengthBuckets(lengths.tolist(), 8, seed=0)
    short = [batch for _ in range(900) for batch in sampler if len(batch) == 6]
    assert len(short) == 900
    counts = np.bincount(np.concatenate(short), minlength=70)
    places = np.array([counts[:6].mean(), counts[32:38].mean(), counts[-6:].mean()])
    assert (np.abs(places - 100) < 40).all()  # one of nine places, 900 times


def test_clips_of_one_length_are_batched_at_random():
    sampler = LengthBuckets([1] * 64, 8, seed=0)
    epochs = [met(sampler, 64) for _ in range(50)]
    again = [(a & b).sum() / a.sum() for a, b in zip(epochs, epochs[1:], strict=False)]
    assert 0.08 < np.mean(again) < 0.14  # 7 / 63


def test_passes_follow_one_another_without_a_break():
    lengths = list(range(5, 27))
    endless = Endless(LengthBuckets(lengths, 4, seed=3), batches=5)
    assert len(endless) == 5
    drawn = [batch for _ in range(6) for batch in endless]  # 30 batches, 5 passes of 6
    passes = LengthBuckets(lengths, 4, seed=3)
    assert drawn == [batch for _ in range(5) for batch in passes]
    for n in range(0, 30, 6):
        assert sorted(i for batch in drawn[n : n + 6] for i in batch) == list(range(22))


def test_for_judging_the_order_is_fixed():
    data = dataset([3, 9, 1, 5])
    keys = [batch.keys for batch in in_order(data, 2)]
    assert keys == [["toy:2", "toy:0"], ["toy:3", "toy:1"]]


def test_a_batch_that_is_judged_has_a_bounded_number_of_frames():
    lengths = lengths_like_iemocap(300).tolist()
    batches = sorted_batches(lengths, 64, 4000)
    assert [n for batch in batches for n in batch] == np.argsort(lengths, kind="stable").tolist()
    assert all(len(b) <= 64 and len(b) * lengths[b[-1]] <= 4000 for b in batches)
    for this, following in zip(batches, batches[1:], strict=False):  # none could take one more
        assert len(this) == 64 or (len(this) + 1) * lengths[following[0]] > 4000
    assert sorted_batches([9000, 10], 64, 4000) == [[1], [0]]


def test_training_goes_on_in_the_middle_of_a_pass():
    batches = loader(dataset([3, 9, 1, 5, 4]), 2, seed=0, batches=2)
    seen = [key for _ in range(3) for batch in batches for key in batch.keys]
    assert sorted(seen) == sorted(f"toy:{n}" for n in range(5) for _ in range(2))


def test_any_clips_meet_where_batches_are_drawn_at_random():
    lengths = np.random.default_rng(0).integers(5, 500, 203).tolist()
    data = dataset(lengths)
    drawn = loader(data, 4, seed=0, by_length=False)
    first, second = ([batch.keys for batch in drawn] for _ in range(2))
    assert first != second
    for keys in (first, second):
        assert sorted(k for batch in keys for k in batch) == sorted(u.key for u in data.utterances)
    padded = sum(batch.inputs.mask.numel() for batch in drawn)
    assert 1 - sum(lengths) / padded > 0.2
    assert [b.keys for b in as_listed(data, 4)][0] == ["toy:0", "toy:1", "toy:2", "toy:3"]
