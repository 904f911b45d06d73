"""The commands that hear recordings: ask, find."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from affekt import screen
from affekt.cli.app import app
from affekt.errors import AudioError

Run = Annotated[Path, typer.Argument(help="The folder of a run of language and audio.")]
Seed = Annotated[int | None, typer.Option(help="Of the run's seeds; the first without.")]
Fold = Annotated[str | None, typer.Option(help="Of the run's folds; the first without.")]
Of = Annotated[
    str | None, typer.Option("--corpus", help="Whose model, where there is one for each.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


@app.command()
def ask(
    run: Run,
    clips: Annotated[list[Path], typer.Argument(help="Recordings, or folders of them.")],
    word: Annotated[
        list[str] | None,
        typer.Option(
            help="A word to ask for, also one that was never trained; again. "
            "The classes of training without."
        ),
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="In place of the recipe's: 'she sounds {emotion}'.")
    ] = None,
    seed: Seed = None,
    fold: Fold = None,
    corpus: Of = None,
    as_json: AsJson = False,
) -> None:
    """Tell which words recordings are most like."""
    from affekt import retrieval, trained

    model = trained.load(run, seed=seed, fold=fold, corpus=corpus)
    found = retrieval.words(model, _recordings(clips), word or [], template)
    if as_json:
        _lines(row for rows in found for row in rows)
        return
    screen.words(found)


@app.command()
def find(
    run: Run,
    text: Annotated[str, typer.Argument(help="What to look for, as it is: 'The emotion is sad'.")],
    clips: Annotated[list[Path], typer.Argument(help="Among recordings, or folders of them.")],
    most: Annotated[int, typer.Option(min=1, help="Recordings to show.")] = 10,
    seed: Seed = None,
    fold: Fold = None,
    corpus: Of = None,
    as_json: AsJson = False,
) -> None:
    """Find the recordings that are most like a text."""
    from affekt import retrieval, trained

    model = trained.load(run, seed=seed, fold=fold, corpus=corpus)
    found = retrieval.clips(model, _recordings(clips), text)[:most]
    if as_json:
        _lines(found)
        return
    screen.clips(found)


def _recordings(given: list[Path]) -> list[Path]:
    """Files as they are, and what lies in folders."""
    from affekt.corpora.files import recordings

    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise AudioError(f"{path}: no such file or folder")
        inside = recordings(path) if path.is_dir() else [path]
        if not inside:
            raise AudioError(f"{path}: no recording in it")
        found += inside
    return found


def _lines(rows: Any) -> None:
    for row in rows:
        screen.say(json.dumps(asdict(row), default=str, ensure_ascii=False))
