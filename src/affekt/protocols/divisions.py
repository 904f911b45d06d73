"""The protocols: each divides a corpus into folds; its keyword arguments are its options."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Literal

from affekt.errors import ProtocolError
from affekt.protocols.grouping import (
    NO_SPEAKERS,
    Groups,
    by_emotion,
    deal,
    grouped,
    need,
    ordered,
    some_speakers,
)
from affekt.protocols.splits import read_splits
from affekt.types import Corpus, Fold, Utterance

DEV_SHARE = 0.2  # of the training speakers, of each language


def leave_one_session_out(
    corpus: Corpus,
    *,
    dev: Literal["next-session", "random-20%", "none"] = "next-session",
    seed: int = 0,
) -> list[Fold]:
    """Test on each session in turn, choose on the next one, train on the rest.

    `random-20%` chooses on a fifth of the training utterances instead, as SUPERB and
    Kakouros et al. (2022) do: train and dev then share speakers.
    """
    name = "leave-one-session-out"
    need(corpus, "speaker", name, NO_SPEAKERS)
    least = 3 if dev == "next-session" else 2
    folds = _rotate(
        grouped(corpus, "session", name, least, "use speaker-k-fold instead"),
        next_is_dev=dev == "next-session",
    )
    return [_random_dev(f, seed) for f in folds] if dev == "random-20%" else folds


def leave_one_speaker_out(
    corpus: Corpus, *, dev: Literal["none", "next-speaker", "session-partner"] = "none"
) -> list[Fold]:
    """Test on each speaker in turn, train on the rest, less the dev speaker if there is one.

    `session-partner` chooses on whoever else speaks in the tested speaker's session.
    """
    name = "leave-one-speaker-out"
    least = 3 if dev == "next-speaker" else 2
    speakers = grouped(corpus, "speaker", name, least, 'use dev = "none", or read more speakers')
    folds = _rotate(speakers, next_is_dev=dev == "next-speaker")
    if dev != "session-partner":
        return folds
    need(corpus, "session", f"{name} with dev = 'session-partner'", 'use dev = "next-speaker"')
    return [_partner_dev(f) for f in folds]


def speaker_k_fold(
    corpus: Corpus,
    *,
    folds: int = 5,
    seed: int = 0,
    dev: Literal["next-fold", "none"] = "next-fold",
) -> list[Fold]:
    """Test on each of `folds` groups of speakers, choose on the next group, train on the rest.

    Each group gets as many speakers of each corpus and gender as the others, give or take one.
    """
    _at_least("folds", folds, 3 if dev == "next-fold" else 2)
    hint = "set fewer folds, or use leave-one-speaker-out"
    speakers = grouped(corpus, "speaker", "speaker-k-fold", folds, hint)
    return _rotate(deal(speakers, folds, seed), next_is_dev=dev == "next-fold")


def random_k_fold_shares_speakers(
    corpus: Corpus, *, folds: int = 5, seed: int = 0, dev: float = 0.0
) -> list[Fold]:
    """Test on each of `folds` random parts, each with its share of every emotion of a corpus.

    The same speakers are on all sides: the scores do not hold for new speakers. `dev` is the
    share of the training utterances to choose on.
    """
    _at_least("folds", folds, 2)
    _share("dev", dev)
    if len(corpus) < folds:
        raise ProtocolError(
            f"{corpus.name} has {len(corpus)} utterance(s), folds = {folds} needs as many at least"
        )
    dealt = sorted(by_emotion(corpus, seed), key=lambda u: u.corpus)  # stable: still by emotion
    made = []
    for n in range(folds):
        rest = [u for i, u in enumerate(dealt) if i % folds != n]
        # Every 1/dev-th of a list sorted by emotion holds the same share of each.
        chosen = [int((i + 1) * dev) > int(i * dev) for i in range(len(rest))]
        made.append(
            Fold(
                name=str(n + 1),
                train=ordered(u for u, is_dev in zip(rest, chosen, strict=True) if not is_dev),
                dev=ordered(u for u, is_dev in zip(rest, chosen, strict=True) if is_dev),
                test=ordered(dealt[n::folds]),
                sharing="all",
            )
        )
    return made


def leave_one_language_out(
    corpus: Corpus,
    *,
    by: Literal["language", "corpus"] = "language",
    dev: Literal["none", "speakers"] = "none",
    seed: int = 0,
    held_back: float = 0.0,
) -> list[Fold]:
    """Test on each language (or corpus) in turn, train on the others.

    Args:
        corpus: several languages.
        by: what is left out.
        dev: 'speakers' chooses on a fifth of the speakers of each training language (at least
            one; a language with a single speaker stays in train).
        seed: of the dev and held-back speakers.
        held_back: this share of the tested language's speakers stays out of the test: what
            `few_shot` draws from.
    """
    name = "leave-one-language-out"
    need(corpus, "speaker", name, NO_SPEAKERS)
    _share("held_back", held_back)
    groups = grouped(corpus, by, name, 2, "read several corpora, or use speaker-k-fold")
    folds = []
    for left_out, said in groups.items():
        others = [group for key, group in groups.items() if key != left_out]
        share = DEV_SHARE if dev == "speakers" else 0.0
        chosen = set[str | None]().union(*(some_speakers(g, share, seed) for g in others))
        if share and not chosen:
            raise ProtocolError(
                f"{name}, fold {left_out}: no training {by} has two speakers, so that none can be "
                'dev; use dev = "none"'
            )
        away = some_speakers(said, held_back, seed)
        rest = [u for group in others for u in group]
        folds.append(
            Fold(
                name=_file_name(left_out),
                train=tuple(u for u in rest if u.talker not in chosen),
                dev=tuple(u for u in rest if u.talker in chosen),
                test=tuple(u for u in said if u.talker not in away),
            )
        )
    return folds


def official(corpus: Corpus, *, shares_speakers: bool = False) -> list[Fold]:
    """The one division that came with the corpus.

    Args:
        corpus: with a `part` for every utterance.
        shares_speakers: say so where its sides share speakers, as those of ESD do.
    """
    hint = "use a protocol that divides by speaker, such as speaker-k-fold"
    parts = grouped(corpus, "part", "official", 2, hint)
    return [_of_others("official", **parts, shares_speakers=shares_speakers)]


def split_files(
    corpus: Corpus,
    *,
    path: str,
    shares_speakers: bool = False,
    missing: Literal["refuse", "drop"] = "refuse",
) -> list[Fold]:
    """The divisions that other people's files describe: EmoBox, s3prl or CSV.

    Args:
        corpus: holds the utterances that the files name.
        path: see `affekt.protocols.splits.read_splits`.
        shares_speakers: say so where the sides share speakers.
        missing: 'drop' leaves out what the corpus lacks, such as a class that was not kept.
    """
    splits = read_splits(Path(path).expanduser(), corpus, missing=missing)
    return [
        _of_others(
            _file_name(s.name),
            train=s.train,
            dev=s.dev,
            test=s.test,
            shares_speakers=shares_speakers,
        )
        for s in splits
    ]


def _rotate(groups: Groups, *, next_is_dev: bool) -> list[Fold]:
    """Each group once as test, the one after it as dev if wanted, the others as train."""
    names = list(groups)
    folds = []
    for n, test in enumerate(names):
        dev = names[(n + 1) % len(names)] if next_is_dev else None
        folds.append(
            Fold(
                name=_file_name(test),
                train=tuple(u for name in names if name not in (test, dev) for u in groups[name]),
                dev=tuple(groups[dev]) if dev is not None else (),
                test=tuple(groups[test]),
            )
        )
    return folds


def _file_name(name: str) -> str:
    """Folds name folders."""
    return re.sub(r"[^\w.-]+", "-", name)


def _random_dev(fold: Fold, seed: int) -> Fold:
    """A random fifth of train as dev: int(0.8 N) utterances stay, as in s3prl's emotion task."""
    shuffled = list(fold.train)
    Random(seed).shuffle(shuffled)
    kept = int(0.8 * len(shuffled))
    return replace(
        fold, train=ordered(shuffled[:kept]), dev=ordered(shuffled[kept:]), sharing="dev"
    )


def _partner_dev(fold: Fold) -> Fold:
    """The training utterances of the tested speaker's sessions as dev."""
    sessions = {(u.corpus, u.session) for u in fold.test}
    dev = {u.talker for u in fold.train if (u.corpus, u.session) in sessions}
    if not dev:
        raise ProtocolError(
            f"fold {fold.name}: nobody else speaks in session(s) "
            f"{', '.join(sorted(str(s) for _, s in sessions))}; use dev = 'next-speaker'"
        )
    return replace(
        fold,
        train=tuple(u for u in fold.train if u.talker not in dev),
        dev=tuple(u for u in fold.train if u.talker in dev),
    )


def _of_others(
    name: str,
    *,
    train: Sequence[Utterance] = (),
    dev: Sequence[Utterance] = (),
    test: Sequence[Utterance] = (),
    shares_speakers: bool,
) -> Fold:
    """A fold that somebody else made; speakers on two sides must be admitted."""
    fold = Fold(name=name, train=tuple(train), dev=tuple(dev), test=tuple(test), sharing="all")
    if shares_speakers:
        return fold
    try:
        return replace(fold, sharing="none")
    except ProtocolError as e:
        raise ProtocolError(f"{e}, or say so with shares_speakers = true") from e


def _at_least(option: str, given: int, least: int) -> None:
    if given < least:
        raise ProtocolError(f"{option} must be at least {least} here, but is {given}")


def _share(option: str, given: float) -> None:
    if not 0 <= given < 1:
        raise ProtocolError(f"{option} is a share, at least 0 and under 1, but is {given}")
