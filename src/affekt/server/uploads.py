"""The bytes of a recording as they arrive: counted, and refused at the limit, not behind it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from affekt.server.limits import Limits
from affekt.server.refusals import RefusedError

SPOOL = 2**20  # bytes that are held in memory; more go to a file that is gone when it is closed
UPLOAD = 10  # times the time limit: what a whole upload may take
LINGER = 2.0  # seconds in which the rest of a refused upload is thrown away
NAME = 200  # characters of a file's name
SOUND = ("audio/", "video/", "application/ogg", "application/octet-stream")

Chunks = AsyncGenerator[bytes, None]


@dataclass(frozen=True)
class Upload:
    """A recording as it came; the file is gone when it is closed."""

    name: str | None  # as the client calls it
    file: Any  # open, at its start

    def read(self) -> bytes:
        """All of it; the file is closed."""
        with self.file:
            return self.file.read()


async def receive(request: Request, limits: Limits) -> Upload:
    """The one recording in a request, as a form's file or as the body.

    Raises:
        RefusedError: too large, too slow, no sound by its own words, or no file in the form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > limits.bytes:
        raise _too_large(limits)
    whole, pause = asyncio.timeout(limits.timeout * UPLOAD), asyncio.timeout(limits.timeout)
    try:
        async with whole, pause:
            if kind == "multipart/form-data":
                return await _form(request, _chunks(request, limits, pause))
            if kind.startswith(SOUND):
                return await _body(_chunks(request, limits, pause))
    except TimeoutError as e:
        raise RefusedError("stalled", "the upload is too slow; send a smaller file") from e
    raise RefusedError(
        "not_sound",
        f"content type '{kind[:NAME]}' is no sound; send multipart/form-data with a 'file', or the "
        "bytes as audio/wav, audio/flac, audio/ogg or audio/mpeg",
    )


async def linger(request: Request) -> None:
    """Throw the rest of a refused upload away for a while, so that its sender reads why."""
    begun = hasattr(request.state, "whole")
    if request.state.whole if begun else "expect" in request.headers:
        return  # nothing comes, or its sender waits for leave to send
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while (message := await request.receive())["type"] == "http.request":
                if not message.get("more_body"):
                    return


async def gone(request: Request) -> None:
    """Until the client goes away; to be asked when the body is read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _chunks(request: Request, limits: Limits, pause: asyncio.Timeout) -> Chunks:
    """The body as it comes, while it is not too large and goes on."""
    loop = asyncio.get_running_loop()
    size, more, request.state.whole = 0, True, False
    while more:
        message = await request.receive()
        pause.reschedule(loop.time() + limits.timeout)
        if message["type"] == "http.disconnect":
            raise RefusedError("gone", "the client went away")
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size > limits.bytes:
            raise _too_large(limits)
        yield chunk
    request.state.whole = True


async def _body(chunks: Chunks) -> Upload:
    file = SpooledTemporaryFile(max_size=SPOOL)  # noqa: SIM115
    try:
        async for chunk in chunks:
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return Upload(None, file)


async def _form(request: Request, chunks: Chunks) -> Upload:
    parser = MultiPartParser(request.headers, chunks, max_files=1, max_fields=8)
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeError, LookupError) as e:
        raise RefusedError("wrong_request", f"the form cannot be read: {e}") from e
    found = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if not found:
        raise RefusedError("wrong_request", "the form holds no file; send one as its field 'file'")
    return Upload(_clean(found[0].filename), found[0].file)


def _clean(name: str | None) -> str | None:
    """The last part of a name, printable and not too long."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable())[:NAME] or None


def _too_large(limits: Limits) -> RefusedError:
    return RefusedError(
        "too_large", f"the upload is larger than {limits.megabytes:g} MB; send less"
    )
