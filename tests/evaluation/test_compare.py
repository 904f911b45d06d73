from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from affekt.errors import RunError
from affekt.evaluation import compare

LABELS = ("angry", "happy", "neutral", "sad")


def hits(judged):
    """(right, total) of every speaker."""
    names = sorted({p.speaker for p in judged})
    return np.array([
        [sum(p.label == p.truth for p in judged if p.speaker == n),
         sum(p.speaker == n for p in judged)] for n in names
    ])  # fmt: skip


@pytest.mark.parametrize("speakers", [5, 10])
def test_the_exact_test_is_scipys_permutation_test_over_speakers(judge, speakers):
    a, b = (judge(150, speakers=speakers, skill=s, draw=d) for s, d in ((2.0, 1), (1.5, 2)))
    left, right = hits(a)[:, 0], hits(b)[:, 0]
    expected = stats.permutation_test(
        (left, right),
        lambda x, y: (x.sum() - y.sum()) / 150,
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=False,
    )
    found = compare.compare(a, b, "WA")
    assert found.exact
    assert found.difference == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)


def test_the_exact_test_of_ua_is_a_plain_loop_over_all_swaps(judge):
    a, b = judge(80, speakers=4, draw=1), judge(80, speakers=4, skill=1.6, draw=2)
    names = sorted({p.speaker for p in a})

    def ua(judged):
        shares = [[p.label == p.truth for p in judged if p.truth == t] for t in LABELS]
        return np.mean([np.mean(s) for s in shares])

    def swapped(bits):
        other = {name for n, name in enumerate(names) if bits >> n & 1}
        x = [q if p.speaker in other else p for p, q in zip(a, b, strict=True)]
        y = [p if p.speaker in other else q for p, q in zip(a, b, strict=True)]
        return ua(x) - ua(y)

    found = compare.compare(a, b)
    differences = [swapped(bits) for bits in range(16)]
    assert found.difference == pytest.approx(differences[0])
    assert found.p == np.mean(np.abs(differences) >= abs(differences[0]) - 1e-12)


def test_random_swaps_agree_with_scipy_within_their_error(judge):
    a, b = (judge(600, speakers=30, skill=s, draw=d) for s, d in ((1.7, 1), (1.6, 2)))
    expected = stats.permutation_test(
        (hits(a)[:, 0], hits(b)[:, 0]),
        lambda x, y, axis: x.sum(axis) - y.sum(axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    found = compare.compare(a, b, "WA")
    assert not found.exact
    assert found.p == pytest.approx(expected.pvalue, abs=0.02)
    assert found.smallest == 1 / 10_001


def test_unknown_speakers_are_swapped_utterance_by_utterance(judge):
    a, b = (
        [replace(p, speaker=None) for p in judge(400, skill=s, draw=d)]
        for s, d in ((1.7, 1), (1.45, 2))
    )
    only_a = sum(p.label == p.truth != q.label for p, q in zip(a, b, strict=True))
    only_b = sum(q.label == q.truth != p.label for p, q in zip(a, b, strict=True))
    mcnemar = stats.binomtest(only_a, only_a + only_b).pvalue
    found = compare.compare(a, b, "WA")
    assert found.unit == "utterance"
    assert found.p == pytest.approx(mcnemar, abs=0.02)


def test_few_speakers_bound_the_smallest_p(judge):
    a = judge(100, speakers=5)
    b = [replace(p, label=LABELS[LABELS.index(p.truth) - 1]) for p in a]
    found = compare.compare([replace(p, label=p.truth) for p in a], b)
    assert found.difference == 1.0
    assert found.p == found.smallest == 2 / 2**5


def test_a_run_does_not_differ_from_itself(judge):
    found = compare.compare(judge(60), judge(60))
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_run_with_three_equal_seeds_compares_like_one_with_a_single_seed(judge):
    a, b = judge(100, draw=1), judge(100, skill=1.5, draw=2)
    thrice = a + [replace(p, seed=s) for s in (1, 2) for p in a]
    once, more = compare.compare(a, b), compare.compare(thrice, b)
    assert more.difference == pytest.approx(once.difference)
    assert (more.p, more.n) == (once.p, once.n)


def test_the_interval_of_the_difference_is_that_of_speakers_drawn_in_pairs(judge):
    a, b = judge(300, skill=2.2, draw=1), judge(300, skill=1.4, draw=2)
    gap = (hits(a) - hits(b))[:, 0]
    total = hits(a)[:, 1]
    picks = np.random.default_rng(0).integers(10, size=(20_000, 10))
    loop = gap[picks].sum(1) / total[picks].sum(1)
    tail = stats.norm.cdf(np.sqrt(10 / 9) * stats.t.ppf(0.025, 9))
    found = compare.compare(a, b, "WA")
    assert [found.low, found.high] == pytest.approx(np.quantile(loop, [tail, 1 - tail]), abs=0.02)
    assert found.low < found.difference < found.high


def test_swapping_the_names_turns_the_sign_and_keeps_p(judge):
    a, b = judge(100, draw=1), judge(100, skill=1.5, draw=2)
    there, back = compare.compare(a, b), compare.compare(b, a)
    assert there.difference == -back.difference
    assert there.p == back.p


def test_holm_is_the_example_computed_by_hand():
    # sorted 0.005 0.01 0.03 0.04, times 4 3 2 1: 0.02 0.03 0.06 0.04, running maximum
    assert compare.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert compare.holm([0.6, 0.7]) == [1.0, 1.0]
    assert compare.holm([]) == []


def test_all_pairs_are_compared_and_corrected_together(judge):
    runs = {f"run {d}": judge(120, skill=1 + d, draw=d) for d in range(3)}
    pairs = compare.compare_all(runs)
    assert [(c.a, c.b) for c in pairs] == [
        ("run 0", "run 1"), ("run 0", "run 2"), ("run 1", "run 2"),
    ]  # fmt: skip
    assert [c.adjusted for c in pairs] == compare.holm([c.p for c in pairs])


def test_runs_over_other_utterances_or_labels_are_refused(judge):
    with pytest.raises(RunError, match="A judged 50 utterances, B 60; 10 only in B, such as toy:u"):
        compare.compare(judge(50), judge(60))
    other = judge(50)
    other[0] = replace(other[0], truth="sad" if other[0].truth != "sad" else "happy")
    with pytest.raises(RunError, match="compare runs with the same labels"):
        compare.compare(judge(50), other)


def test_only_runs_over_the_same_utterances_make_pairs(judge):
    runs = {"a": judge(50), "b": judge(60), "c": judge(50, draw=1), "d": judge(60, draw=1)}
    pairs = compare.compare_alike(runs)
    assert [(c.a, c.b) for c in pairs] == [("a", "c"), ("b", "d")]
    assert all(c.adjusted == c.p for c in pairs)  # corrected among those that were compared


def test_the_clearest_pairs_are_those_with_the_smallest_p(judge):
    pairs = compare.compare_alike({f"run {n}": judge(skill=1 + n / 2, draw=n) for n in range(7)})
    shown = compare.clearest(pairs)
    assert len(shown) == 10
    assert max(pair.p for pair in shown) <= min(pair.p for pair in pairs if pair not in shown)
    assert compare.clearest(pairs[:15]) == pairs[:15]


def test_on_each_corpus_a_pair_is_compared_as_if_it_were_alone(judge_all):
    skills = {"german": 2.0, "english": 1.0}
    runs = {f"run {d}": judge_all(skills, draw=d) for d in range(3)}
    found = compare.compare_by_corpus(runs)
    assert list(found) == ["german", "english"]
    for corpus, pairs in found.items():
        alone = {name: [p for p in run if p.corpus == corpus] for name, run in runs.items()}
        assert pairs == compare.compare_all(alone)
    assert found["german"] != found["english"]


def test_pairs_with_a_key_are_corrected_for_those_of_the_same_key_and_no_others_compared(judge_all):
    runs = {f"run {d}": judge_all({"german": 1.0 + d}, draw=d) for d in range(4)}
    keys = {("run 0", "run 1"): "head", ("run 1", "run 3"): "seeds", ("run 2", "run 3"): "head"}
    [(corpus, found)] = compare.compare_by_corpus(runs, keys=keys).items()
    assert corpus == "german"
    p = {(c.a, c.b): c.p for c in compare.compare_all(runs)}
    assert {(c.a, c.b): c.p for c in found} == {pair: p[pair] for pair in keys}
    head = compare.holm([p["run 0", "run 1"], p["run 2", "run 3"]])
    assert {(c.a, c.b): c.adjusted for c in found} == {
        ("run 0", "run 1"): head[0], ("run 2", "run 3"): head[1],
        ("run 1", "run 3"): p["run 1", "run 3"],
    }  # fmt: skip


def test_on_a_corpus_without_such_pairs_all_are_compared(judge_all):
    runs = {
        "a": judge_all({"german": 2.0, "english": 1.0}),
        "b": judge_all({"german": 1.5}, draw=1),
        "c": judge_all({"german": 1.0, "english": 1.5}, draw=2),
    }
    found = compare.compare_by_corpus(runs, keys={("a", "b"): "head"})
    assert {corpus: [(c.a, c.b) for c in tests] for corpus, tests in found.items()} == {
        "german": [("a", "b")], "english": [("a", "c")]
    }  # fmt: skip
    assert compare.compare_by_corpus(runs, keys={}) == compare.compare_by_corpus(runs)


def test_nine_speakers_can_tell_three_pairs_apart_but_not_36(judge):
    right = [p for p in judge(180, speakers=9) if p.label == p.truth]
    wrong = [replace(p, label=LABELS[LABELS.index(p.truth) - 1]) for p in right]
    runs = {f"{n}": (right, wrong)[n % 2] for n in range(9)}
    every = compare.compare_all(runs)
    assert len(every) == 36
    assert min(c.adjusted for c in every) > 0.05
    keys = {("0", "1"): "head", ("2", "3"): "head", ("4", "5"): "head", ("0", "2"): "train_on"}
    found = compare.compare_all(runs, keys=keys)
    assert [c.adjusted for c in found if keys[c.a, c.b] == "head"] == pytest.approx([6 / 2**9] * 3)
