"""Several corpora or languages in one fold: which are trained on, and how often each is repeated.

Tang et al. 2023 (arXiv:2311.13678), sections 4.3 and 4.4: a recogniser learns from two languages
and is tested on unseen speakers of these (within-language) and of a third (cross-language).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from affekt.errors import ProtocolError, nearest
from affekt.types import Corpus, Fold, Utterance

By = Literal["language", "corpus"]
Groups = dict[str, list[Utterance]]


def train_on(fold: Fold, corpora: Sequence[str]) -> Fold:
    """The fold without what other corpora have in train and dev.

    Raises:
        ProtocolError: the fold has no such corpus in train.
    """
    _refuse_strange(fold, "train", corpora)
    return replace(fold, train=_of(fold.train, corpora), dev=_of(fold.dev, corpora))


def test_on(fold: Fold, corpora: Sequence[str]) -> Fold:
    """The fold without what other corpora have in test.

    Raises:
        ProtocolError: the fold has no such corpus in test.
    """
    _refuse_strange(fold, "test", corpora)
    return replace(fold, test=_of(fold.test, corpora))


def _of(side: Sequence[Utterance], corpora: Sequence[str]) -> tuple[Utterance, ...]:
    return tuple(u for u in side if u.corpus in corpora)


def _refuse_strange(fold: Fold, side: str, corpora: Sequence[str]) -> None:
    there = sorted({u.corpus for u in getattr(fold, side)})
    for name in corpora:
        if name not in there:
            raise ProtocolError(
                f"{side}_on: fold {fold.name} has no utterance of '{name}' in {side}; it has "
                f"{', '.join(there)}.{nearest(name, there)}"
            )


def repeats(fold: Fold, by: By) -> dict[str, int]:
    """How often each language or corpus of train is repeated, so that all are about as large.

    The largest once, the others as often as it takes to reach it (section 4.3).
    """
    sizes = {name: len(group) for name, group in _groups(fold.train, by).items()}
    return {name: -(-max(sizes.values()) // size) for name, size in sizes.items()}


def balanced(fold: Fold, by: By) -> Fold:
    """The fold with every utterance of train as often as `repeats` says."""
    times = repeats(fold, by)
    groups = _groups(fold.train, by)
    return replace(fold, train=tuple(u for name in groups for u in groups[name] * times[name]))


def refuse_lacking(corpus: Corpus, by: By) -> None:
    """Refuse a language or corpus that lacks a class which another has.

    Raises:
        ProtocolError: there is one; the classes would be told apart by the language.
    """
    every = set(corpus.counts())
    for name, group in _groups(corpus.utterances, by).items():
        if lacking := sorted(every - {u.emotion for u in group}):
            raise ProtocolError(
                f'balance = "{by}": {name} has no utterance of {", ".join(lacking)}, which '
                f"others have; keep the classes that every {by} has (labels), or leave {name} out"
            )


def _groups(utterances: Sequence[Utterance], by: By) -> Groups:
    groups: Groups = {}
    for u in utterances:
        name = getattr(u, by)
        if name is None:
            raise ProtocolError(
                f'balance = "{by}": {u.key} has no {by}; name it in the corpus, or balance '
                'by "corpus"'
            )
        groups.setdefault(name, []).append(u)
    return groups
