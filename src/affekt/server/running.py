"""A server at work: its address, its start, its end."""

import asyncio
import logging
import math
import signal
import socket
import threading
from collections.abc import Callable
from importlib import import_module

from affekt.errors import AffektError, optional
from affekt.inference.predictor import Predictor
from affekt.server.limits import Limits

log = logging.getLogger(__name__)

GRACE = 5.0  # seconds beyond the time limit that a shutdown waits for answers
IDLE = 15  # seconds that a connection is kept open between two requests
FRAME = 2**20  # bytes of a message in a stream
NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve(
    load: Callable[[], Predictor],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    key: str | None = None,
    page: bool = True,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer requests until a signal ends it; what is inside then is still answered.

    Args:
        load: gives the model; called beside the server, which says when it is ready.
        host: the address that is listened at.
        port: 0 for any that is free.
        limits: of requests.
        key: that requests must bring.
        page: whether there is one for people.
        ready: told the address when requests are answered.

    Raises:
        AffektError: the model cannot be loaded, the port is taken, or a package is missing.
    """
    for package in (*NEEDED, *(["gradio"] if page else [])):
        optional(package, "serve")
    with _bound(host, port) as listening, asyncio.Runner(loop_factory=_loops()) as runner:
        runner.run(_serve(load, listening, limits or Limits(), key, page, ready))


async def _serve(
    load: Callable[[], Predictor],
    listening: socket.socket,
    limits: Limits,
    key: str | None,
    page: bool,
    ready: Callable[[str], None],
) -> None:
    import uvicorn

    from affekt.server.app import application

    app = application(load, limits, key=key)
    if page:
        from affekt.server.page import add_page

        add_page(app)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,  # addresses of clients are nobody's business
            access_log=False,
            log_level="error",
            server_header=False,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=math.ceil(limits.timeout + GRACE),
            ws_max_size=FRAME,
        )
    )
    _end_quietly()
    serving = asyncio.create_task(server.serve([listening]))
    model = asyncio.wrap_future(app.state.service.batcher.model)
    await asyncio.wait({serving, model}, return_when=asyncio.FIRST_COMPLETED)
    if model.done() and model.exception():
        server.should_exit = True
    elif model.done() and not server.should_exit:  # by a signal, while it was loaded
        ready(_address(listening))
    await serving
    if model.done():
        model.result()


def _loops() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Makes a faster event loop, where there is one."""
    try:
        return import_module("uvloop").new_event_loop
    except ImportError:
        return None


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as e:
        raise AffektError(
            f"{host}:{port} cannot be listened at ({e.strerror}); give another --port or --host"
        ) from e


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _end_quietly() -> None:
    """uvicorn sends a signal on to whoever had it before, once everything is answered."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
