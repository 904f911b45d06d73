"""Utterances as padded batches of like length. Axes: B batch, L layers, T frames, D channels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from affekt.encoders.frames import Frames, valid
from affekt.types import Utterance

UNKNOWN = -1  # the number of a class that was not trained: it can be judged, not learnt
BUCKET = 50  # batches that are shuffled together before their clips are sorted by length


@dataclass(frozen=True)
class Batch:
    """Tensors of some utterances."""

    frames: Frames
    labels: Int[Tensor, " B"]
    keys: list[str]

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        frames = Frames(self.frames.layers.to(device), self.frames.mask.to(device))
        return Batch(frames, self.labels.to(device), self.keys)


class FrameDataset(Dataset[tuple[Tensor, int, str]]):
    """Utterances with their frames (L, T, D) and the number of their class."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        frames: Mapping[str, Float[Tensor, "L _ D"]],
        classes: Sequence[str],
    ) -> None:
        self.utterances = utterances
        self.frames = frames
        self.classes = {name: n for n, name in enumerate(classes)}

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, n: int) -> tuple[Tensor, int, str]:
        u = self.utterances[n]
        return self.frames[u.key], self.classes.get(u.emotion, UNKNOWN), u.key

    def lengths(self) -> list[int]:
        """How many frames each utterance has."""
        return [self.frames[u.key].shape[1] for u in self.utterances]


def collate(items: Sequence[tuple[Tensor, int, str]]) -> Batch:
    """One padded batch; padding is zero."""
    clips, labels, keys = zip(*items, strict=True)
    lengths = torch.tensor([clip.shape[1] for clip in clips])
    longest = int(lengths.max())
    layers, _, dim = clips[0].shape
    padded = torch.zeros(len(clips), layers, longest, dim, dtype=clips[0].dtype)
    for row, clip in zip(padded, clips, strict=True):
        row[:, : clip.shape[1]] = clip
    return Batch(Frames(padded, valid(lengths, longest)), torch.tensor(labels), list(keys))


class LengthBuckets(Sampler[list[int]]):
    """Batches of clips of like length, every clip once per epoch.

    Clips are shuffled, sorted by length within buckets of BUCKET batches, cut into batches, and
    the batches are shuffled: who meets whom changes every epoch. Without a seed the order is by
    length alone, for validation and prediction.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int | None) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.rng = None if seed is None else np.random.default_rng(seed)

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        if self.rng is None:
            order = np.argsort(self.lengths, kind="stable")
            batches = self._cut(order)
        else:
            order = self.rng.permutation(len(self.lengths))
            size = self.batch_size * BUCKET
            buckets = [order[n : n + size] for n in range(0, len(order), size)]
            ranked = [b[np.argsort(self.lengths[b], kind="stable")] for b in buckets]
            batches = [batch for bucket in ranked for batch in self._cut(bucket)]
            self.rng.shuffle(batches)
        yield from (batch.tolist() for batch in batches)

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        return [order[n : n + self.batch_size] for n in range(0, len(order), self.batch_size)]


def loader(dataset: FrameDataset, batch_size: int, *, seed: int | None) -> DataLoader[Any]:
    """Batches of the data set: shuffled with a seed, in order of length without one."""
    sampler = LengthBuckets(dataset.lengths(), batch_size, seed)
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=collate)
