"""The commands that hear recordings: ask, find."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affekt import screen
from affekt.cli.app import SOME_FAILED, app
from affekt.errors import AudioError

if TYPE_CHECKING:
    from affekt.trained import Trained

Run = Annotated[Path, typer.Argument(help="The folder of a run of language and audio.")]
Seed = Annotated[int | None, typer.Option(help="Of the run's seeds; the lowest without.")]
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
    said = retrieval.template_of(model, template)
    heard, failed = _heard(model, clips)
    found = retrieval.words(model, heard, word or [], template)
    if as_json:
        _lines(row for rows in found for row in rows)
    else:
        screen.words(found, template=said, model=model.name)
    if failed:
        raise typer.Exit(SOME_FAILED)


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
    heard, failed = _heard(model, clips)
    found = retrieval.clips(model, heard, text)[:most]
    if as_json:
        _lines(found)
    else:
        screen.clips(found, model=model.name)
    if failed:
        raise typer.Exit(SOME_FAILED)


def _heard(model: "Trained", given: list[Path]) -> tuple[list[Path], bool]:
    """The recordings that can be heard, and whether there are others; those are told.

    Raises:
        AudioError: none can be.
    """
    from affekt import retrieval

    files, reasons = _recordings(given)
    sifted = retrieval.sift(model, files)
    reasons += sifted.reasons
    if not sifted.heard:
        raise AudioError("\n  ".join(reasons))
    for reason in reasons:
        screen.tell(f"not heard: {reason}")
    for clip in sifted.silent:
        screen.tell(f"{clip}: silent; its numbers mean nothing")
    return sifted.heard, bool(reasons)


def _recordings(given: list[Path]) -> tuple[list[Path], list[str]]:
    """Files as they are, and what lies in folders; and why there is nothing to hear elsewhere."""
    from affekt.corpora.files import recordings

    found: list[Path] = []
    reasons: list[str] = []
    for path in given:
        inside = recordings(path) if path.is_dir() else [path]
        if not path.exists():
            reasons.append(f"{path}: no such file or folder")
        elif not inside:
            reasons.append(f"{path}: no recording in it")
        else:
            found += inside
    return found, reasons


def _lines(rows: Iterable[Any]) -> None:
    for row in rows:
        screen.say(json.dumps(asdict(row), default=str, ensure_ascii=False))
