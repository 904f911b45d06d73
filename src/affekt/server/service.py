"""From the bytes of a recording to what is said of it: a place, a decoder, a batch.

Axes: S samples, K classes.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from threading import Event

from affekt.audio import RATE, Signal
from affekt.errors import AudioError
from affekt.inference.predictor import Predictor
from affekt.inference.timeline import timeline
from affekt.inference.windows import Windows
from affekt.server.batching import Batcher, Row, full, late
from affekt.server.limits import Limits
from affekt.server.metrics import Metrics
from affekt.server.refusals import RefusedError
from affekt.server.sound import decoded
from affekt.types import Segment

AHEAD = 4  # batches whose sound is decoded before the model is ready for it


class Service:
    """One model, and everything that is asked of it.

    Args:
        load: gives the model.
        limits: of requests.
    """

    def __init__(self, load: Callable[[], Predictor], limits: Limits) -> None:
        self.limits = limits
        self.inside = 0  # requests
        self.streams = 0
        self.closing = False
        self.metrics = Metrics(lambda: len(self.batcher), lambda: self.inside)
        self.batcher = Batcher(
            load, limits, told=self.metrics.clips.observe, coming=lambda: self._coming
        )
        self._coming = 0  # recordings that are decoded, or wait for it
        self._decoders = ThreadPoolExecutor(limits.decoders, thread_name_prefix="affekt-decoder")
        self._decoding = asyncio.Semaphore(limits.decoders)
        self.listeners = ThreadPoolExecutor(limits.streams, thread_name_prefix="affekt-stream")
        self._timelines = ThreadPoolExecutor(limits.decoders, thread_name_prefix="affekt-timeline")

    @property
    def predictor(self) -> Predictor:
        """The model, whose scores come out of batches; to be asked in threads that may wait.

        Raises:
            RefusedError: it is not there.
        """
        return self._until(None)

    def _until(self, abandoned: Event | None) -> Predictor:
        """The same for a request that may be abandoned."""
        self.refuse_unready()
        found = self.batcher.model.result()
        scores = partial(self.batcher.scores, abandoned=abandoned)
        # Temperature and activation are those of the model within.
        return replace(found, logits=scores, temperature=1.0, activation="none")

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.batcher.model.result().name

    def refuse_unready(self) -> None:
        """Pass if requests can be answered, or say why not."""
        if self.closing:
            raise RefusedError("closing", "the server is shutting down; ask again later")
        if not self.batcher.model.done():
            raise RefusedError("not_ready", "the model is being loaded; ask again in a moment")
        if self.batcher.model.exception():
            raise RefusedError("not_ready", "the model cannot be loaded; the server's log says why")

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the places in the queue."""
        self.refuse_unready()
        if self.inside >= self.limits.queue:
            raise full(self.limits)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    @contextmanager
    def stream(self) -> Iterator[None]:
        """One of the places for streams."""
        self.refuse_unready()
        if self.streams >= self.limits.streams:
            what = f"{self.limits.streams} streams are open already; ask again later"
            raise RefusedError("queue_full", what)
        self.streams += 1
        self.metrics.streams.inc()
        try:
            yield
        finally:
            self.streams -= 1
            self.metrics.streams.dec()

    async def segment(self, read: Callable[[], bytes], min_confidence: float = 0.0) -> Segment:
        """What is said of a recording as a whole.

        Args:
            read: gives its bytes, in a decoder's thread.
            min_confidence: under this score a label is `UNCERTAIN`.

        Raises:
            RefusedError: it cannot be used, or there was no time for it.
        """
        signal, scores = await self.heard(read)
        found = self.batcher.model.result()
        return found.segment(0.0, len(signal) / RATE, scores, min_confidence)

    async def timeline(
        self, read: Callable[[], bytes], windows: Windows, min_confidence: float = 0.0
    ) -> tuple[Signal, list[Segment]]:
        """The signal (S,) of a recording, and its stretches of one label; arguments as above."""
        loop, abandoned = asyncio.get_running_loop(), Event()
        try:
            async with asyncio.timeout(self.limits.timeout):
                with self._on_its_way():
                    signal = await self._decoded(read)
                options = {"windows": windows, "min_confidence": min_confidence}
                work = partial(timeline, self._until(abandoned), (signal, RATE), **options)
                segments = await loop.run_in_executor(self._timelines, work)
        except TimeoutError as e:
            raise late(self.limits) from e
        except AudioError as e:
            raise RefusedError("unusable_sound", str(e)) from e
        finally:
            abandoned.set()
        if not segments:
            raise RefusedError("unusable_sound", "nothing in the recording can be judged")
        self.metrics.sound.inc(len(signal) / RATE)
        return signal, segments

    async def heard(self, read: Callable[[], bytes]) -> tuple[Signal, Row]:
        """The signal (S,) at 16 kHz of a recording, and its scores (K,)."""
        try:
            async with asyncio.timeout(self.limits.timeout):
                with self._on_its_way():
                    signal = await self._decoded(read)
                    answer = self.batcher.submit(signal)
                scores = await asyncio.wrap_future(answer)
        except TimeoutError as e:
            raise late(self.limits) from e
        except AudioError as e:
            raise RefusedError("unusable_sound", str(e)) from e
        self.metrics.sound.inc(len(signal) / RATE)
        return signal, scores

    async def _decoded(self, read: Callable[[], bytes]) -> Signal:
        """The signal (S,), once there is room for it beside those that wait."""
        loop = asyncio.get_running_loop()
        async with self._decoding:
            while self.batcher.seconds > AHEAD * self.limits.sound:
                await asyncio.sleep(self.limits.wait)
            return await loop.run_in_executor(self._decoders, lambda: decoded(read(), self.limits))

    @contextmanager
    def _on_its_way(self) -> Iterator[None]:
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def begin(self) -> None:
        """Load the model."""
        self.batcher.begin()

    def close(self) -> None:
        """Answer what is inside, then let the threads end."""
        self.closing = True
        self.batcher.close()
        self.batcher.join(self.limits.timeout)
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self.listeners.shutdown(wait=False, cancel_futures=True)
        self._timelines.shutdown(wait=False, cancel_futures=True)
