"""Several corpora or languages in one fold: which are trained on, and how often each is repeated.

Tang et al. 2023 (arXiv:2311.13678), sections 4.3 and 4.4: a recogniser learns from two languages
and is tested on unseen speakers of these (within-language) and of a third (cross-language).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from affekt.errors import ProtocolError, nearest
from affekt.types import Fold, Utterance

By = Literal["none", "language", "corpus"]  # none: all of it is one group
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
    """How often each language or corpus of train is repeated: none ends smaller than the largest.

    Rounded up, as the paper's counts are (section 4.3): of two that are nearly equal the smaller
    becomes nearly twice as large.
    """
    sizes = {name: len(group) for name, group in _groups(fold.train, by).items()}
    return {name: -(-max(sizes.values()) // size) for name, size in sizes.items()}


def balanced(fold: Fold, by: By) -> Fold:
    """The fold with every utterance of train as often as `repeats` says."""
    times = repeats(fold, by)
    groups = _groups(fold.train, by)
    return replace(fold, train=tuple(u for name in groups for u in groups[name] * times[name]))


def refuse_lacking(fold: Fold, by: By) -> None:
    """Refuse a fold that trains on a language or corpus without a class which another has.

    Raises:
        ProtocolError: there is one; the class would be told by the language.
    """
    every = {u.emotion for u in fold.train}
    for name, group in _groups(fold.train, by).items():
        if lacking := sorted(every - {u.emotion for u in group}):
            raise ProtocolError(
                f'balance = "{by}": in train of fold {fold.name} {name} has no utterance of '
                f"{', '.join(lacking)}, which others have; keep the classes that every {by} has "
                f"(labels), take more shots, or leave {name} out"
            )


def _groups(utterances: Sequence[Utterance], by: By) -> Groups:
    groups: Groups = {}
    for u in utterances:
        name = "" if by == "none" else getattr(u, by)
        if name is None:
            raise ProtocolError(
                f'balance = "{by}": {u.key} has no {by}; name it in the corpus, or balance '
                'by "corpus"'
            )
        groups.setdefault(name, []).append(u)
    return groups
