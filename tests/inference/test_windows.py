import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.errors import AudioError
from affekt.inference.windows import Stretch, Windows

RATE = 16_000
STARTS = np.arange(200_000, dtype=np.float32)  # every sample says where it is


def heard(windows, total, cuts=()):
    """(windows as spans, their scores, hops) of `total` samples that come in pieces."""
    stretch, spans, scores, hops = Stretch(windows), [], [], []
    rng = np.random.default_rng(0)

    def judge(window):
        spans.append((int(window.signal[0]), int(window.signal[0]) + len(window.signal)))
        assert np.array_equal(window.signal, STARTS[slice(*spans[-1])])
        scores.append(rng.random(3))
        return scores[-1]

    for piece in np.split(STARTS[:total], sorted(min(cut, total) for cut in cuts)):
        for window in stretch.feed(piece):
            hops.append(stretch.judged(window, judge(window)))
    last = next(iter(stretch.end()), None)
    hops += stretch.rest(last, None if last is None else judge(last))
    return spans, scores, hops


def expected(windows, total, spans, scores):
    """The formula in a plain loop: the mean over the windows that cover all of a hop."""
    found, begin = [], 0
    while begin < total:
        end = min(begin + windows.step, total)
        over = [s for (a, b), s in zip(spans, scores, strict=True) if a <= begin and end <= b]
        found.append((begin, end, np.mean(over, axis=0)))
        begin = end
    return found


lengths = st.tuples(st.integers(20, 150), st.integers(20, 150)).map(sorted)


@settings(max_examples=60, deadline=None)
@given(lengths, st.integers(3_200, 60_000), st.lists(st.integers(0, 60_000), max_size=8))
def test_a_hop_has_the_mean_scores_of_the_windows_that_cover_it(length, total, cuts):
    hop, size = (n / 100 for n in length)
    windows = Windows(length=size, hop=hop)
    spans, scores, hops = heard(windows, total, cuts)
    plain = expected(windows, total, spans, scores)
    short = len(plain) > len(hops)  # what is left was too short for a hop
    if short:
        assert plain[-1][1] - plain[-1][0] < 3_200
    assert [(h.start, h.end) for h in hops][:-1] == [p[:2] for p in plain][: len(hops) - 1]
    assert hops[-1].end == total
    for hop_, (_, _, mean) in zip(hops[: -1 if short else None], plain, strict=False):
        np.testing.assert_allclose(hop_.scores, mean)


def test_windows_follow_each_other_and_the_last_is_moved_back():
    spans, _, hops = heard(Windows(4.0, 2.0), 9 * RATE)
    assert [(a / RATE, b / RATE) for a, b in spans] == [(0, 4), (2, 6), (4, 8), (5, 9)]
    assert [(h.start / RATE, h.end / RATE) for h in hops] == [
        (0, 2),
        (2, 4),
        (4, 6),
        (6, 8),
        (8, 9),
    ]


def test_no_window_is_judged_twice_where_one_ends_with_the_sound():
    spans, scores, hops = heard(Windows(4.0, 3.0), 7 * RATE)
    assert [(a / RATE, b / RATE) for a, b in spans] == [(0, 4), (3, 7)]
    np.testing.assert_array_equal([h.scores for h in hops], [scores[0], scores[1], scores[1]])


def test_what_is_shorter_than_a_window_is_one_as_it_is():
    spans, scores, hops = heard(Windows(4.0, 2.0), 3 * RATE)
    assert spans == [(0, 3 * RATE)]
    np.testing.assert_array_equal([h.scores for h in hops], [scores[0]] * 2)


def test_a_few_samples_more_are_no_hop_of_their_own():
    assert [h.end for h in heard(Windows(4.0, 2.0), 4 * RATE + 5)[2]] == [32_000, 64_005]
    assert [h.end for h in heard(Windows(2.0, 2.0), 4 * RATE + 5)[2]] == [32_000, 64_000, 64_005]


def test_only_what_may_still_be_needed_is_kept():
    stretch = Stretch(Windows(1.0, 0.5))
    for _ in range(50):
        for window in stretch.feed(np.zeros(10_000, np.float32)):
            stretch.judged(window, np.zeros(2))
        assert len(stretch._kept) <= 2 * RATE
        assert len(stretch._sums) <= 2


@pytest.mark.parametrize(
    ("length", "hop"), [(4.0, 0.0), (4.0, -1.0), (2.0, 4.0), (0.1, 0.1), (float("inf"), 2.0)]
)
def test_windows_that_cannot_be_are_refused(length, hop):
    with pytest.raises(AudioError, match="give a hop of at least 0.2 s"):
        Windows(length, hop)
