"""Sound that is heard while it is spoken: a WebSocket of samples in, of segments out.

The first message is JSON, {"rate": 16000, "encoding": "s16le", "channels": 1}; then samples follow
as binary messages of any size; {"end": true} ends them. Axes: S samples, C channels.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from fastapi import WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocketDisconnect

from affekt.audio import RATE, SHORTEST, Signal
from affekt.errors import AudioError
from affekt.inference.predictor import Predictor
from affekt.server.door import key_in, refuse_wrong, wrong
from affekt.server.limits import VALUES, Limits
from affekt.server.refusals import RefusedError, failed
from affekt.server.service import Service
from affekt.types import Segment

log = logging.getLogger(__name__)

BEGIN = '; begin with {"rate": 16000, "encoding": "s16le", "channels": 1}'
TYPES = {"s16le": ("<i2", 2.0**15), "f32le": ("<f4", 1.0)}


class Hello(BaseModel):
    """The first message."""

    model_config = ConfigDict(extra="forbid")

    rate: int = Field(ge=4_000, le=192_000)  # Hz
    encoding: Literal["s16le", "f32le"] = "s16le"
    channels: int = Field(1, ge=1, le=8)
    min_confidence: float = Field(0.0, ge=0.0, le=1.0)
    api_key: str | None = None  # for browsers, which cannot send it as a header


@runtime_checkable
class Listener(Protocol):
    """What hears a stream: `affekt.inference.stream.Stream`, or `Whole`."""

    def feed(self, samples: Signal) -> list[Segment]:
        """What can be said after these samples (S,) at 16 kHz."""
        ...

    def end(self) -> list[Segment]:
        """What is left to be said."""
        ...


class Whole:
    """Hears a stream to its end, and judges it as one recording."""

    def __init__(self, predictor: Predictor, hello: Hello, limits: Limits) -> None:
        self.predictor = predictor
        self.hello = hello
        self.limits = limits
        self.heard: list[Signal] = []

    def feed(self, samples: Signal) -> list[Segment]:
        """Nothing yet."""
        self.heard.append(samples)
        if sum(map(len, self.heard)) > self.limits.seconds * RATE:
            what = f"the stream is longer than {self.limits.seconds:g} s; end it before"
            raise RefusedError("too_long", what)
        return []

    def end(self) -> list[Segment]:
        """One segment."""
        signal = np.concatenate([np.zeros(0, np.float32), *self.heard])
        if len(signal) < SHORTEST * RATE:
            what = f"{len(signal) / RATE:.2f} s of sound came; send at least {SHORTEST} s"
            raise RefusedError("unusable_sound", what)
        (scores,) = self.predictor.scores([signal])
        duration = len(signal) / RATE
        return [self.predictor.segment(0.0, duration, scores, self.hello.min_confidence)]


class Samples:
    """Bytes of a stream as signals at 16 kHz, however they are cut."""

    def __init__(self, hello: Hello) -> None:
        import soxr

        self.kind, self.scale = TYPES[hello.encoding]
        self.channels = hello.channels
        self.rest = b""  # part of a sample of all channels
        self.resample = soxr.ResampleStream(hello.rate, RATE, 1, "float32", "HQ")
        self.same = hello.rate == RATE

    def __call__(self, data: bytes, *, last: bool = False) -> Signal:
        """Samples (S,)."""
        data = self.rest + data
        whole = len(data) // self._width * self._width
        self.rest = data[whole:]
        found = np.frombuffer(data[:whole], self.kind).astype(np.float32) / self.scale
        if not np.isfinite(found).all():
            raise RefusedError("unusable_sound", "the stream holds NaN or infinite samples")
        mono = found.reshape(-1, self.channels).mean(axis=1, dtype=np.float32)
        return mono if self.same else self.resample.resample_chunk(mono, last=last)

    @property
    def _width(self) -> int:
        return np.dtype(self.kind).itemsize * self.channels


async def serve(socket: WebSocket, service: Service, key: str | None) -> None:
    """Hear one stream to its end; an error is one message, then the connection is closed."""
    await socket.accept()
    try:
        hello = await _hello(socket, service, key)
        with service.stream():
            await _hear(socket, service, hello)
        await socket.close(1000)
    except WebSocketDisconnect:
        return
    except RefusedError as e:
        await _refuse(socket, e)
    except AudioError as e:
        await _refuse(socket, RefusedError("unusable_sound", str(e)))
    except Exception:
        log.exception("a stream failed")
        await _refuse(socket, failed())


async def _hello(socket: WebSocket, service: Service, key: str | None) -> Hello:
    message = await _next(socket, service.limits)
    try:
        hello = Hello.model_validate_json(message.get("text") or "")
    except ValidationError as e:
        raise wrong(e.errors()[0], Hello.model_fields, BEGIN) from e
    refuse_wrong(key, hello.api_key or key_in(socket.scope["headers"]))
    if hello.rate * hello.channels > VALUES:
        raise RefusedError(
            "wrong_request", f"{hello.channels} channels at {hello.rate} Hz are too much"
        )
    return hello


def _listener(service: Service, hello: Hello) -> Listener:
    return Whole(service.predictor, hello, service.limits)


async def _hear(socket: WebSocket, service: Service, hello: Hello) -> None:
    listener = _listener(service, hello)
    samples = Samples(hello)
    loop = asyncio.get_running_loop()

    async def tell(work: Callable[[], list[Segment]]) -> None:
        for segment in await loop.run_in_executor(service.listeners, work):
            await socket.send_json(asdict(segment))

    while (data := _sound(await _next(socket, service.limits))) is not None:
        await tell(lambda data=data: listener.feed(samples(data)))
    await tell(lambda: listener.feed(samples(b"", last=True)) + listener.end())


def _sound(message: dict[str, Any]) -> bytes | None:
    """The bytes of a message; None at the end."""
    if (data := message.get("bytes")) is not None:
        return data
    try:
        if json.loads(message.get("text") or "") == {"end": True}:
            return None
    except ValueError:
        pass
    raise RefusedError(
        "wrong_request", 'after the first message: samples as bytes, or {"end": true}'
    )


async def _next(socket: WebSocket, limits: Limits) -> dict[str, Any]:
    try:
        message = await asyncio.wait_for(socket.receive(), limits.timeout)
    except TimeoutError as e:
        what = f"nothing came for {limits.timeout:g} s; the stream is closed"
        raise RefusedError("stalled", what) from e
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    return dict(message)


async def _refuse(socket: WebSocket, refusal: RefusedError) -> None:
    try:
        await socket.send_json(refusal.body)
        await socket.close(refusal.closing)
    except (WebSocketDisconnect, RuntimeError):  # it is gone
        return
