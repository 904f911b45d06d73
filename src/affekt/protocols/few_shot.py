"""A few clips of the tested language in training: Tang et al. 2023 (arXiv:2311.13678), 5.4."""

from dataclasses import replace

from affekt.errors import ProtocolError
from affekt.protocols.grouping import by_emotion
from affekt.types import Corpus, Fold


def few_shot(fold: Fold, corpus: Corpus, *, shots: int, seed: int = 0) -> Fold:
    """The fold with `shots` utterances of the tested language added to train.

    Tang et al. 2023, section 5.4: 30, 80 or 150 clips. They are drawn from speakers of that
    language who are on no side yet, in turn from each emotion; the 30 of a seed are among its 80.
    Where languages are tested that train has not, only these are meant.

    Raises:
        ProtocolError: fewer than `shots` utterances by speakers outside train, dev and test.
    """
    # The paper does not say where they come from. Speakers who are on no side leave the test the
    # same for every size and free of known voices.
    tested, trained = ({u.language for u in side} for side in (fold.test, fold.train))
    languages = tested - trained or tested
    known = {u.talker for side in (fold.train, fold.dev, fold.test) for u in side}
    pool = [u for u in corpus if u.language in languages and u.talker not in known | {None}]
    if len(pool) < shots:
        names = ", ".join(sorted(str(name) for name in languages))
        rest = (
            "use deep-wccn with train_on or with setting = 'cross-language', or "
            "leave-one-language-out with held_back = 0.4"
        )
        raise ProtocolError(
            f"fold {fold.name}: {len(pool)} utterance(s) of {names} by speakers outside train, "
            f"dev and test, but shots = {shots}; "
            + (f"give {len(pool)} or fewer" if pool else rest)
        )
    taken: dict[str, int] = {}
    turns = []
    for u in by_emotion(pool, seed):
        taken[u.emotion] = taken.get(u.emotion, 0) + 1
        turns.append((taken[u.emotion], u))
    turns.sort(key=lambda turn: turn[0])  # stable: the first of each emotion, then the second
    return replace(fold, train=fold.train + tuple(u for _, u in turns[:shots]))
