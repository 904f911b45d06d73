"""The five folds of Tang et al. 2023 (arXiv:2311.13678), Table 2, within and across languages."""

import re
from typing import Literal

from affekt.errors import ProtocolError
from affekt.protocols.grouping import grouped, ordered
from affekt.types import Corpus, Fold, Utterance

# The speakers of each group; a fold tests one, chooses on one and trains on three.
TABLE_2 = {
    "emodb": ((3, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    "ravdess": (range(1, 6), range(6, 11), range(11, 16), range(16, 21), range(21, 25)),
    "esd": ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10)),  # Mandarin
}


def deep_wccn(
    corpus: Corpus,
    *,
    dev: Literal["table", "left-out"] = "table",
    setting: Literal["within-language", "cross-language"] = "within-language",
    groups: dict[str, list[list[str]]] | None = None,
) -> list[Fold]:
    """Tang et al. 2023, Table 2: train on three speaker groups, dev one, test one.

    Args:
        corpus: one or several of Emo-DB, RAVDESS and ESD; fold k takes fold k of each.
        dev: 'left-out' drops the dev group, so that a method that chooses nothing on it still
            trains on the same three groups.
        setting: 'cross-language' (section 4.4.2) makes five folds per language: its test groups,
            and the train and dev groups of the other languages.
        groups: five groups of speakers for a corpus that the table lacks.
    """
    given = {name: _checked_groups(name, g) for name, g in (groups or {}).items()}
    placed = [(_group(u, given), u) for u in ordered(corpus)]
    folds = [_table_2_fold(placed, number, dev == "table") for number in range(1, 6)]
    if setting == "within-language":
        return folds
    hint = "read several corpora, or use the within-language setting"
    languages = grouped(corpus, "language", "deep-wccn, cross-language", 2, hint)
    return [
        Fold(
            name=f"{language}-{fold.name}",
            train=tuple(u for u in fold.train if u.language != language),
            dev=tuple(u for u in fold.dev if u.language != language),
            test=tuple(u for u in fold.test if u.language == language),
        )
        for language in languages
        for fold in folds
    ]


def _checked_groups(name: str, groups: list[list[str]]) -> dict[str, int]:
    """Which group each speaker is in."""
    placed = {speaker: n for n, group in enumerate(groups) for speaker in group}
    if len(groups) != 5 or len(placed) < sum(map(len, groups)) or not all(groups):
        raise ProtocolError(
            f"deep-wccn: groups.{name} must be five lists that name each speaker once, "
            f"but got {groups}"
        )
    return placed


def _group(u: Utterance, given: dict[str, dict[str, int]]) -> int:
    """Which of the five groups the utterance's speaker is in: 0 to 4."""
    if u.corpus not in given and u.corpus not in TABLE_2:
        raise ProtocolError(
            f"deep-wccn: Table 2 has no groups for {u.corpus}, only for {', '.join(TABLE_2)}; "
            f"give groups = {{ {u.corpus} = [[...], ...] }} with five lists of speakers, "
            "or use speaker-k-fold"
        )
    if u.corpus in given:
        found = given[u.corpus].get(u.speaker or "")
        hint = f"name each speaker in groups.{u.corpus}"
    else:
        digits = re.search(r"\d+$", u.speaker or "")  # '3', '03' and 'Actor_03' are the same
        number = int(digits[0]) if digits else None
        found = next((n for n, g in enumerate(TABLE_2[u.corpus]) if number in g), None)
        hint = "keep the speakers of Table 2 (of ESD the Mandarin ones, 0001 to 0010)"
    if found is None:
        raise ProtocolError(
            f"deep-wccn: {u.corpus} speaker '{u.speaker}' is in none of the five groups; {hint}, "
            "or use speaker-k-fold"
        )
    return found


def _table_2_fold(placed: list[tuple[int, Utterance]], number: int, with_dev: bool) -> Fold:
    """Fold `number` tests group 6 - number and chooses on the group before."""
    test = 5 - number  # groups count from 0 here
    dev = (test - 1) % 5
    return Fold(
        name=str(number),
        train=tuple(u for group, u in placed if group not in (test, dev)),
        dev=tuple(u for group, u in placed if group == dev and with_dev),
        test=tuple(u for group, u in placed if group == test),
    )
