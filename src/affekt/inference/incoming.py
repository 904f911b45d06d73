"""Sound that arrives in pieces, checked, as one signal at 16 kHz.

Axes: S samples, C channels. A position counts samples of each channel at the stream's own rate.
"""

import numpy as np

from affekt.audio import RATE, Signal
from affekt.errors import AudioError, choose
from affekt.inference.given import checked

ENCODINGS = {"s16le": "<i2", "f32le": "<f4"}  # of raw samples, as ffmpeg calls them
RATES = (1_000, 768_000)  # Hz: what a rate may be
JITTER = 0.001  # seconds by which a stated time may be off, since it is rounded


class Incoming:
    """The pieces of one stream, each as the signal that is new with it.

    Args:
        rate: of the stream, in Hz.
        name: what the stream is called in messages.
    """

    def __init__(self, rate: int = RATE, *, name: str = "the stream") -> None:
        if not isinstance(rate, int | np.integer) or not RATES[0] <= rate <= RATES[1]:
            raise AudioError(
                f"{name}: a rate of {rate!r}; give whole Hz from {RATES[0]} to {RATES[1]}, "
                "such as 16000"
            )
        self.rate = int(rate)
        self.name = name
        self.position = 0  # samples that came
        self._channels: int | None = None
        self._resampler = None
        if self.rate != RATE:
            import soxr

            self._resampler = soxr.ResampleStream(self.rate, RATE, 1, quality="HQ")

    def take(
        self,
        samples: np.ndarray,
        *,
        rate: int | None = None,
        position: int | None = None,
        start: float | None = None,
    ) -> Signal:
        """The signal (S,) at 16 kHz that is new with samples (S,) or (S, C).

        Args:
            samples: floats in [-1, 1], or integers of their type's range.
            rate: that they have; it must be the stream's.
            position: of their first one in the stream; it must follow on.
            start: the same in seconds.

        Raises:
            AudioError: they are no samples, or do not follow on.
        """
        samples = np.asarray(samples)
        if rate is not None and rate != self.rate:
            raise AudioError(
                f"{self.name}: samples at {rate} Hz in a stream of {self.rate} Hz; begin a stream "
                "of its own for every rate"
            )
        self._follow(position, start)
        if samples.ndim in (1, 2) and not samples.size:
            return np.zeros(0, np.float32)
        table = checked(samples[:, None] if samples.ndim == 1 else samples, self.name)
        if self._channels not in (None, table.shape[1]):
            raise AudioError(
                f"{self.name}: {table.shape[1]} channel(s) after {self._channels}; send as many "
                "in every piece"
            )
        self._channels = table.shape[1]
        self.position += len(table)
        averaged = table.mean(axis=1)
        return averaged if self._resampler is None else self._resampler.resample_chunk(averaged)

    def rest(self) -> Signal:
        """What the change of rate still held back."""
        if self._resampler is None:
            return np.zeros(0, np.float32)
        return self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def _follow(self, position: int | None, start: float | None) -> None:
        here = self.position / self.rate
        if position is not None and position != self.position:
            raise self._gap(f"sample {position}", f"sample {self.position}", position / self.rate)
        if start is not None and not abs(start - here) <= JITTER:
            raise self._gap(f"{start:.3f} s", f"{here:.3f} s", start)

    def _gap(self, given: str, expected: str, at: float) -> AudioError:
        """The error of a piece that begins at `at` seconds."""
        missing = at - self.position / self.rate
        what = f"{missing:.3f} s are missing" if missing > 0 else f"{-missing:.3f} s came twice"
        return AudioError(
            f"{self.name}: a piece begins at {given}, but {expected} comes next ({what}); send "
            "every sample once and in order, zeros in place of lost ones, or begin a new stream"
        )


def pcm(
    data: bytes | bytearray | memoryview, *, encoding: str = "s16le", channels: int = 1
) -> np.ndarray:
    """Raw samples, channels by turns, as (S, C).

    Raises:
        AudioError: they do not come out even.
    """
    whole = frame(encoding, channels)
    if len(data) % whole:
        raise AudioError(
            f"{len(data)} bytes are no whole samples of {encoding} with {channels} channel(s), "
            f"{whole} bytes each; send whole ones, or check encoding and channels"
        )
    return np.frombuffer(data, ENCODINGS[encoding]).reshape(-1, channels)


def frame(encoding: str, channels: int) -> int:
    """Bytes of one sample of every channel."""
    kind = np.dtype(choose(ENCODINGS, encoding, "encoding", AudioError))
    if channels < 1:
        raise AudioError(f"{channels} channels; give 1 or more")
    return kind.itemsize * channels
