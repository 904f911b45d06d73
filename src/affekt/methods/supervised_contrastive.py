"""Two-stage supervised contrastive learning over corpora (Xiang 2024, arXiv:2411.19803).

Here are the batches of its first stage, section 3.1. Eq. (1), self-attention pooling, is
affekt.nn.pooling.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int
from torch.utils.data import Sampler

from affekt.errors import ProtocolError, RecipeError
from affekt.types import Utterance

Pool = Int[np.ndarray, " _"]  # numbers of utterances


class ContrastiveBatches(Sampler[list[int]]):
    """Batches of which one half is of one class and the other of any but this, section 3.1

    For each batch of N a class e is drawn from those of all C corpora, one as often as another.
    N/2 utterances are positives: they have e and come in equal parts from the corpora that have
    it. N/2 are negatives: N/(2C) from every corpus, not of e. They stand by corpus, positives
    first. So with two corpora the halves of the positives are the corpora if both have e
    (figure 2), and come from the same one if only that has it (figure 3).

    The introduction of the paper calls other languages negative too; section 3.1 does not, nor
    does this. Beyond the paper and where it is silent:

    - There are two corpora in the paper; here two or more. What the positives leave over when
      they are shared out goes to corpora drawn anew, one utterance each.
    - A pool is what one corpus has of e, or not of e. Within a batch it is drawn from without
      replacement, or with it if it holds fewer utterances than are asked of it.
    - An epoch is `batches`, by default as many as would hold every utterance once, ceil(n/N).

    Args:
        utterances: of all corpora; each place counts, so one listed twice is drawn twice as often.
        size: N, a multiple of 2C.
        batches: in an epoch.
        seed: of the draws. Epochs differ, and do not depend on how far those before were read.

    Raises:
        RecipeError: `size` cannot be shared out.
        ProtocolError: a corpus or class has no pairs, or there is only one corpus.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        size: int,
        *,
        batches: int | None = None,
        seed: int,
    ) -> None:
        if batches is not None and batches < 1:
            raise RecipeError(f"contrastive batches: an epoch has one at least, not {batches}")
        _refuse_unpaired(utterances)
        self.corpora = list(dict.fromkeys(u.corpus for u in utterances))  # as first listed
        _refuse_size(size, len(self.corpora))
        self.classes = sorted({u.emotion for u in utterances})
        self.size = size
        self.batches = -(-len(utterances) // size) if batches is None else batches
        self.rng = np.random.default_rng(seed)
        corpus = np.array([u.corpus for u in utterances])
        emotion = np.array([u.emotion for u in utterances])
        members = [np.flatnonzero(corpus == name) for name in self.corpora]
        self._pools = [_pools(members, emotion == name) for name in self.classes]

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        rng = self.rng.spawn(1)[0]
        return (self._draw(rng) for _ in range(self.batches))

    def _draw(self, rng: np.random.Generator) -> list[int]:
        drawn = []
        for pools in self._pools[rng.integers(len(self._pools))]:
            for pool, count in zip(pools, _shares(self.size // 2, len(pools), rng), strict=True):
                drawn.append(rng.choice(pool, count, replace=count > len(pool)))
        return np.concatenate(drawn).tolist()


def _pools(members: list[Pool], has: Bool[np.ndarray, " _"]) -> tuple[list[Pool], list[Pool]]:
    """What each corpus that has the class has of it, and what every corpus has of others."""
    positives = [pool[has[pool]] for pool in members]
    return [pool for pool in positives if len(pool)], [pool[~has[pool]] for pool in members]


def _shares(count: int, among: int, rng: np.random.Generator) -> list[int]:
    """Equal parts of `count`; a remainder goes to parts drawn at random, one each."""
    shares = np.full(among, count // among)
    if over := count % among:
        shares[rng.choice(among, over, replace=False)] += 1
    return shares.tolist()


def _refuse_size(size: int, corpora: int) -> None:
    step = 2 * corpora
    if size < step or size % step:
        lower = max(size // step, 1) * step
        raise RecipeError(
            f"a contrastive batch of {size}: half of it are negatives, as many from each of "
            f"{corpora} corpora; give a multiple of {step}, such as {lower} or {lower + step}"
        )


def _refuse_unpaired(utterances: Sequence[Utterance]) -> None:
    held = Counter(name for name, _ in {(u.corpus, u.emotion) for u in utterances})
    if len(held) < 2:
        raise ProtocolError(
            f"contrastive batches need two corpora at least, but all {len(utterances)} utterances "
            f"are of {', '.join(held) or 'none'}; name another corpus"
        )
    if alike := sorted(name for name, classes in held.items() if classes == 1):
        raise ProtocolError(
            f"all utterances of {', '.join(alike)} are of one class, so that none is a negative "
            "of it; keep more classes (labels), or leave the corpus out"
        )
    said = Counter(name for name, _ in {(u.emotion, u.key) for u in utterances})
    if single := sorted(name for name, count in said.items() if count == 1):
        raise ProtocolError(
            f"{', '.join(single)}: one utterance in all corpora together, a pair needs two; "
            "leave the class out (labels), or train on more"
        )
