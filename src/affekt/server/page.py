"""The page of a server: a recording, from a file or the microphone, and what is said of it.

It goes the way of every other request: the same places, decoders, batches and limits. Gradio keeps
an upload in a folder of its own until the answer is shown; then the file is deleted.
"""

import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import FastAPI

from affekt.inference.windows import Windows
from affekt.server.picture import STYLE, Judged, alert, drawn, judged
from affekt.server.refusals import RefusedError, failed
from affekt.server.service import Service

log = logging.getLogger(__name__)

LEFT = 60  # seconds after which an upload goes whose browser went away
EXAMPLES = ("03a01Wa", "03a01Fa", "03a02Ta", "03a01Nc")  # of EmoDB: anger, joy, sadness, neutral
TITLE = "affekt: emotions from speech"
WORDS = """# affekt
Choose a recording of speech, or speak. It is judged here, on this machine, and not kept.
"""


def add_page(app: FastAPI) -> None:
    """Put the page at /, behind everything that is there already."""
    service: Service = app.state.service
    folder = TemporaryDirectory(prefix="affekt-page-")  # goes with the application
    app.state.page_folder = folder
    os.environ["GRADIO_TEMP_DIR"] = folder.name
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio
    from gradio import themes

    blocks = _blocks(gradio, service, Path(folder.name))
    blocks.has_launched = True  # without it gradio lets a client name any path of this machine
    gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        max_file_size=service.limits.bytes,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        theme=themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        css=STYLE,
    )


def _blocks(gradio: Any, service: Service, folder: Path) -> Any:
    """The parts of the page, and what happens when."""
    with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(LEFT, LEFT)) as blocks:
        gradio.Markdown(WORDS)
        with gradio.Row():
            with gradio.Column(min_width=300):
                sound = gradio.Audio(
                    sources=["upload", "microphone"],
                    type="filepath",
                    label="Recording",
                    elem_id="recording",
                    buttons=[],  # none that shares it
                )
                sure = gradio.Slider(
                    0.0, 1.0, 0.0, step=0.05, label="Uncertain under a score of", elem_id="sure"
                )
                if found := _examples():
                    gradio.set_static_paths(found)  # as they lie there, and never deleted
                    gradio.Examples(found, inputs=sound, label="Examples (EmoDB, German)")
            with gradio.Column(min_width=300):
                result = gradio.HTML(elem_id="result")
        heard = gradio.State()

        async def judge(path: str | None, least: float) -> tuple[Judged | None, str]:
            found = await _judged(service, path, folder)
            return (None, found) if isinstance(found, str) else (found, drawn(found, float(least)))

        def again(found: Judged | None, least: float) -> Any:
            return drawn(found, float(least)) if found else gradio.skip()

        def forget(path: str | None) -> None:
            _delete(path, folder)

        hidden: Any = {"api_visibility": "private", "concurrency_limit": None}
        shown = {"show_progress": "minimal"} | hidden
        given = sound.change(judge, [sound, sure], [heard, result], **shown)
        given.then(forget, sound, None, **hidden)
        sure.change(again, [heard, sure], result, show_progress="hidden", **hidden)
    return blocks


async def _judged(service: Service, path: str | None, folder: Path) -> Judged | str:
    """What is said of the file, or, as HTML, why nothing is."""
    if path is None:
        return ""
    if path not in _examples() and not Path(path).resolve().is_relative_to(folder.resolve()):
        return alert("this is no recording that was sent here; choose one, or speak")
    try:
        with service.place():
            signal, segments = await service.timeline(Path(path).read_bytes, Windows())
    except RefusedError as e:
        return alert(str(e))
    except Exception:
        log.exception("the page failed")
        return alert(str(failed()))
    model = service.batcher.model.result()
    return judged(signal, segments, model)


def _delete(path: str | None, folder: Path) -> None:
    """Remove an upload; nothing outside the page's own folder."""
    if path and Path(path).resolve().is_relative_to(folder.resolve()):
        Path(path).unlink(missing_ok=True)


def _examples() -> list[str]:
    """Recordings of EmoDB, in a clone of the repository."""
    folder = Path(__file__).parents[3] / "data/emodb/wav"
    found = [folder / f"{name}.flac" for name in EXAMPLES]
    return [str(path) for path in found if path.is_file()]
