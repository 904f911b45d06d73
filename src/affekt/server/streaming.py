"""Sound that is heard while it is spoken: a WebSocket of samples in, of hops out.

The first message is JSON, {"rate": 16000, "encoding": "s16le", "channels": 1}; then samples follow
as binary messages of any size; {"end": true} ends them. {"position": 48000} before a message says
which sample it begins with, so that a gap is told. What is said of a hop is sent once, as
soon as it is final, and in the end the timeline, as of affekt.inference.timeline.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from fastapi import WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocketDisconnect

from affekt.errors import AudioError
from affekt.inference.incoming import frame, pcm
from affekt.inference.predictor import Predictor
from affekt.inference.stream import Stream
from affekt.inference.timeline import joined
from affekt.inference.windows import Windows
from affekt.server.door import key_in, refuse_wrong, wrong
from affekt.server.limits import VALUES, Limits, cut
from affekt.server.refusals import RefusedError, failed
from affekt.server.service import Service
from affekt.types import Segment

log = logging.getLogger(__name__)

BEGIN = '; begin with {"rate": 16000, "encoding": "s16le", "channels": 1}'
WINDOWS = Windows()


class Hello(BaseModel):
    """The first message."""

    model_config = ConfigDict(extra="forbid")

    rate: int = Field(ge=4_000, le=192_000)  # Hz
    encoding: Literal["s16le", "f32le"] = "s16le"
    channels: int = Field(1, ge=1, le=8)
    window: float = Field(WINDOWS.length, gt=0, le=60)  # seconds
    hop: float = Field(WINDOWS.hop, gt=0, le=60)  # seconds
    min_confidence: float = Field(0.0, ge=0.0, le=1.0)
    api_key: str | None = None  # for browsers, which cannot send it as a header


class Listener:
    """Hears the bytes of a stream, however they are cut.

    Args:
        predictor: the model.
        hello: the first message.
    """

    def __init__(self, predictor: Predictor, hello: Hello) -> None:
        self.hello = hello
        told = {"rate": hello.rate, "min_confidence": hello.min_confidence}
        self.stream = Stream(predictor, cut(hello.window, hello.hop), **told)
        self.hops: list[Segment] = []
        self.rest = b""  # part of a sample of all channels
        self.position: int | None = None  # in samples, of what comes next, if that was said

    def place(self, position: int) -> None:
        """Where in the stream the next bytes begin, in samples."""
        self._samples(self.rest)  # half a sample is told
        self.position = position

    def feed(self, data: bytes) -> list[Segment]:
        """The hops that are final after these bytes."""
        data = self.rest + data
        whole = len(data) - len(data) % frame(self.hello.encoding, self.hello.channels)
        self.rest = data[whole:]
        position, self.position = self.position, None
        return self._keep(self.stream.feed(self._samples(data[:whole]), position=position))

    def end(self) -> list[Segment]:
        """The hops that are left."""
        self._samples(self.rest)  # half a sample is told
        return self._keep(self.stream.end())

    def timeline(self) -> list[Segment]:
        """All hops, those of one label as one segment."""
        return list(joined(self.hops))

    def _samples(self, data: bytes) -> np.ndarray:
        return pcm(data, encoding=self.hello.encoding, channels=self.hello.channels)

    def _keep(self, hops: list[Segment]) -> list[Segment]:
        self.hops += hops
        return hops


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
    given = hello.api_key.encode() if hello.api_key else key_in(socket.scope["headers"])
    refuse_wrong(key, given)
    if hello.rate * hello.channels > VALUES:
        raise RefusedError(
            "wrong_request", f"{hello.channels} channels at {hello.rate} Hz are too much"
        )
    return hello


async def _hear(socket: WebSocket, service: Service, hello: Hello) -> None:
    listener = Listener(service.predictor, hello)
    loop = asyncio.get_running_loop()

    async def tell(work: Callable[[], list[Segment]]) -> None:
        for hop in await loop.run_in_executor(service.listeners, work):
            await socket.send_json({"type": "hop", **asdict(hop)})

    while (told := _told(await _next(socket, service.limits))) is not None:
        if isinstance(told, int):
            listener.place(told)
        else:
            await tell(lambda data=told: listener.feed(data))
    await tell(listener.end)
    whole = [asdict(segment) for segment in listener.timeline()]
    duration = listener.stream.duration
    await socket.send_json({"type": "timeline", "duration": duration, "segments": whole})


def _told(message: dict[str, Any]) -> bytes | int | None:
    """Samples, the position of those that follow, or None: there are no more."""
    if (data := message.get("bytes")) is not None:
        return data
    try:
        match json.loads(message.get("text") or ""):
            case {"end": True, **more} if not more:
                return None
            case {"position": int(position), **more} if not (more or isinstance(position, bool)):
                return position
    except ValueError:
        pass
    raise RefusedError(
        "wrong_request",
        'after the first message: samples as bytes, {"position": SAMPLE} before them, or '
        '{"end": true}',
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
