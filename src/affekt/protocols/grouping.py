"""Utterances in groups: by a field, dealt into equal hands, or a seeded share of the speakers."""

import re
from collections.abc import Iterable
from random import Random

from affekt.errors import ProtocolError
from affekt.types import Corpus, Utterance

Groups = dict[str, list[Utterance]]

NO_SPEAKERS = (
    "name the speakers in the manifest, or use random-k-fold-shares-speakers, "
    "whose scores do not hold for new speakers"
)


def natural(text: str) -> tuple[list[str | int], str]:
    """A sort key that puts '2' before '10', zero-padded or not.

    >>> sorted(["spk10", "spk2", "spk01"], key=natural)
    ['spk01', 'spk2', 'spk10']
    """
    parts = re.split(r"(\d+)", text)  # every second part is a number
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], text


def ordered(utterances: Iterable[Utterance]) -> tuple[Utterance, ...]:
    """The utterances in the natural order of their keys."""
    return tuple(sorted(utterances, key=lambda u: natural(u.key)))


def need(corpus: Corpus, field: str, protocol: str, hint: str) -> None:
    """Refuse a corpus in which the field is unknown for some utterance."""
    lacking = sum(getattr(u, field) is None for u in corpus)
    if lacking:
        raise ProtocolError(
            f"{corpus.name}: {lacking} of {len(corpus)} utterance(s) have no {field}, "
            f"{protocol} needs one for each; {hint}"
        )


def grouped(corpus: Corpus, field: str, protocol: str, least: int, hint: str) -> Groups:
    """The utterances by a field that all must have; groups and utterances in natural order."""
    need(corpus, field, protocol, NO_SPEAKERS if field == "speaker" else hint)
    # Two corpora may both have a speaker '01' or a session '1'; languages mean the same in both.
    many = field in ("speaker", "session") and len({u.corpus for u in corpus}) > 1
    groups: Groups = {}
    for u in ordered(corpus):
        value = getattr(u, field)
        groups.setdefault(f"{u.corpus}:{value}" if many else value, []).append(u)
    if len(groups) < least:
        raise ProtocolError(
            f"{corpus.name} has {len(groups)} {field}(s), {protocol} needs {least}; {hint}"
        )
    return dict(sorted(groups.items(), key=lambda item: natural(item[0])))


def deal(speakers: Groups, folds: int, seed: int) -> Groups:
    """The speakers in `folds` groups, alike in corpora and genders, then in utterances."""
    names = list(speakers)
    Random(seed).shuffle(names)
    kind = {name: (said[0].corpus, said[0].gender or "") for name, said in speakers.items()}
    hands: list[list[str]] = [[] for _ in range(folds)]

    def load(hand: list[str], name: str) -> tuple[int, int]:
        return sum(kind[n] == kind[name] for n in hand), sum(len(speakers[n]) for n in hand)

    for name in sorted(names, key=kind.__getitem__):  # stable: still shuffled within a kind
        loads = [load(hand, name) for hand in hands]
        hands[loads.index(min(loads))].append(name)
    return {str(n): [u for s in hand for u in speakers[s]] for n, hand in enumerate(hands, 1)}


def by_emotion(utterances: Iterable[Utterance], seed: int) -> list[Utterance]:
    """All utterances of one emotion after the other, shuffled within each."""
    shuffled = list(ordered(utterances))
    Random(seed).shuffle(shuffled)
    return sorted(shuffled, key=lambda u: u.emotion)


def some_speakers(utterances: list[Utterance], share: float, seed: int) -> set[str | None]:
    """A random share of the speakers: at least one, but never all."""
    speakers = sorted({str(u.talker) for u in utterances}, key=natural)
    if not share or len(speakers) < 2:
        return set()
    number = min(max(1, round(share * len(speakers))), len(speakers) - 1)
    return set(Random(seed).sample(speakers, number))
