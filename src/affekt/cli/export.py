"""The command that takes a model out of PyTorch: export."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from affekt import screen
from affekt.cli.app import app
from affekt.errors import AudioError


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(help="A run, a model folder, or the name of one that comes with affekt."),
    ],
    form: Annotated[Literal["onnx"], typer.Option("--format", help="Of the network.")] = "onnx",
    int8: Annotated[
        bool, typer.Option("--int8", help="Weights in eight bits: smaller and faster.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; MODEL-onnx without, or MODEL-int8.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(help="A folder of recordings on which to compare with PyTorch as well."),
    ] = None,
) -> None:
    """Write a model as one ONNX file that needs no torch, and compare what it says."""
    from affekt.inference import export as exports

    clips = _signals(check) if check else []
    folder = out or _beside(Path(model), "int8" if int8 else form)
    found = exports.write(exports.source(model), folder, int8=int8, clips=clips)
    screen.parity(found)
    screen.say(f"Model: {folder}")


def _beside(model: Path, kind: str) -> Path:
    """The folder of an export: beside its model, here if that comes with affekt."""
    name = f"{model.resolve().name}-{kind}"
    return model.resolve().with_name(name) if model.exists() else Path(name)


def _signals(folder: Path) -> list[Any]:
    """The signals of the recordings in a folder."""
    from affekt import audio
    from affekt.corpora.files import recordings

    if not (found := recordings(folder)):
        raise AudioError(f"{folder}: no recording in it; give a folder of sound files")
    return [audio.read(path) for path in found]
