"""Frames of a frozen speech encoder, or of its frozen front end: made once, then in the cache.

On a CPU every core encodes one utterance at a time. Without padding and without threads that wait
for each other this is the fastest way there (benchmarks/encoding.py), and the frames do not
depend on anything else, to the last bit. A GPU encodes batches of like length.
Axes: L layers, T frames, D channels. A front end gives one layer, with the channels of its last
convolution.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import PurePath
from random import Random
from typing import Any

import torch
from jaxtyping import Float
from rich.filesize import decimal
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from affekt import audio
from affekt.cache.frames import FrameStore
from affekt.cache.space import room, size_of
from affekt.encoders import speech
from affekt.errors import AffektError, AudioError
from affekt.signals import signal
from affekt.threads import in_turn, one_thread_each
from affekt.types import Utterance

log = logging.getLogger(__name__)

TOGETHER = 320.0  # seconds of sound in a batch on a GPU
AHEAD = 4  # batches that are read before they are needed, on a GPU

Clip = Float[Tensor, "L _ D"]


class CachedFrames(Mapping[str, Clip]):
    """bfloat16 frames by `Utterance.key`, mapped from the cache.

    What is damaged there is made anew when it is asked for.

    Args:
        options: of the encoder, see affekt.encoders.speech.Speech.
        utterances: whose frames are wanted.
        steps: what is done to the signal first; random ones take their fixed form.
        front: what the front end gives is wanted, for a transformer that is trained on it.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        utterances: Sequence[Utterance],
        steps: Sequence[audio.Step],
        *,
        front: bool = False,
    ) -> None:
        self.options = dict(options)
        self.front = front
        self.utterances = {u.key: u for u in utterances}
        self.steps = steps
        self.device = speech.processor()
        self._names = {u.key: audio.key_of(u, steps) for u in utterances}
        self.store = FrameStore(*self._store(), storage=self.options["storage"])
        self._encoder: speech.Speech | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Another process loads the encoder itself, if ever it needs one."""
        return self.__dict__ | {"_encoder": None}

    def _store(self) -> tuple[str, dict[str, Any]]:
        """The name of the encoder's store, and what it says about itself."""
        key = speech.identity(self.options, self.device)
        about = {name: self.options[name] for name in ("model", "revision", "normalise")}
        digest = blake2b(key.encode(), digest_size=6).hexdigest()
        name = f"{PurePath(self.options['model']).name}-{digest}{'-front' * self.front}"
        return name, about | {"identity": key, "front": self.front}

    def encoder(self) -> speech.Speech:
        """The encoder, loaded when the first frames are missing."""
        if self._encoder is None:
            self._encoder = speech.Speech(**self.options).to(self.device)
            self._encoder.narrow()
        return self._encoder

    def fill(self, tick: Callable[[int], None]) -> dict[str, str]:
        """Make what is missing; {key: reason} of the utterances that have no frames.

        Several processes may do so at once: each takes what is missing in an order of its own.
        """
        there = self.store.lengths(self._names.values())
        missing = [u for key, u in self.utterances.items() if self._names[key] not in there]
        tick(len(self.utterances) - len(missing))
        if not missing:
            return {}
        self._announce(missing)
        Random(os.getpid()).shuffle(missing)
        made = self._alone(missing) if self.device.type == "cpu" else self._together(missing)
        reasons = {}
        for u, reason in made:
            if reason is not None:
                reasons[u.key] = reason
            tick(1)
        return reasons

    def _announce(self, missing: Sequence[Utterance]) -> None:
        """Say what will be written, and refuse if there is no room for it."""
        encoder = self.encoder()
        samples = [round(audio.seconds(u, self.steps) * audio.RATE) for u in missing]
        frames = int(encoder.network.frames(torch.tensor(samples)).sum())
        shape = (1, encoder.network.width) if self.front else (encoder.layers, encoder.dim)
        needed = size_of(frames, *shape, storage=self.store.storage)
        free = room(self.store.folder)
        told = (
            f"the frames of {len(missing)} utterances take about {decimal(needed)} in "
            f"{self.store.folder}, where {decimal(free)} are free"
        )
        if needed > free:
            int8 = ', or take half with -s encoder.storage="int8"'
            raise AffektError(
                f"{told}; make room there, or set AFFEKT_CACHE to another folder"
                f"{int8 if self.store.storage == 'bf16' else ''}"
            )
        log.info("%s", told)

    def _alone(self, missing: Sequence[Utterance]) -> Iterator[tuple[Utterance, str | None]]:
        with one_thread_each():
            yield from in_turn(self._make, missing)

    def _make(self, u: Utterance) -> tuple[Utterance, str | None]:
        """Make the frames of one utterance, unless another process has done so meanwhile."""
        if self.store.lengths([self._names[u.key]]):
            return u, None
        try:
            wav = signal(u, self.steps)
        except AudioError as e:
            return u, str(e)
        try:
            return self._keep(*self._encoded([(u, wav)])[0])
        except RuntimeError as e:  # of torch: no memory for so many frames at once
            seconds, reason = len(wav) / audio.RATE, str(e).splitlines()[0]
            return u, (
                f"{u.audio}: {seconds:.1f} s cannot be encoded in one piece ({reason}); "
                "cut it into segments, or crop it"
            )

    def _together(self, missing: Sequence[Utterance]) -> Iterator[tuple[Utterance, str | None]]:
        for clips in in_turn(self._read, self._batches(missing), workers=AHEAD, ahead=AHEAD):
            good = [(u, wav) for u, wav in clips if isinstance(wav, Tensor)]
            yield from ((u, wav) for u, wav in clips if not isinstance(wav, Tensor))
            if good:
                encoded = self._encoded(good)
                yield from in_turn(lambda made: self._keep(*made), encoded, workers=AHEAD)

    def _batches(self, utterances: Sequence[Utterance]) -> list[list[Utterance]]:
        """Batches of like length, each at most TOGETHER seconds to compute; in any order."""
        cost = self.encoder().network.cost
        timed = sorted((cost(audio.seconds(u, self.steps)), n) for n, u in enumerate(utterances))
        batches: list[list[Utterance]] = [[]]
        for seconds, n in timed:
            if batches[-1] and seconds * (len(batches[-1]) + 1) > TOGETHER:
                batches.append([])
            batches[-1].append(utterances[n])
        Random(os.getpid()).shuffle(batches)
        return batches

    def _read(self, batch: Sequence[Utterance]) -> list[tuple[Utterance, Tensor | str | None]]:
        """The waves of a batch, or why there is none; nothing where frames are there by now."""
        clips: list[tuple[Utterance, Tensor | str | None]] = []
        there = self.store.lengths(self._names[u.key] for u in batch)
        for u in batch:
            try:
                known = self._names[u.key] in there
                clips.append((u, None if known else signal(u, self.steps)))
            except AudioError as e:
                clips.append((u, str(e)))
        return clips

    @torch.inference_mode()
    def _encoded(self, clips: Sequence[tuple[Utterance, Tensor]]) -> list[tuple[Utterance, Tensor]]:
        lengths = torch.tensor([len(wav) for _, wav in clips], device=self.device)
        waves = pad_sequence([wav for _, wav in clips], batch_first=True).to(self.device)
        if self.front:
            convolved = self.encoder().convolve(waves, lengths)
            layers, counts = convolved.frames[:, None], convolved.lengths.tolist()
        else:
            frames = self.encoder()(waves, lengths)
            layers, counts = frames.layers, frames.mask.sum(dim=1).tolist()
        rows = zip(clips, layers.cpu(), counts, strict=True)
        return [(u, row[:, :n]) for (u, _), row, n in rows]

    def _keep(self, u: Utterance, frames: Clip) -> tuple[Utterance, str | None]:
        if not frames.isfinite().all():
            return u, (
                f"{u.audio}: the encoder gives frames that are NaN or infinite; "
                'try -s encoder.precision="fp32", or leave it out of the corpus'
            )
        self.store.put(self._names[u.key], frames)
        return u, None

    def __getitem__(self, key: str) -> Clip:
        u = self.utterances[key]
        for _ in range(2):
            if (frames := self.store.get(self._names[key])) is not None:
                return frames
            _, reason = self._make(u)
            if reason is not None:
                raise AudioError(reason)
        raise AffektError(f"the cache {self.store.folder} does not keep what is written to it")

    def read_into(self, key: str, part: Float[Tensor, "L T D"]) -> None:
        """Put the frames into part of a batch, straight from the file if that can be."""
        if not self.store.read_into(self._names[key], part):
            part.copy_(self[key])

    def lengths(self, keys: Iterable[str]) -> list[int]:
        """How many frames each of these has."""
        keys = list(keys)
        known = self.store.lengths(self._names[key] for key in keys)
        return [known.get(self._names[key]) or self[key].shape[1] for key in keys]

    def __iter__(self) -> Iterator[str]:
        return iter(self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)
