"""What a change of one key of a recipe did on each corpus: differences of runs, as pictures."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from affekt.evaluation import by_corpus, pages, plots
from affekt.evaluation.compare import ALL_PAIRS, CLEAREST, Comparison, Pair
from affekt.evaluation.plots import Mark

Tests = Mapping[str, Sequence[Comparison]]  # by corpus


def of_one_key(
    recipes: Mapping[str, Mapping[str, Any]], varied: Mapping[str, Mapping[str, Any]]
) -> dict[Pair, str]:
    """The pairs of runs whose recipes differ in one key, and this key: {("a", "b"): "head"}.

    What tells of a recipe without changing the run, such as its title, does not count. Rows of a
    grid that differ in more are a pair if the grid varies one key between them: their `base`.

    Args:
        recipes: by the names of the runs.
        varied: the value of each key that a grid varies, likewise.
    """
    from affekt.recipe.recipe import OWN

    found = {}
    for a, b in combinations(recipes, 2):
        left, right = recipes[a], recipes[b]
        keys = _differing(left, right) - {*OWN}
        if len(keys) > 1:
            keys = _differing(varied[a], varied[b])
        if len(keys) == 1:
            found[a, b] = keys.pop()
    return found


def _differing(left: Mapping[str, Any], right: Mapping[str, Any]) -> set[str]:
    return {key for key in (*left, *right) if left.get(key) != right.get(key)}


def procedure(tests: Tests, keys: Mapping[Pair, str]) -> str:
    """Which pairs were tested on each corpus, and what Holm's correction is for, in words."""
    whole = [name for name, some in tests.items() if not any((t.a, t.b) in keys for t in some)]
    said = []
    if len(whole) < len(tests):
        said += [
            "Tested are runs whose recipes differ in one key. Holm: corrected for the number of "
            "pairs that differ in the same key and judged the same utterances of the corpus."
        ]
    if whole:
        where = f"On {', '.join(whole)} no" if said else "No"
        said += [
            f"{where} two of the recipes differ in one key alone: all pairs are tested. Holm: "
            "corrected for the number of pairs that judged the same utterances of the corpus."
        ]
    return " ".join(said)


def draw(tests: Tests, keys: Mapping[Pair, str], rows: by_corpus.Rows) -> list[dict[str, Any]]:
    """Per key that sets pairs of runs apart: its name, a picture, pairs shown, pairs in all."""
    found = {(test.a, test.b): test for pairs in tests.values() for test in pairs}
    drawn = []
    for key in dict.fromkeys(keys.values()):
        pairs = [pair for pair in found if keys.get(pair) == key]
        shown = _clearest(pairs, tests)
        if shown:
            picture = _picture(shown, tests, rows)
            drawn.append({"key": key, "shown": len(shown), "pairs": len(pairs), "picture": picture})
    return drawn


def _clearest(pairs: Sequence[Pair], tests: Tests) -> list[Pair]:
    """All pairs if they are few, else those with the smallest p on any corpus."""
    if len(pairs) <= ALL_PAIRS:
        return list(pairs)
    smallest = {pair: min(test.p for test in _of(pair, tests).values()) for pair in pairs}
    kept = sorted(pairs, key=smallest.__getitem__)[:CLEAREST]
    return [pair for pair in pairs if pair in kept]


def _of(pair: Pair, tests: Tests) -> dict[str, Comparison]:
    """The comparison of a pair on each corpus that has one."""
    return {
        corpus: test
        for corpus, found in tests.items()
        for test in found
        if pair == (test.a, test.b)
    }


def _picture(pairs: Sequence[Pair], tests: Tests, rows: by_corpus.Rows) -> str:
    """Differences in UA, A - B, as marks within their intervals; a line where there is none."""
    runs = {row["name"]: row["by_corpus"] for row in rows}
    label = {row["name"]: row["label"] for row in rows}
    paint = by_corpus.paints(by_corpus.corpora(rows))
    shown: dict[str, list[Mark]] = {}
    for a, b in pairs:
        found = _of((a, b), tests)
        both = title(label[a], label[b])
        shown[both if both not in shown else f"{label[a]} − {label[b]}"] = [
            Mark(
                value=found[corpus].difference,
                colour=paint[corpus],
                shape=by_corpus.shape(*(runs[run][corpus]["training"] for run in (a, b))),
                lift=lift,
                span=(found[corpus].low, found[corpus].high),
                hint=f"{a} - {b} on {corpus}: {pages.signed(found[corpus].difference)} "
                f"[{pages.signed(found[corpus].low)}, {pages.signed(found[corpus].high)}]",
            )
            for corpus, lift in zip(paint, by_corpus.lifts(len(paint)), strict=True)
            if corpus in found
        ]
    return plots.strips(
        shown,
        axis="difference in UA, with its 95 % interval",
        legend=by_corpus.legend(paint, [row for row in rows if row["name"] in sum(pairs, ())]),
        band=(0.0, 0.0, 0.0),
        step=by_corpus.height(len(paint)),
    )


def title(a: str, b: str) -> str:
    r"""The labels of a pair on two lines: what they share, then what sets them apart.

    Of two rows of a grid the values are compared one by one, of others the words.

    >>> title("de-en-wavlm-wccn", "de-en-wavlm-plain")
    'de-en-wavlm:\nwccn − plain'
    >>> title("de-en-wccn", "de-pl-wccn")
    'de-wccn:\nen − pl'
    >>> title("(small, de-en)", "(small-without, de-en)")
    'de-en:\nsmall − small-without'
    """
    if a.startswith("(") and b.startswith("("):
        return _of_values(a[1:-1].split(", "), b[1:-1].split(", "))
    left, right = a.split("-"), b.split("-")
    before = _shared(left, right)
    after = _shared(left[before:][::-1], right[before:][::-1])
    shared = [*left[:before], *left[len(left) - after :]]
    rest = (words[before : len(words) - after] for words in (left, right))
    difference = " − ".join(map("-".join, rest))
    return f"{'-'.join(shared)}:\n{difference}" if shared else difference


def _of_values(left: Sequence[str], right: Sequence[str]) -> str:
    """The same of the values of two rows of a grid."""
    shared = [x for x, y in zip(left, right, strict=True) if x == y]
    apart = [pair for pair in zip(left, right, strict=True) if pair[0] != pair[1]]
    difference = " − ".join(map(", ".join, zip(*apart, strict=True)))
    return f"{', '.join(shared)}:\n{difference}" if shared else difference


def _shared(a: Sequence[str], b: Sequence[str]) -> int:
    """With how many equal words both begin, less than all of either."""
    most = min(len(a), len(b)) - 1
    return next((n for n in range(most) if a[n] != b[n]), most)
