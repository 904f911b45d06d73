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

from affekt import containers
from affekt.errors import AudioError
from affekt.types import Utterance

log = logging.getLogger(__name__)

RATE = 16_000  # Hz; what every encoder here was made for
SHORTEST = 0.2  # seconds; about one syllable, less holds no emotion to judge
VERSION = 1  # of decoding; cached features are made anew when it goes up
ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
UNKNOWN = 2**40  # samples; libsndfile gives 2**63 - 1 for a FLAC that was written to a pipe
BLOCK = 2**20  # samples read at once: a damaged header may announce more than memory holds
# What soundfile and numpy raise on a damaged file, or on one of a kind they cannot guess.
DAMAGE = (soundfile.SoundFileError, OSError, ValueError, TypeError, ArithmeticError, MemoryError)

Signal = np.ndarray
Step = Callable[[Signal, np.random.Generator | None], Signal]


def read(path: Path, *, start: float = 0.0, end: float | None = None) -> Signal:
    """The samples (S,) of `path` from `start` to `end` (seconds), 16 kHz mono float32.

    Channels are averaged. Any sample rate is converted with soxr.

    Raises:
        AudioError: as `decode`, or under `SHORTEST`.
    """
    samples, rate = decode(path, start, end)
    length = len(samples) / rate
    if length < SHORTEST:
        raise AudioError(
            f"{path}: {length:.2f} s long; affekt needs at least {SHORTEST} s, "
            "so leave it out of the corpus"
        )
    if samples.shape[1] > 2:
        _tell_once(path, samples.shape[1])
    mono = samples.mean(axis=1)
    if rate == RATE:
        return mono
    import soxr

    return soxr.resample(mono, rate, RATE, quality="HQ")


_told: set[int] = set()  # numbers of channels that this process has warned of


def _tell_once(path: Path, channels: int) -> None:
    """Warn of the first file with so many channels; a corpus of them is worth one message."""
    if channels not in _told:
        _told.add(channels)
        log.warning(
            "%s: has %d channels, averaged to one, as in every file with so many; "
            "write the channel you want to a file of its own if that is not right",
            path,
            channels,
        )


def decode(path: Path, start: float = 0.0, end: float | None = None) -> tuple[np.ndarray, int]:
    """Samples (S, channels) in float32 at the file's own rate, and that rate.

    Raises:
        AudioError: "path: what is wrong; what would do" for a file that is missing, empty, not
            audio, damaged, truncated or not finite, and for a span that is not in it.
    """
    if not path.is_file():
        raise _unusable(path, "no such file", "check the folder given with --data")
    try:
        if path.stat().st_size == 0:
            raise _unusable(path, "the file is empty", "copy it again from its source")
        promise = containers.promise(path)
        if promise == "cut":
            raise _unusable(path, "the file is truncated", "copy it again from its source")
        if promise == "none":
            what = "an MP3 of varying bit rate that does not say its length"
            raise _unusable(path, what, "convert it to .wav or .flac")
        with _Stream(path) as file:
            exact = promise == "kept" and file.frames < UNKNOWN
            samples, rate = _stretch(file, start, end, exact=exact), file.samplerate
    except DAMAGE as e:
        reason = getattr(e, "error_string", str(e)).strip().rstrip(".").replace(";", ",")
        what = f"not readable as audio ({reason})"
        advice = "affekt reads .wav .flac .ogg .mp3, so convert it or copy it again"
        raise _unusable(path, what, advice) from e
    if not np.isfinite(samples).all():
        advice = "export it again as 16-bit PCM"
        raise _unusable(path, "holds NaN or infinite samples", advice)
    return samples, rate


def _unusable(path: Path | str, what: str, advice: str) -> AudioError:
    return AudioError(f"{path}: {what}; {advice}")


class _Stream(soundfile.SoundFile):
    """Reads on without asking for its place: in a FLAC of unknown length that is an error."""

    def seekable(self) -> bool:
        return False


def _stretch(file: _Stream, start: float, end: float | None, *, exact: bool) -> np.ndarray:
    """The samples (S, channels) of a file just opened from `start` to `end`.

    Args:
        file: just opened.
        start: seconds.
        end: seconds; None for the end of the file.
        exact: whether it holds as many samples as it says; if not, its end is where reading ends.
    """
    if not exact:
        samples = _blocks(file, file.frames if end is None else round(end * file.samplerate))
        first, last = _place(file, start, end, total=len(samples))
        return samples[first:last]
    first, last = _place(file, start, end, total=file.frames)
    file.seek(first)
    samples = _blocks(file, last - first)
    if len(samples) < last - first:
        found, promised = (n / file.samplerate for n in (len(samples), last - first))
        what = f"ends after {found:.2f} s of {promised:.2f} s, the file is truncated"
        raise _unusable(file.name, what, "copy it again from its source")
    return samples


def _place(file: _Stream, start: float, end: float | None, *, total: int) -> tuple[int, int]:
    """The first sample of a span and the one behind its last, in a file of `total` samples."""
    rate = file.samplerate
    first, last = round(start * rate), total if end is None else round(end * rate)
    if not total:
        what = "holds no samples, or its header does not say how many"
        raise _unusable(file.name, what, "copy it again from its source, or convert it")
    if not 0 <= first < last <= total + rate // 10:  # 0.1 s of grace for rounded labels
        until = "its end" if end is None else f"{end} s"
        what = f"the span {start} s to {until} does not lie within the file's {total / rate:.2f} s"
        raise _unusable(file.name, what, "check start and end")
    return first, min(last, total)


def _blocks(file: _Stream, wanted: int) -> np.ndarray:
    """At most `wanted` samples (S, channels); memory only for those that are there."""
    blocks = []
    while not blocks or (wanted and len(blocks[-1]) == BLOCK):
        blocks.append(file.read(min(wanted, BLOCK), dtype="float32", always_2d=True))
        wanted -= len(blocks[-1])
    return np.concatenate(blocks)


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
