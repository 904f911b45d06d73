"""Utterances as padded batches of like length. Axes: B batch, L layers, T frames, D channels, S."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler

from affekt.encoders.cached import CachedFrames
from affekt.encoders.frames import Convolved, Frames, Pooled, Waves, valid
from affekt.signals import Signals
from affekt.types import GENDERS, Utterance

UNKNOWN = -1  # the number of a class that was not trained, or of a gender nobody knows
AT_ONCE = 2**27  # numbers in the frames of a batch that is judged: 256 MiB in bf16
HEARD_AT_ONCE = 2**22  # samples in a batch that is judged: about four minutes
SAMPLES = 320  # behind a frame that a front end gives, more or less
# Of a length. Padding of 4,400 clips like IEMOCAP's in batches of 4, 16 and 32, measured: 1.4, 3.0
# and 4.9 %. Sorted without jitter it is 0.3, 1.7 and 3.6 %, but then the same clips always meet.
JITTER = 0.02


@dataclass(frozen=True)
class Batch:
    """Tensors of some utterances."""

    inputs: Frames | Convolved | Waves | Pooled
    labels: Int[Tensor, " B"]
    genders: Int[Tensor, " B"]  # places in affekt.types.GENDERS
    keys: list[str]

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        numbers = self.labels.to(device), self.genders.to(device)
        return Batch(self.inputs.to(device), *numbers, self.keys)


class UtteranceDataset(Dataset[Batch]):
    """Utterances with what the network is given of each, and the numbers of their classes.

    Args:
        utterances: in the order in which they are counted.
        inputs: by `Utterance.key`, frames (L, T, D) of an encoder or its front end, a signal (S,),
            or a pooled vector (R,).
        classes: their names by number; any other emotion is UNKNOWN.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        inputs: Mapping[str, Float[Tensor, "*shape"]],
        classes: Sequence[str],
    ) -> None:
        self.utterances = utterances
        self.inputs = inputs
        self.classes = {name: n for n, name in enumerate(classes)}

    def __len__(self) -> int:
        return len(self.utterances)

    @cached_property
    def lengths(self) -> list[int]:
        """How many frames each utterance has, or about how many samples."""
        keys = [u.key for u in self.utterances]
        if isinstance(self.inputs, Signals | CachedFrames):
            return self.inputs.lengths(keys)
        if self._pooled:
            return [1] * len(keys)
        return [self.inputs[key].shape[1] for key in keys]

    @property
    def most(self) -> int:
        """Of what `lengths` counts, so much may stand in a batch that is judged."""
        if isinstance(self.inputs, Signals):
            return HEARD_AT_ONCE
        if self._convolved:
            return HEARD_AT_ONCE // SAMPLES
        if self._pooled:
            return AT_ONCE // len(self._example)
        layers, _, dim = self._example.shape
        return AT_ONCE // (layers * dim)

    @property
    def _convolved(self) -> bool:
        return isinstance(self.inputs, CachedFrames) and self.inputs.front

    @property
    def _pooled(self) -> bool:
        return not isinstance(self.inputs, Signals | CachedFrames) and self._example.ndim == 1

    @cached_property
    def _example(self) -> Float[Tensor, "*shape"]:
        return self.inputs[self.utterances[0].key]

    def __getitems__(self, numbers: list[int]) -> Batch:
        """A padded batch of these; padding is zero. torch's loader asks so."""
        chosen = [self.utterances[n] for n in numbers]
        keys = [u.key for u in chosen]
        if isinstance(self.inputs, Signals):
            inputs = waves([self.inputs[key] for key in keys])
        elif self._pooled:
            inputs = Pooled(torch.stack([self.inputs[key] for key in keys]))
        else:
            inputs = self._frames(keys, [self.lengths[n] for n in numbers])
        labels = [self.classes.get(u.emotion, UNKNOWN) for u in chosen]
        genders = [GENDERS.index(u.gender) if u.gender else UNKNOWN for u in chosen]
        return Batch(inputs, torch.tensor(labels), torch.tensor(genders), keys)

    def _frames(self, keys: list[str], lengths: list[int]) -> Frames | Convolved:
        layers, _, dim = self._example.shape
        padded = torch.empty(len(keys), layers, max(lengths), dim, dtype=self._example.dtype)
        for row, key, length in zip(padded, keys, lengths, strict=True):
            if isinstance(self.inputs, CachedFrames):
                self.inputs.read_into(key, row[:, :length])
            else:
                row[:, :length] = self.inputs[key]
            row[:, length:] = 0.0
        if self._convolved:
            return Convolved(padded[:, 0], torch.tensor(lengths))
        return Frames(padded, valid(torch.tensor(lengths), max(lengths)))


def waves(signals: Sequence[Float[Tensor, " _"]]) -> Waves:
    """A padded batch of signals; padding is zero."""
    lengths = torch.tensor([len(signal) for signal in signals])
    return Waves(pad_sequence(list(signals), batch_first=True), lengths)


class LengthBuckets(Sampler[list[int]]):
    """Batches of clips of like length, every clip once per epoch.

    In every epoch anew, lengths are jittered, clips are sorted by them and cut into batches, and
    the batches are shuffled. If the last clips do not fill a batch, the short one is cut anywhere
    in the sorted order, so that it holds long clips no more often than others.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        jitter = self.rng.uniform(1 - JITTER, 1 + JITTER, len(self.lengths))
        order = np.argsort(self.lengths * jitter)
        sizes = np.full(len(self), self.batch_size)
        sizes[self.rng.integers(len(self))] -= sizes.sum() - len(order)
        batches = np.split(order, sizes.cumsum()[:-1])
        self.rng.shuffle(batches)
        yield from (batch.tolist() for batch in batches)


class Shuffled(Sampler[list[int]]):
    """Batches of any clips, every clip once per epoch."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count = count
        self.batch_size = batch_size
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(_cut(self.rng.permutation(self.count).tolist(), self.batch_size))


class Endless(Sampler[list[int]]):
    """Pass after pass of another sampler, `batches` at a time; each time goes on from the last."""

    def __init__(self, passes: LengthBuckets | Shuffled, batches: int) -> None:
        self.passes = passes
        self.batches = batches
        self._stream = self._without_end()

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        return islice(self._stream, self.batches)

    def _without_end(self) -> Iterator[list[int]]:
        while True:
            yield from self.passes


class Ahead:
    """The batches of a data set, each made while the one before is worked on."""

    def __init__(self, dataset: UtteranceDataset, chosen: Sampler[list[int]] | list[list[int]]):
        self.loader = DataLoader(dataset, batch_sampler=chosen, collate_fn=_as_it_is)

    def __len__(self) -> int:
        return len(self.loader)

    def skip(self, passes: int) -> None:
        """Go on as after so many passes; nothing is made of them."""
        chosen: Any = self.loader.batch_sampler
        for _ in range(passes):
            deque(chosen, maxlen=0)

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self.loader)
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = thread.submit(next, batches, None)
                yield batch


def _as_it_is(batch: Any) -> Any:
    return batch


def loader(
    dataset: UtteranceDataset,
    batch_size: int,
    *,
    seed: int,
    batches: int | None = None,
    by_length: bool = True,
) -> Ahead:
    """Shuffled batches for training: one pass, or `batches` of passes that follow one another."""
    if by_length:
        sampler = LengthBuckets(dataset.lengths, batch_size, seed)
    else:
        sampler = Shuffled(len(dataset), batch_size, seed)
    return Ahead(dataset, sampler if batches is None else Endless(sampler, batches))


def in_order(dataset: UtteranceDataset, batch_size: int) -> Ahead:
    """Batches in order of length, for validation and prediction, none too large for memory."""
    return Ahead(dataset, sorted_batches(dataset.lengths, batch_size, dataset.most))


def as_listed(dataset: UtteranceDataset, batch_size: int) -> Ahead:
    """Batches in the order of the data set."""
    return Ahead(dataset, _cut(list(range(len(dataset))), batch_size))


def _cut(order: list[int], batch_size: int) -> list[list[int]]:
    return [order[n : n + batch_size] for n in range(0, len(order), batch_size)]


def sorted_batches(lengths: Sequence[int], batch_size: int, most: int) -> list[list[int]]:
    """Batches in order of length, of at most `most` with their padding, but of one clip at least

    >>> sorted_batches([5, 2, 9, 2, 30], batch_size=3, most=20)
    [[1, 3, 0], [2], [4]]
    """
    batches: list[list[int]] = [[]]
    for n in np.argsort(lengths, kind="stable").tolist():
        size = len(batches[-1])
        if size == batch_size or (size and (size + 1) * lengths[n] > most):
            batches.append([])
        batches[-1].append(n)
    return batches
