"""The command that hears sound while it comes in: stream."""

import json
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affekt.cli.app import app
from affekt.cli.predict import Hop, Model, Speech, Sure, Window, detector, load, put, windows
from affekt.errors import AffektError, AudioError

if TYPE_CHECKING:
    import numpy as np

    from affekt.types import Segment

READ = 2**16  # bytes at most at once; what is there is taken at once
FILES = (b"RIFF", b"fLaC", b"OggS", b"ID3")  # how sound files begin
BLOCK = 0.1  # seconds that are taken from the microphone at once
FORMATS = ("text", "jsonl")


@app.command()
def stream(
    model: Model = None,
    rate: Annotated[int, typer.Option(help="Samples per second, of each channel.")] = 16_000,
    channels: Annotated[int, typer.Option(min=1, help="By turns; they are averaged.")] = 1,
    encoding: Annotated[str, typer.Option(help="Of a sample: s16le or f32le.")] = "s16le",
    microphone: Annotated[bool, typer.Option("--microphone", help="In place of stdin.")] = False,
    window: Window = None,
    hop: Hop = None,
    voice: Speech = False,
    min_confidence: Sure = 0.0,
    form: Annotated[str, typer.Option("--format", help="text or jsonl.")] = "text",
) -> None:
    """Tell the emotion of raw samples on standard input, a line per hop as soon as it is known."""
    from affekt.inference.incoming import frame, pcm
    from affekt.inference.stream import Stream

    if form not in FORMATS:
        raise AffektError(f"format '{form}' is not known; choose from {', '.join(FORMATS)}")
    frame(encoding, channels)
    cut, speech = windows(window, hop), detector(voice)
    name = "the microphone" if microphone else "standard input"
    options = {"rate": rate, "voice": speech, "min_confidence": min_confidence, "name": name}
    heard = Stream(load(model), cut, **options)
    left = bytearray()  # of a sample that was cut off
    with _Stop() as stop:
        if microphone:
            spoken = _spoken(rate, channels, stop)
        else:
            spoken = _read(encoding, channels, stop, left)
        (_text if form == "text" else _lines)(_hops(heard, spoken, stop), heard)
        if not stop.asked:
            pcm(left, encoding=encoding, channels=channels)  # which says what is wrong


class _Stop:
    """Whether somebody has asked to end; a second interrupt ends at once."""

    def __init__(self) -> None:
        self.asked = False
        self.waiting = False  # for samples, so that nothing is left half done

    def __enter__(self) -> "_Stop":
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, number: int, frame: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.waiting:
            raise KeyboardInterrupt


def _hops(heard: Any, pieces: "Iterator[np.ndarray]", stop: _Stop) -> "Iterator[Segment]":
    """Every hop as soon as it is final, to the end of the samples or an interrupt."""
    for samples in pieces:
        yield from heard.feed(samples)
    try:
        yield from heard.end()
    except AudioError:
        if not stop.asked:  # somebody changed their mind: nothing to tell
            raise


def _read(encoding: str, channels: int, stop: _Stop, left: bytearray) -> "Iterator[np.ndarray]":
    """Samples (S, C) from standard input; `left` is given what is no whole one yet."""
    from affekt.inference.incoming import frame, pcm

    whole = frame(encoding, channels)
    while not stop.asked:
        try:
            stop.waiting = True
            data = sys.stdin.buffer.read1(READ)  # pyright: ignore[reportAttributeAccessIssue]
        except KeyboardInterrupt:
            return
        finally:
            stop.waiting = False
        if not data:
            break
        if data.startswith(FILES):
            raise AudioError(
                "standard input begins like a sound file, but stream takes raw samples; use: "
                "affekt predict - --timeline"
            )
        data = left + data
        end = len(data) // whole * whole
        left[:] = data[end:]
        yield pcm(data[:end], encoding=encoding, channels=channels)


def _spoken(rate: int, channels: int, stop: _Stop) -> "Iterator[np.ndarray]":
    """Samples (S, C) from the microphone."""
    from affekt.errors import optional

    device = optional("sounddevice", "microphone")
    try:
        with device.InputStream(samplerate=rate, channels=channels, dtype="float32") as source:
            while not stop.asked:
                samples, lost = source.read(round(BLOCK * rate))
                if lost:
                    raise AudioError(
                        "the microphone: samples were lost, since the model is slower than the "
                        "sound; take a longer --hop"
                    )
                yield samples
    except device.PortAudioError as e:
        raise AudioError(f"the microphone: {e}; choose another rate, or look at the device") from e


def _lines(hops: "Iterator[Segment]", heard: Any) -> None:
    """JSON: each hop at once, and each segment once another label begins."""
    from affekt.inference.formats import values
    from affekt.inference.timeline import joined

    def told() -> "Iterator[Segment]":
        for hop in hops:
            put(json.dumps({"type": "hop", **values(hop)}, ensure_ascii=False) + "\n")
            yield hop

    for segment in joined(told()):
        put(json.dumps({"type": "segment", **values(segment)}, ensure_ascii=False) + "\n")


def _text(hops: "Iterator[Segment]", heard: Any) -> None:
    """Each hop at once, and the timeline in the end."""
    from affekt.inference import text
    from affekt.inference.timeline import Judged, joined

    def told() -> "Iterator[Segment]":
        for hop in hops:
            put(text.line(hop, heard.predictor.labels))
            yield hop

    segments = list(joined(told()))
    whole = Judged(f"\n{heard.incoming.name}", segments, heard.duration)
    for piece in text.timelines([whole], heard.predictor.labels):
        put(piece)
