"""Windows of a fixed length over a stretch of sound, and the mean of their scores at every hop.

A stretch of T samples, windows of L, one every H. Window k is [kH, kH + L). Where the last one
ends before T, one more is moved back to end at T; a stretch shorter than L is one window as it
is. Hop j is [jH, (j + 1)H), and its scores are the mean over all windows that cover it,

    s_j = 1 / |W_j| sum_{k in W_j} s_k,    W_j = { k : window k covers all of hop j }

so that it is final once window j is judged, L - H after its end. The last hop ends at T; if that
leaves it under `SHORTEST`, it belongs to the one before unless that is out. Axes: S samples,
K classes.
"""

from dataclasses import dataclass

import numpy as np

from affekt.audio import RATE, SHORTEST, Signal
from affekt.errors import AudioError


@dataclass(frozen=True)
class Windows:
    """How a recording is cut.

    Args:
        length: of a window, in seconds.
        hop: from the start of one window to that of the next, in seconds; at most `length`.
    """

    length: float = 4.0
    hop: float = 2.0

    def __post_init__(self) -> None:
        if not SHORTEST <= self.hop <= self.length < float("inf"):
            raise AudioError(
                f"windows of {self.length:g} s every {self.hop:g} s; give a hop of at least "
                f"{SHORTEST:g} s, and a window that is as long or longer"
            )

    @property
    def size(self) -> int:
        """L: samples of a window."""
        return round(self.length * RATE)

    @property
    def step(self) -> int:
        """H: samples of a hop."""
        return round(self.hop * RATE)


@dataclass(frozen=True)
class Window:
    """A stretch of sound to be judged."""

    signal: Signal
    hops: range  # that it covers


@dataclass(frozen=True)
class Hop:
    """Samples from `start` to `end` of the recording, with the mean scores (K,)."""

    start: int
    end: int
    scores: np.ndarray


class Stretch:
    """A stretch of sound that comes in pieces: windows to be judged out, their scores in.

    Args:
        windows: how it is cut.
        start: its first sample in the recording.
    """

    def __init__(self, windows: Windows, start: int = 0) -> None:
        self.windows = windows
        self.start = start
        self.heard = 0  # samples
        self._kept: Signal = np.zeros(0, np.float32)  # the last samples, all that may be needed
        self._next = 0  # window
        self._settled = 0  # hops that are final
        self._last: np.ndarray | None = None  # scores of the window that was judged last
        self._sums: dict[int, tuple[np.ndarray, int]] = {}  # scores and their number, by hop

    def feed(self, signal: Signal) -> list[Window]:
        """The windows that are whole now."""
        self.heard += len(signal)
        self._kept = np.concatenate([self._kept, signal])
        size, step = self.windows.size, self.windows.step
        first, made = self.heard - len(self._kept), []
        while self._next * step + size <= self.heard:
            begin = self._next * step - first
            hops = range(self._next, self._next + size // step)
            made.append(Window(self._kept[begin : begin + size], hops))
            self._next += 1
        needed = max(0, min(self._next * step, self.heard - size))
        self._kept = self._kept[needed - first :].copy()
        return made

    def end(self) -> list[Window]:
        """The window that ends where the sound ends, unless it was out already."""
        size, step = self.windows.size, self.windows.step
        if not self.heard or (self._next and (self._next - 1) * step + size == self.heard):
            return []
        begin = max(0, self.heard - size)
        hops = range(-(-begin // step), -(-self.heard // step))
        return [Window(self._kept[begin - self.heard :], hops)]

    def judged(self, window: Window, scores: np.ndarray) -> Hop:
        """The hop that is final with the scores (K,) of a window that `feed` gave."""
        self._add(window.hops, scores)
        self._last = scores
        return self._hop((window.hops.start + 1) * self.windows.step)

    def rest(self, window: Window | None, scores: np.ndarray | None) -> list[Hop]:
        """The hops that are final with the scores of the window that `end` gave, if any."""
        step, last = self.windows.step, -(-self.heard // self.windows.step)
        if window is not None and scores is not None:
            self._add(window.hops, scores)
        elif self._last is not None:  # the last window ends where the sound does
            covered = self._next - 1 + self.windows.size // step
            self._add(range(covered, last), self._last)
        made = []
        while (begin := self._settled * step) < self.heard:
            behind = self.heard - begin - step
            short = behind < SHORTEST * RATE
            made.append(self._hop(self.heard if short else begin + step))
            if short:
                break
        return made

    def _add(self, hops: range, scores: np.ndarray) -> None:
        known = bool(np.isfinite(scores).all())  # not NaN, of a window that cannot be judged
        for j in hops:
            total, count = self._sums.get(j, (np.zeros(len(scores)), 0))
            self._sums[j] = (total + scores, count + 1) if known else (total, count)

    def _hop(self, end: int) -> Hop:
        """The next hop, which ends at a sample of the stretch."""
        total, count = self._sums.pop(self._settled)
        begin = self._settled * self.windows.step
        self._settled += 1
        mean = total / count if count else np.full_like(total, np.nan)
        return Hop(self.start + begin, self.start + end, mean)
