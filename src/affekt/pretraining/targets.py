"""Codebooks: the labels that masked prediction predicts.

Hsu et al. 2021 (arXiv:2106.07447), section II-A: frames of speech are clustered by k-means, and
each is labelled with the number of the nearest centre. Label t of an utterance describes the
samples that frame t of the network belongs to, see affekt.pretraining.front.

Axes: T frames of the network.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from safetensors.numpy import load_file, save

from affekt import disk
from affekt.audio import RATE
from affekt.errors import CorpusError, RecipeError
from affekt.parts import Section, build
from affekt.pretraining.codebook import Codebook, aligned, cluster, running, scaled, statistics
from affekt.pretraining.features import FEATURES
from affekt.pretraining.front import Front
from affekt.pretraining.recipe import Target
from affekt.pretraining.speech import Progress, Utterances
from affekt.threads import in_turn, one_thread_each

SHARD = 500  # utterances in a file of labels; a killed run loses no more than these

Matrix = Float[np.ndarray, "_ _"]


def name_of(target: Target, number: int) -> str:
    """What a target is called in the run's folder and in its log."""
    return f"{number}-{target.features.name}"


@dataclass(frozen=True)
class Targets:
    """The codebooks of targets that are made of the same features, and their labels.

    Args:
        targets: by name; each has a folder of this name, in which each file is whole or not there.
        utterances: all of them.
        front: of the network.
        folder: where the folders lie.
        seed: of the sample and of k-means.
    """

    targets: Mapping[str, Target]
    utterances: Utterances
    front: Front
    folder: Path
    seed: int

    def make(self, progress: Progress) -> None:
        """Make what is not in the folders yet.

        Raises:
            CorpusError: there are fewer frames of speech than clusters.
        """
        missing = [n for n in self._shards() if not all(f.exists() for f in self._files(n))]
        if not missing:
            return
        features = build(FEATURES, self._features, "features")
        codebooks = self._codebooks(features, progress)
        with one_thread_each():
            for first in missing:
                self._label(first, features, codebooks, progress)

    def labels(self, name: str) -> "Labels":
        """The labels of a target, made before."""
        return Labels([self._shard(name, n) for n in self._shards()], self._frames())

    @property
    def _features(self) -> Section:
        return next(iter(self.targets.values())).features

    def _shards(self) -> range:
        """The first utterance of each file of labels."""
        return range(0, len(self.utterances), SHARD)

    def _shard(self, name: str, first: int) -> Path:
        return self.folder / name / f"labels-{first // SHARD:05}.npy"

    def _files(self, first: int) -> list[Path]:
        return [self._shard(name, first) for name in self.targets]

    def _frames(self) -> list[int]:
        """How many frames of the network each utterance has."""
        return [self.front.frames(n) for n in self.utterances.lengths.tolist()]

    def _codebooks(self, features: Any, progress: Progress) -> dict[str, Codebook]:
        """Those in the folders; what is not there is found on a random sample of frames."""
        centres = {name: self.folder / name / "centres.safetensors" for name in self.targets}
        if missing := [name for name, file in centres.items() if not file.exists()]:
            chosen = self._sample(max(self.targets[name].sample for name in missing))
            raw = self._extracted(features, chosen, progress)
            for name in missing:
                progress(f"clustering {name}", 0, 1)
                centres[name].parent.mkdir(parents=True, exist_ok=True)
                own = {n: raw[n] for n in self._sample(self.targets[name].sample)}
                found = self._found(name, own, features.hop)
                disk.write_bytes(centres[name], save(vars(found)))
        return {name: Codebook(**load_file(file)) for name, file in centres.items()}

    def _sample(self, frames: int) -> list[int]:
        """Utterances at random that have so many frames together."""
        order = np.random.default_rng(self.seed).permutation(len(self.utterances))
        reached = np.array(self._frames())[order].cumsum()
        return order[: int(np.searchsorted(reached, frames)) + 1].tolist()

    def _extracted(
        self, features: Callable[..., Any], chosen: Sequence[int], progress: Progress
    ) -> dict[int, Matrix]:
        """The features of some utterances, by number."""
        raw = {}
        with one_thread_each():
            made = in_turn(lambda n: features(self.utterances.read(n)), chosen)
            for n, x in zip(chosen, made, strict=True):
                raw[n] = x
                progress(f"sampling {self._features.name}", len(raw), len(chosen))
        return raw

    def _found(self, name: str, raw: Mapping[int, Matrix], hop: int) -> Codebook:
        """The codebook of a sample of utterances."""
        target = self.targets[name]
        mean, deviation = statistics(raw.values())
        if max(target.channels, default=0) >= len(mean):
            raise RecipeError(
                f"target {name}: no channel {max(target.channels)}; "
                f"{target.features.name} has 0 to {len(mean) - 1}"
            )
        described = [
            self._described(target, n, scaled(x, mean, deviation), hop) for n, x in raw.items()
        ]
        _, spread = statistics(described)
        x = np.concatenate(described) / spread
        if len(x) > target.sample:
            rng = np.random.default_rng(self.seed)
            x = x[np.sort(rng.choice(len(x), target.sample, replace=False))]
        if len(x) < target.clusters:
            raise CorpusError(
                f"target {name}: {len(x)} frames of speech are fewer than "
                f"clusters = {target.clusters}; give more speech, or lower it"
            )
        return Codebook(cluster(x, target.clusters, self.seed), mean, deviation, spread)

    def _described(self, target: Target, number: int, x: Matrix, hop: int) -> Matrix:
        """What is clustered of an utterance's scaled features, a row per frame of the network."""
        if target.channels:
            x = x[:, target.channels]
        if target.window:
            x = running(x, max(1, round(target.window * RATE / hop)))
        frames = self.front.frames(int(self.utterances.lengths[number]))
        return aligned(x, hop, self.front.stride, frames)

    def _label(
        self, first: int, features: Any, codebooks: Mapping[str, Codebook], progress: Progress
    ) -> None:
        """Write the labels of one shard, for every target."""

        def label(number: int) -> list[np.ndarray]:
            """The labels of one utterance, for every target."""
            x = features(self.utterances.read(number))
            labels = []
            for name, book in codebooks.items():
                z = scaled(x, book.mean, book.deviation)
                described = self._described(self.targets[name], number, z, features.hop)
                labels.append(book.nearest(described))
            return labels

        total, made = len(self.utterances), []
        for labels in in_turn(label, range(first, min(first + SHARD, total))):
            made.append(labels)
            progress(f"labelling {self._features.name}", first + len(made), total)
        for file, labels in zip(self._files(first), zip(*made, strict=True), strict=True):
            content = io.BytesIO()
            np.save(content, np.concatenate(labels))
            disk.write_bytes(file, content.getvalue())


class Labels:
    """Labels of all utterances, read from the disk when they are asked for.

    Args:
        shards: files of SHARD utterances each.
        frames: how many labels each utterance has.
    """

    def __init__(self, shards: Sequence[Path], frames: Sequence[int]) -> None:
        self._shards = shards
        counts = np.array(frames)
        shards_of = np.split(counts, range(SHARD, len(counts), SHARD))
        self._first = np.concatenate([c.cumsum() - c for c in shards_of])

    def read(self, number: int, first: int, count: int) -> Int[np.ndarray, " T"]:
        """`count` labels of an utterance, from its frame `first` on."""
        at = int(self._first[number]) + first
        shard = np.load(self._shards[number // SHARD], mmap_mode="r")  # none of them stays open
        return shard[at : at + count].astype(np.int64)
