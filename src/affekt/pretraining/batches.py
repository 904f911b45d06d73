"""Batches that depend on nothing but seed, step and rank, so that any step can be made at any time.

Axes: B batch, S samples, T frames.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from affekt.audio import RATE
from affekt.pretraining.front import Front
from affekt.pretraining.speech import Utterances
from affekt.pretraining.targets import Labels
from affekt.threads import cores, in_turn

# What a generator of random numbers is for; each has its own for a seed, step and rank.
PIECES, MASK, DROPOUT = range(3)


def generator(seed: int, step: int, rank: int, what: int) -> np.random.Generator:
    """The random numbers of one step."""
    return np.random.default_rng((seed, step, rank, what))


@dataclass(frozen=True)
class Pieces:
    """Which utterances are heard, each from its sample `starts` on, all for `length` samples."""

    utterances: Int[np.ndarray, " B"]
    starts: Int[np.ndarray, " B"]
    length: int


class Draw:
    """Draws the pieces of a step: all of one length, of utterances that are as long, no padding.

    Args:
        lengths: of the utterances, in samples.
        seconds: of audio in a step, at most.
        pieces: seconds; the lengths that a step chooses from. Those that no utterance has are
            left out.
        stride: samples; pieces start at multiples of it.
        seed: of the run.
    """

    def __init__(
        self,
        lengths: Int[np.ndarray, " N"],
        *,
        seconds: float,
        pieces: Sequence[float],
        stride: int,
        seed: int,
    ) -> None:
        self.lengths = lengths
        self.budget = round(seconds * RATE)
        self.stride = stride
        self.seed = seed
        self._order = np.argsort(lengths, kind="stable")
        longest = int(lengths.max())
        self._pieces = [n for n in (round(p * RATE) for p in pieces) if n <= longest]
        self._first = np.searchsorted(lengths[self._order], self._pieces)  # that is long enough

    def __call__(self, step: int, rank: int) -> Pieces:
        """The pieces of one step on one device."""
        rng = generator(self.seed, step, rank, PIECES)
        kind = int(rng.integers(len(self._pieces)))
        length, first = self._pieces[kind], int(self._first[kind])
        count = min(self.budget // length, len(self._order) - first)
        places = first + rng.choice(len(self._order) - first, count, replace=False, shuffle=False)
        utterances = self._order[places]
        starts = rng.integers((self.lengths[utterances] - length) // self.stride + 1)
        return Pieces(utterances, starts * self.stride, length)


@dataclass(frozen=True)
class Batch:
    """The audio of one step on one device, as it is in the files, and its labels."""

    step: int
    wave: Float[Tensor, "B S"]
    labels: list[Int[Tensor, "B T"]]  # one per codebook

    def to(self, device: torch.device | str) -> "Batch":
        """The same on another device."""
        labels = [x.to(device, non_blocking=True) for x in self.labels]
        return Batch(self.step, self.wave.to(device, non_blocking=True), labels)


class Batches:
    """The batches from step `first` up to step `last`, read by threads ahead of their use."""

    def __init__(
        self,
        utterances: Utterances,
        labels: Sequence[Labels],
        draw: Draw,
        front: Front,
        *,
        first: int,
        last: int,
        rank: int,
    ) -> None:
        self.utterances = utterances
        self.labels = labels
        self.draw = draw
        self.front = front
        self.steps = range(first, last)
        self.rank = rank

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Batch]:
        workers = min(4, cores())  # one reads faster than a processor trains
        yield from in_turn(self.batch, self.steps, workers=workers, ahead=workers)

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        pieces = self.draw(step, self.rank)
        where = list(zip(pieces.utterances.tolist(), pieces.starts.tolist(), strict=True))
        waves = [self.utterances.read(n, start, pieces.length) for n, start in where]
        frames = self.front.frames(pieces.length)
        labels = [
            np.stack([codebook.read(n, start // self.front.stride, frames) for n, start in where])
            for codebook in self.labels
        ]
        return Batch(step, torch.from_numpy(np.stack(waves)), [torch.from_numpy(x) for x in labels])
