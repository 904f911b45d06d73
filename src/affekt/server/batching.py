"""Clips of many requests judged together by one thread, which owns the model.

What waits is taken at once, up to a number of clips and of seconds. Each clip has a future of its
own: nothing else connects an answer with who asked. Axes: N signals, K classes.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Event, Thread

import numpy as np

from affekt.audio import RATE, Signal
from affekt.errors import AffektError
from affekt.inference.predictor import Predictor
from affekt.server.limits import Limits
from affekt.server.refusals import RefusedError

Row = np.ndarray  # scores (K,) of one clip
AT_ONCE = 16  # clips of one request that wait


@dataclass(eq=False)
class Clip:
    """A signal that waits for its scores; a future that was cancelled is never computed."""

    signal: Signal
    answer: "Future[Row]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """A queue of clips, and the thread that judges them.

    Args:
        load: gives the model; called in that thread.
        limits: of the queue and of a batch.
        told: the number of clips of every batch, when it is begun.
        coming: how many clips are on their way here; a batch waits only if there are some.
    """

    def __init__(
        self,
        load: Callable[[], Predictor],
        limits: Limits,
        *,
        told: Callable[[int], None] = lambda _: None,
        coming: Callable[[], int] = lambda: 1,
    ) -> None:
        self.limits = limits
        self.model: Future[Predictor] = Future()  # done when it is loaded and warm
        self._load = load
        self._told = told
        self._coming = coming
        self._clips: deque[Clip] = deque()
        self._change = Condition()
        self._closed = False
        self._thread = Thread(target=self._work, name="affekt-model", daemon=True)

    def __len__(self) -> int:
        return len(self._clips)

    @property
    def seconds(self) -> float:
        """Of sound that waits."""
        with self._change:
            return sum(len(clip.signal) for clip in self._clips) / RATE

    def begin(self) -> None:
        """Load the model, then judge what comes."""
        self._thread.start()

    def close(self) -> None:
        """Take nothing more; what waits is still judged."""
        with self._change:
            self._closed = True
            self._change.notify()

    def join(self, timeout: float) -> None:
        """Wait until everything is judged, so many seconds at most."""
        self._thread.join(timeout)

    def submit(self, signal: Signal, *, has_place: bool = False) -> "Future[Row]":
        """The scores (K,) to come of a signal at 16 kHz.

        Args:
            signal: a clip.
            has_place: whether it belongs to a request that is inside already.

        Raises:
            RefusedError: the queue is full, or closed.
        """
        clip = Clip(signal)
        with self._change:
            if self._closed:
                raise RefusedError("closing", "the server is shutting down; ask again later")
            if len(self._clips) >= self.limits.queue and not has_place:
                raise full(self.limits)
            self._clips.append(clip)
            self._change.notify()
        return clip.answer

    def scores(self, signals: Sequence[Signal], abandoned: Event | None = None) -> np.ndarray:
        """(N, K) of signals, in a thread that may wait; a few at a time, others come between.

        Args:
            signals: of one request.
            abandoned: set once nobody waits any more.
        """
        end = time.monotonic() + self.limits.timeout
        rows: list[Row] = []
        waiting: deque[Future[Row]] = deque()
        try:
            for signal in signals:
                if abandoned is not None and abandoned.is_set():
                    raise RefusedError("gone", "nobody waits for it any more")
                if len(waiting) == AT_ONCE:
                    rows.append(waiting.popleft().result(max(0.0, end - time.monotonic())))
                waiting.append(self.submit(signal, has_place=True))
            rows += [answer.result(max(0.0, end - time.monotonic())) for answer in waiting]
        except TimeoutError as e:
            raise late(self.limits) from e
        finally:
            for answer in waiting:
                answer.cancel()
        return np.stack(rows)

    def _work(self) -> None:
        try:
            predictor = self._load()
            predictor.scores([_noise()])  # the first call is the slowest
        except Exception as e:
            self.model.set_exception(e)
            return
        self.model.set_result(predictor)
        while clips := self._taken():
            self._told(len(clips))
            _judge(predictor, clips)

    def _taken(self) -> list[Clip]:
        """The next batch; empty at the end."""
        with self._change:
            while True:
                while not self._clips and not self._closed:
                    self._change.wait()
                if not self._clips:
                    return []
                left = self._clips[0].since + self.limits.wait - time.monotonic()
                if left <= 0 or self._closed or self._enough():
                    if batch := self._cut():
                        return batch
                else:
                    self._change.wait(left)

    def _enough(self) -> bool:
        return len(self._clips) >= self.limits.clips or not self._coming()

    def _cut(self) -> list[Clip]:
        """The first clips that somebody still waits for."""
        batch: list[Clip] = []
        seconds = 0.0
        while self._clips and len(batch) < self.limits.clips:
            seconds += len(self._clips[0].signal) / RATE
            if batch and seconds > self.limits.sound:
                break
            clip = self._clips.popleft()
            if clip.answer.set_running_or_notify_cancel():
                batch.append(clip)
            else:
                seconds -= len(clip.signal) / RATE
        return batch


def _noise() -> Signal:
    """A second that every model can judge: some refuse silence."""
    return np.random.default_rng(0).normal(0.0, 0.05, RATE).astype(np.float32)


def _judge(predictor: Predictor, clips: list[Clip]) -> None:
    """Answer every clip; one that cannot be judged spoils no other."""
    try:
        rows = predictor.scores([clip.signal for clip in clips])
        if len(rows) != len(clips):
            raise AffektError(f"{predictor.name}: gave {len(rows)} rows for {len(clips)} signals")
    except Exception as e:
        if len(clips) == 1:
            clips[0].answer.set_exception(e)
            return
        for clip in clips:
            _judge(predictor, [clip])
        return
    for clip, row in zip(clips, rows, strict=True):
        clip.answer.set_result(row.copy())


def full(limits: Limits) -> RefusedError:
    """Said where there is no place."""
    return RefusedError(
        "queue_full", f"{limits.queue} requests wait already; ask again in a moment"
    )


def late(limits: Limits) -> RefusedError:
    """Said after the time limit."""
    return RefusedError("timed_out", f"no answer within {limits.timeout:g} s; ask again later")
