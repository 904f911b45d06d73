"""What every request passes: its key, its count; errors as JSON, also those of the server."""

import base64
import binascii
import hmac
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from affekt.errors import nearest
from affekt.server.answers import Asked
from affekt.server.metrics import Metrics
from affekt.server.refusals import RefusedError, failed
from affekt.server.uploads import linger

log = logging.getLogger(__name__)

OPEN = ("/health", "/ready")  # without a key
COUNTED = "/v1/"  # what begins so
SHOWN = 40  # characters of a value that is wrong

# No fonts, scripts or reports of others: a page asks this server alone.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def key_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The key that came with a request: X-API-Key, Bearer, or the password of Basic."""
    found = dict(headers)
    if b"x-api-key" in found:
        return found[b"x-api-key"]
    kind, _, value = found.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return value.strip() if kind.lower() == b"bearer" else b""


def refuse_wrong(key: str | None, given: bytes) -> None:
    """Pass with the right key, in a time that does not tell how much of it was right."""
    if key is not None and not hmac.compare_digest(key.encode(), given):
        raise RefusedError("wrong_key", "give the key of this server: 'Authorization: Bearer KEY'")


def guarded(app: ASGIApp, *, key: str | None, metrics: Metrics) -> ASGIApp:
    """The application behind its door."""

    async def enter(scope: Scope, receive: Receive, send: Send) -> None:
        """Count a request, give its answer the headers of all; a refusal becomes an answer."""
        if scope["type"] != "http":  # a stream has its key in its first message
            return await app(scope, receive, send)
        begin, status = time.perf_counter(), [500]

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            if scope["path"] not in OPEN:
                refuse_wrong(key, key_in(scope["headers"]))
            return await app(scope, receive, noting)
        except RefusedError as e:
            await linger(Request(scope, receive))
            return await refused(e, close=True)(scope, receive, noting)
        finally:
            if scope["path"].startswith(COUNTED):
                metrics.requests.labels(status[0]).inc()
                metrics.seconds.observe(time.perf_counter() - begin)

    return enter


def refused(refusal: RefusedError, *, close: bool = False) -> JSONResponse:
    """The response to a refusal."""
    headers = refusal.headers | ({"connection": "close"} if close else {})
    return JSONResponse(refusal.body, refusal.status, headers)


def wrong(error: Mapping[str, Any], known: Iterable[str], advice: str = "") -> RefusedError:
    """What pydantic found in a request, in one sentence."""
    name = str(error["loc"][-1]) if error["loc"] else "the request"
    if error["type"] == "extra_forbidden":
        what = f"'{name}' is not known; choose from {', '.join(known)}.{nearest(name, known)}"
    else:
        what = f"{name}: {error['msg'].lower()}, but is {str(error['input'])[:SHOWN]!r}"
    return RefusedError("wrong_request", f"{what}{advice}")


def handle_errors(app: FastAPI) -> None:
    """Every error as JSON with one message."""

    @app.exception_handler(RefusedError)
    async def _(_: Request, e: RefusedError) -> JSONResponse:
        return refused(e)

    @app.exception_handler(RequestValidationError)
    async def _(_: Request, e: RequestValidationError) -> JSONResponse:
        return refused(wrong(e.errors()[0], Asked.model_fields))

    @app.exception_handler(HTTPException)
    async def _(_: Request, e: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "wrong_method"}.get(e.status_code, "wrong_request")
        return JSONResponse({"error": {"code": code, "message": str(e.detail)}}, e.status_code)

    @app.exception_handler(Exception)
    async def _(_: Request, e: Exception) -> JSONResponse:
        return refused(failed())
