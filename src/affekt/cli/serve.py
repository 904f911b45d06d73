"""The command that answers requests: serve."""

from typing import Annotated

import typer

from affekt import screen
from affekt.cli.app import app

LOCAL = ("127.0.0.1", "localhost", "::1")


@app.command()
def serve(
    model: Annotated[
        str | None,
        typer.Argument(help="A model folder, a run, or an id on the hub; affekt's own without."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address; 0.0.0.0 for every network.")] = LOCAL[0],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    api_key: Annotated[
        str | None, typer.Option(envvar="AFFEKT_API_KEY", help="That requests must bring.")
    ] = None,
    max_mb: Annotated[float, typer.Option(min=0.001, help="Of an upload.")] = 50.0,
    max_seconds: Annotated[float, typer.Option(min=0.2, help="Of a recording.")] = 120.0,
    queue: Annotated[int, typer.Option(min=1, help="Requests that are inside at once.")] = 256,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until an answer.")] = 30.0,
    page: Annotated[bool, typer.Option("--page/--no-page", help="A page for people at /.")] = True,
) -> None:
    """Answer requests over HTTP: any audio in, emotions out; with a page for people."""
    from affekt.inference.predictor import DEFAULT, Predictor
    from affekt.server.limits import Limits
    from affekt.server.running import serve as run

    if host not in LOCAL and not api_key:
        screen.tell(f"anybody who reaches {host}:{port} may ask; --api-key asks for a key")
    run(
        lambda: Predictor.load(model or DEFAULT),
        host=host,
        port=port,
        limits=Limits(megabytes=max_mb, seconds=max_seconds, queue=queue, timeout=timeout),
        key=api_key or None,
        page=page,
        ready=lambda address: screen.say(f"ready at {address} (Ctrl-C ends it)"),
    )
