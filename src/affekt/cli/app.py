"""What the commands share: the application, their common options, and how they end."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from affekt import asked, screen

app = typer.Typer(
    help="Speech emotion recognition: train, compare and deploy emotion recognisers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
SOME_FAILED = 3

Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="Folder of the corpus: DIR, or NAME=DIR where there are several."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", help="Change a key of the recipe: -s stage.0.epochs=5."),
]
Encoder = Annotated[
    str | None,
    typer.Option(
        help="Another encoder: log-mel, mfcc, or a speech checkpoint, DIR or ID@REVISION."
    ),
]
Found = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of a search, whose best values go to rows that take them; again."),
]
Options = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", help="An option of the corpus's reader: -s channel=song."),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, envvar="AFFEKT_JOBS", help="Folds side by side; as is fastest without."),
]
Overwrite = Annotated[bool, typer.Option(help="Start over what lies in the run's folder.")]


def run_one(
    recipe: Any,
    data: dict[str, Path],
    folder: Path,
    *,
    overwrite: bool,
    jobs: int | None,
    what: str = "",
) -> int:
    """Run a recipe with progress on the screen; how many recordings were left out."""
    from affekt import experiment

    if overwrite:
        from affekt import run_folder

        run_folder.clear(folder)
    try:
        with screen.progress(what) as progress:
            experiment.run(recipe, data=data, out=folder, jobs=jobs, progress=progress)
    except KeyboardInterrupt:
        there = folder.exists()
        rest = f"the same command goes on with what is in {folder}" if there else "nothing is kept"
        screen.tell(f"stopped; {rest}")
        raise
    return len(json.loads((folder / "corpus.json").read_text(encoding="utf-8"))["skipped"])


def end(done: Any, page: Path) -> None:
    """Say how many rows of a table did not run, and where its page is."""
    if done.missing:
        rows = len(done.missing) + len(done.runs)
        screen.say(f"{len(done.missing)} of {rows} rows did not run; the report says why.")
    screen.say(f"Report: {page}")
    if done.skipped or done.missing:
        raise typer.Exit(SOME_FAILED)


def show(folder: Path) -> None:
    """The scores of one run."""
    from affekt.evaluation.predictions import read
    from affekt.evaluation.table import row

    screen.runs([row(folder.resolve().name, read(folder), folder, folder=folder)])


def tell_of_changes(changes: list[str] | None, *, expected: bool) -> None:
    """Say that scores were expected of other settings than those that ran."""
    if expected and changes:
        told = " ".join(asked.words(None, changes))
        screen.say(f"The expected scores are those of the recipe as it is, without {told}.")
