"""Recordings in: 16 kHz mono float32 from any file, and the ordered steps that a paper applies.

A signal is an array (S,) of samples in [-1, 1]. A step takes a signal and gives a signal; with a
random generator (training) a crop falls anywhere, without one (test) it is always the same.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from affekt.decoding import DAMAGE, UNKNOWN, decode
from affekt.errors import AudioError
from affekt.types import Utterance

log = logging.getLogger(__name__)

RATE = 16_000  # Hz; what every encoder here was made for
SHORTEST = 0.2  # seconds; about one syllable, less holds no emotion to judge
SILENT = 1e-4  # peak, -80 dBFS: under the noise of any microphone
VERSION = 1  # of decoding; cached features are made anew when it goes up
ENDINGS = (".wav", ".flac", ".ogg", ".mp3")

Signal = np.ndarray
Step = Callable[[Signal, np.random.Generator | None], Signal]


def read(path: Path, *, start: float = 0.0, end: float | None = None) -> Signal:
    """The samples (S,) of `path` from `start` to `end` (seconds), 16 kHz mono float32.

    Raises:
        AudioError: as `affekt.decoding.decode` and `mono`.
    """
    return mono(*decode(path, start, end), str(path))


def mono(samples: np.ndarray, rate: int, name: str) -> Signal:
    """Samples (S, channels) as a signal (S,).

    Channels are averaged. Any sample rate is converted with soxr.

    Raises:
        AudioError: under `SHORTEST`.
    """
    length = len(samples) / rate
    if length < SHORTEST:
        raise AudioError(
            f"{name}: {length:.2f} s long; affekt needs at least {SHORTEST} s, so leave it out"
        )
    if samples.shape[1] > 2:
        _tell_once(name, samples.shape[1])
    averaged = samples.mean(axis=1)
    if rate == RATE:
        return averaged
    import soxr

    return soxr.resample(averaged, rate, RATE, quality="HQ")


_told: set[int] = set()  # numbers of channels that this process has warned of


def _tell_once(name: str, channels: int) -> None:
    """Warn of the first file with so many channels; a corpus of them is worth one message."""
    if channels not in _told:
        _told.add(channels)
        log.warning(
            "%s: has %d channels, averaged to one, as in every file with so many; "
            "write the channel you want to a file of its own if that is not right",
            name,
            channels,
        )


def seconds(utterance: Utterance, steps: Sequence[Step] = ()) -> float:
    """How long an utterance is after cropping and padding; 0 if unreadable, trimming aside."""
    length = _seconds(utterance)
    for step in steps:
        if isinstance(step, Crop):
            length = min(length, step.length / RATE)
        if isinstance(step, Pad):
            length = max(length, step.length / RATE)
    return length


def _seconds(utterance: Utterance) -> float:
    if utterance.end is not None:
        return utterance.end - utterance.start
    try:
        state = utterance.audio.stat()
        whole = _file_seconds(utterance.audio, state.st_size, state.st_mtime_ns)
    except (AudioError, *DAMAGE):
        return 0.0
    return max(0.0, whole - utterance.start)


@cache
def _file_seconds(path: Path, _size: int, _modified: int) -> float:
    """From the file's header if that says so."""
    with soundfile.SoundFile(path) as file:
        if file.frames < UNKNOWN:
            return file.frames / file.samplerate
    samples, rate = decode(path)
    return len(samples) / rate


def fingerprint(utterance: Utterance) -> str:
    """A key of the bytes behind an utterance and its span: what a cache of its features needs."""
    state = utterance.audio.stat()
    whole = _file_digest(utterance.audio, state.st_size, state.st_mtime_ns)
    return f"{whole}-{utterance.start}-{utterance.end}-{VERSION}"


def key_of(utterance: Utterance, steps: Sequence[Step]) -> str:
    """A key of what the steps leave of an utterance; of a file that cannot be opened, its name."""
    chain = [(type(step).__name__, vars(step)) for step in steps]
    try:
        return f"{fingerprint(utterance)}:{RATE}:{chain}"
    except OSError:  # reading it tells the rest
        return utterance.key


@cache  # a long recording has many utterances
def _file_digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


def content(utterance: Utterance) -> str:
    """A key of what is heard: `hash_of` the decoded samples, whatever file holds them."""
    samples, _ = decode(utterance.audio, utterance.start, utterance.end)
    return hash_of(samples)


def hash_of(samples: np.ndarray) -> str:
    """A key of samples (S, channels) in [-1, 1], rounded to 16 bits."""
    pcm = np.round(samples * 32768.0).clip(-32768, 32767).astype("<i2")
    return blake2b(np.ascontiguousarray(pcm).tobytes(), digest_size=16).hexdigest()


def prepare(
    signal: Signal, steps: Sequence[Step], rng: np.random.Generator | None = None
) -> Signal:
    """The signal after all steps, in their order."""
    for step in steps:
        signal = step(signal, rng)
    return signal


def prepared(signal: Signal, steps: Sequence[Step]) -> Signal:
    """The signal to be judged: after all steps, or as it came where too little would be left."""
    made = prepare(signal, steps)
    return made if len(made) >= SHORTEST * RATE else signal


class TrimSilence:
    """Cut the quiet ends: frames whose energy lies `below` dB under the loudest one."""

    def __init__(self, *, below: float = 40.0, margin: float = 0.05) -> None:
        self.below = below
        self.margin = margin  # seconds kept on either side

    def __call__(self, signal: Signal, rng: np.random.Generator | None = None) -> Signal:
        frame = RATE // 100
        whole = signal[: len(signal) // frame * frame].reshape(-1, frame)
        energy = (whole.astype(np.float64) ** 2).mean(axis=1)
        loud = np.flatnonzero(energy > energy.max(initial=0.0) * 10 ** (-self.below / 10))
        if len(loud) == 0:  # nothing but zeros
            return signal
        margin = round(self.margin * RATE)
        return signal[max(0, loud[0] * frame - margin) : (loud[-1] + 1) * frame + margin]


class Crop:
    """At most `seconds` of the signal, from the start, the centre, or anywhere in training."""

    def __init__(
        self, *, seconds: float, where: Literal["start", "centre", "random"] = "start"
    ) -> None:
        self.length = round(seconds * RATE)
        self.where = where

    def __call__(self, signal: Signal, rng: np.random.Generator | None = None) -> Signal:
        spare = len(signal) - self.length
        if spare <= 0:
            return signal
        first = 0 if self.where == "start" else spare // 2
        if self.where == "random" and rng is not None:
            first = int(rng.integers(spare + 1))
        return signal[first : first + self.length]


class Pad:
    """At least `seconds`, zeros behind."""

    def __init__(self, *, seconds: float) -> None:
        self.length = round(seconds * RATE)

    def __call__(self, signal: Signal, rng: np.random.Generator | None = None) -> Signal:
        return np.pad(signal, (0, max(0, self.length - len(signal))))


class Normalise:
    """Zero mean and unit variance over the whole signal, padding included if it came before."""

    def __call__(self, signal: Signal, rng: np.random.Generator | None = None) -> Signal:
        spread = signal.std(dtype=np.float64)
        centred = signal - signal.mean(dtype=np.float64)
        return (centred / max(spread, 1e-7)).astype(np.float32)  # 1e-7: digital silence stays zero


STEPS: dict[str, type] = {
    "trim-silence": TrimSilence,
    "crop": Crop,
    "pad": Pad,
    "normalise": Normalise,
}
