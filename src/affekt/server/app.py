"""The HTTP interface of a server: /v1/predict, /v1/stream, /health, /ready, /metrics."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from affekt import __version__
from affekt.inference.predictor import Predictor
from affekt.inference.timeline import overall
from affekt.server import streaming
from affekt.server.answers import BODY, PROBLEMS, Answer, Asked, answer, of_timeline
from affekt.server.door import guarded, handle_errors, refused
from affekt.server.limits import Limits, cut
from affekt.server.refusals import RefusedError
from affekt.server.service import Service
from affekt.server.uploads import Upload, gone, linger, receive

T = TypeVar("T")

WORDS = """Emotions from speech. Send a recording, get the emotion and a score for every class.

Every error is `{"error": {"code": ..., "message": ...}}`. Nothing that is sent is kept."""
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


def application(
    load: Callable[[], Predictor], limits: Limits | None = None, *, key: str | None = None
) -> FastAPI:
    """The application; its `state.service` is the `Service` within.

    Args:
        load: gives the model; called when the application starts, beside it.
        limits: of requests.
        key: that requests must bring; anybody may ask without.
    """
    service = Service(load, limits or Limits())

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.begin()
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="affekt",
        version=__version__,
        description=WORDS,
        lifespan=life,
        docs_url=None,  # these pages load scripts from other hosts
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(guarded, key=key, metrics=service.metrics)  # pyright: ignore
    handle_errors(app)
    _add_predict(app, service)
    _add_stream(app, service, key)
    _add_state(app, service)
    return app


def _add_predict(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/predict",
        response_model=Answer,
        responses=PROBLEMS,
        openapi_extra={"requestBody": BODY},
        summary="The emotion of a recording",
    )
    async def predict(request: Request, asked: Annotated[Asked, Query()]) -> Response:
        """The emotion of a recording: a file in a form, or its bytes as the body."""
        try:
            if not asked.timeline and asked.model_fields_set & {"window", "hop"}:
                what = "window and hop cut a timeline; ask for it with timeline=true"
                raise RefusedError("wrong_request", what)
            with service.place():
                upload = await receive(request, service.limits)
                return await _while_wanted(request, _answered(service, upload, asked))
        except RefusedError as e:
            await linger(request)
            return refused(e, close=not getattr(request.state, "whole", False))


async def _answered(service: Service, upload: Upload, asked: Asked) -> Response:
    told = {"file": upload.name, "model": service.name, "top_k": asked.top_k}
    with upload.file:
        if not asked.timeline:
            found = await service.segment(upload.read, asked.min_confidence)
            return JSONResponse(answer(found, **told))
        windows = cut(asked.window, asked.hop)
        _, segments = await service.timeline(upload.read, windows, asked.min_confidence)
    whole = overall(service.predictor, segments, asked.min_confidence)
    return JSONResponse(of_timeline(segments, whole, **told))


async def _while_wanted(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which ends with its client."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise RefusedError("gone", "the client went away")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


def _add_stream(app: FastAPI, service: Service, key: str | None) -> None:
    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await streaming.serve(socket, service, key)


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="Whether the server is alive")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready", responses={503: PROBLEMS[503]}, summary="Whether the model is loaded")
    async def ready() -> dict[str, Any]:
        service.refuse_unready()
        found = service.batcher.model.result()
        return {"status": "ready", "model": found.name, "labels": list(found.labels)}

    @app.get("/metrics", response_class=PlainTextResponse, summary="Counters, for Prometheus")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=PLAIN)
