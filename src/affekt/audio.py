"""Recordings in: 16 kHz mono float32 from any file, and the ordered steps that a paper applies.

A signal is an array (S,) of samples in [-1, 1]. A step takes a signal and gives a signal; with a
random generator (training) a crop falls anywhere, without one (test) it is always the same.
"""

import logging
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from affekt.errors import AudioError
from affekt.types import Utterance

log = logging.getLogger(__name__)

RATE = 16_000  # Hz; what every encoder here was made for
SHORTEST = 0.2  # seconds; about one syllable, less holds no emotion to judge
ENDINGS = (".wav", ".flac", ".ogg", ".mp3")

Signal = np.ndarray
Step = Callable[[Signal, np.random.Generator | None], Signal]


def read(path: Path, *, start: float = 0.0, end: float | None = None) -> Signal:
    """The samples (S,) of `path` from `start` to `end` (seconds), 16 kHz mono float32.

    Channels are averaged. Any sample rate is converted with soxr.

    Raises:
        AudioError: missing, empty, not audio, damaged, not finite, or under `SHORTEST`.
    """
    samples, rate = _decode(path, start, end)
    seconds = len(samples) / rate
    if seconds < SHORTEST:
        raise AudioError(
            f"{path}: {seconds:.2f} s long; affekt needs at least {SHORTEST} s. "
            'Leave it out of the corpus, or set on_error = "skip"'
        )
    if samples.shape[1] > 2:
        _tell_once(path, samples.shape[1])
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise AudioError(
            f"{path}: holds NaN or infinite samples; export it again as 16-bit PCM, "
            'or set on_error = "skip"'
        )
    if rate == RATE:
        return mono
    import soxr

    return soxr.resample(mono, rate, RATE, quality="HQ")


def _tell_once(path: Path, channels: int) -> None:
    """A microphone array is used like any other file, but somebody may want to know."""
    if channels not in _told:
        _told.add(channels)
        log.warning(
            "%s: has %d channels, averaged to one, as in every file with so many; "
            "write the channel you want to a file of its own if that is not right",
            path,
            channels,
        )


_told: set[int] = set()  # a corpus of such files is worth one message


def _decode(path: Path, start: float, end: float | None) -> tuple[np.ndarray, int]:
    """Samples (S, channels) at the file's own rate, and that rate."""
    if not path.is_file():
        raise AudioError(f"{path}: no such file; check the folder given with --data")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: the file is empty; copy it again from its source")
    try:
        with soundfile.SoundFile(path) as file:
            first = round(start * file.samplerate)
            last = file.frames if end is None else round(end * file.samplerate)
            if not 0 <= first < last <= file.frames + file.samplerate // 10:  # 0.1 s of grace
                raise AudioError(
                    f"{path}: the span {start} s to {end} s does not lie within the file's "
                    f"{file.frames / file.samplerate:.2f} s; check start and end"
                )
            file.seek(first)
            wanted = min(last, file.frames) - first
            samples = file.read(wanted, dtype="float32", always_2d=True)
            if len(samples) < wanted:
                raise AudioError(
                    f"{path}: ends after {len(samples) / file.samplerate:.2f} s of "
                    f"{wanted / file.samplerate:.2f} s; the file is truncated, copy it again"
                )
            return samples, file.samplerate
    except soundfile.LibsndfileError as e:
        raise AudioError(
            f"{path}: not readable as audio ({e.error_string.strip().rstrip('.')}); "
            "affekt reads .wav .flac .ogg .mp3, so convert it or copy it again"
        ) from e


def seconds(utterance: Utterance) -> float:
    """How long an utterance is, from the file's header; 0 where it cannot be read."""
    if utterance.end is not None:
        return utterance.end - utterance.start
    try:
        with soundfile.SoundFile(utterance.audio) as file:
            return file.frames / file.samplerate - utterance.start
    except soundfile.LibsndfileError:
        return 0.0


def fingerprint(utterance: Utterance) -> str:
    """A key of the bytes behind an utterance and its span: what a cache of its features needs."""
    digest = blake2b(digest_size=16)
    with utterance.audio.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    digest.update(f"{utterance.start}-{utterance.end}".encode())
    return digest.hexdigest()


def content(utterance: Utterance) -> str:
    """A key of what is heard: the decoded samples at 16 bits, whatever file holds them."""
    samples, _ = _decode(utterance.audio, utterance.start, utterance.end)
    pcm = np.round(samples * 32768.0).clip(-32768, 32767).astype("<i2")
    return blake2b(np.ascontiguousarray(pcm).tobytes(), digest_size=16).hexdigest()


def prepare(
    signal: Signal, steps: Sequence[Step], rng: np.random.Generator | None = None
) -> Signal:
    """The signal after all steps, in their order."""
    for step in steps:
        signal = step(signal, rng)
    return signal


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
