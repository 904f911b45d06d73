"""The command line. Every import that takes time stands inside the command that needs it.

Exit codes: 0 done; 1 a user's mistake, told in one message; 2 wrong usage; 3 finished, but some
inputs failed and are listed.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from affekt import screen
from affekt.errors import AffektError, CorpusError, RunError

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
Options = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", help="An option of the corpus's reader: -s channel=song."),
]
Overwrite = Annotated[bool, typer.Option(help="Start over what lies in the run's folder.")]


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or a bundled recipe's name.")],
    data: Data = None,
    changes: Changes = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME without.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Run a recipe: train and test every fold, write predictions and report."""
    from affekt.recipe import Recipe

    loaded = Recipe.load(recipe, changes or ())
    folder = out or Path("runs") / _name(recipe)
    skipped = _run(loaded, _data(data), folder, overwrite=overwrite)
    screen.runs({folder.name: folder}, {folder.name: loaded.expected})
    screen.say(f"Report: {folder / 'report.html'}")
    if skipped:
        raise typer.Exit(SOME_FAILED)


@app.command()
def reproduce(
    table: Annotated[str, typer.Argument(help="A folder of recipes, such as demo/poolings.")],
    data: Data = None,
    changes: Changes = None,
    out: Annotated[Path | None, typer.Option(help="For all rows; runs/TABLE without.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Run every row of a table and print them side by side, with intervals and paired tests."""
    from affekt.evaluation.predictions import read
    from affekt.evaluation.table import table as write_table
    from affekt.evaluation.table import tests
    from affekt.recipe import table as rows_of

    folder = out or Path("runs") / table
    recipes = rows_of(table, changes or ())
    known = {section.name for recipe in recipes.values() for section in recipe.corpus}
    if strange := [name for name in _data(data) if name and name not in known]:
        raise CorpusError(
            f"--data {strange[0]}=...: no row of {table} has such a corpus; they have "
            f"{', '.join(sorted(known))}"
        )
    skipped = 0
    for n, (name, recipe) in enumerate(recipes.items(), 1):
        what = f"{n}/{len(recipes)} {name}: "
        skipped += _run(recipe, _data(data, recipe), folder / name, overwrite=overwrite, what=what)
    runs = {name: folder / name for name in recipes}
    page = write_table(runs, folder, f"affekt reproduce {table}")
    screen.runs(runs, {name: r.expected for name, r in recipes.items()})
    screen.tests(tests({name: read(folder) for name, folder in runs.items()}))
    screen.say(f"Report: {page}")
    if skipped:
        raise typer.Exit(SOME_FAILED)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder.")],
) -> None:
    """Write the report of a run again, from its predictions."""
    from affekt.evaluation.report import report as write

    page = write(folder)
    screen.runs({folder.name: folder}, {})
    screen.say(f"Report: {page}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders.")],
) -> None:
    """Compare runs over the same utterances by a paired test, with Holm's correction."""
    if len(runs) < 2:
        raise RunError(f"compare takes two runs or more, but got {len(runs)}; name another one")
    from affekt.evaluation.compare import compare_all
    from affekt.evaluation.predictions import read

    named = {str(folder): folder for folder in runs}
    if len(named) < len(runs):
        raise RunError(f"compare got the same run twice: {', '.join(map(str, runs))}")
    pairs = compare_all({name: read(folder) for name, folder in named.items()})
    screen.runs(named, {})
    screen.tests(pairs)


@app.command()
def corpora(
    name: Annotated[str | None, typer.Argument(help="One corpus, in full.")] = None,
) -> None:
    """List the corpora that affekt reads, or one of them in full."""
    from affekt.corpora import card, cards

    if name:
        screen.corpus(card(name))
        return
    screen.corpora(cards())
    screen.say("In full, with the layout and where to get it: affekt corpora NAME")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="The corpus, see: affekt corpora.")],
    folder: Annotated[Path, typer.Argument(help="Where it lies.")],
    settings: Options = None,
) -> None:
    """Compare a folder with the official counts and name every recording that is not sound."""
    from affekt.corpora import check as look

    options = _options(name, settings)
    with screen.progress() as progress:
        found = look(
            name, folder, progress=lambda done, of: progress("decoding", done, of), **options
        )
    screen.say(str(found))
    if not found.ok:
        raise typer.Exit(SOME_FAILED)


@app.command()
def audit(
    recipe: Annotated[str, typer.Argument(help="A recipe, or the split files of others.")],
    data: Data = None,
    corpus: Annotated[
        str | None, typer.Option(help="For split files: the corpus that they divide.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("-s", "--set", help="A key of the recipe; for split files of the reader."),
    ] = None,
    audio: Annotated[bool, typer.Option(help="Also compare what is heard.")] = True,
) -> None:
    """Report what train, dev and test share: speakers, sessions, sentences, audio."""
    from affekt.protocols.audit import audit as look

    found = look(_divisions(recipe, data, corpus, settings), audio=audio)
    screen.say("\n".join(found.lines()))
    if not found.ok:
        raise typer.Exit(SOME_FAILED)


def _divisions(
    path: str, data: list[str] | None, name: str | None, settings: list[str] | None
) -> Any:
    """The folds of a recipe, or those of split files if `path` is no recipe."""
    from affekt import corpora as readers
    from affekt import experiment
    from affekt.protocols.splits import read_splits
    from affekt.recipe import CorpusSection, Recipe

    file = Path(path)
    if file.suffix == ".toml" or not file.exists():
        loaded = Recipe.load(path, settings or ())
        return experiment.divide(loaded, experiment.read(loaded, _data(data))[0])
    if name is None:
        if data or settings:
            raise CorpusError("--data needs --corpus NAME, the corpus that the split files divide")
        return read_splits(file)
    options = _options(name, settings)
    folder = experiment.folders([CorpusSection(name=name)], _data(data))[name]
    return read_splits(file, readers.read(name, folder, **options))


def _options(corpus: str, settings: list[str] | None) -> dict[str, Any]:
    """A reader's options from -s key=value, checked like those of a recipe."""
    from affekt.corpora import READERS
    from affekt.errors import choose
    from affekt.parts import Section, options
    from affekt.recipe import change

    choose(READERS, corpus, "corpus", CorpusError)
    values: dict[str, Any] = {"name": corpus}
    for setting in settings or ():
        change(values, setting)
    given = Section.model_validate(values)
    checked = options(READERS, given, "corpus")
    return {key: checked[key] for key in given.options}


def _run(
    recipe: Any, data: dict[str, Path], folder: Path, *, overwrite: bool, what: str = ""
) -> int:
    """Run a recipe with progress on the screen; how many recordings were left out."""
    from affekt import experiment

    if overwrite:
        from affekt import run_folder

        run_folder.clear(folder)
    try:
        with screen.progress(what) as progress:
            experiment.run(recipe, data=data, out=folder, progress=progress)
    except KeyboardInterrupt:
        screen.tell(f"stopped; the same command goes on with what is in {folder}")
        raise
    return len(json.loads((folder / "corpus.json").read_text(encoding="utf-8"))["skipped"])


def _name(recipe: str) -> str:
    return str(Path(recipe).with_suffix("")) if not Path(recipe).exists() else Path(recipe).stem


def _data(given: list[str] | None, recipe: Any = None) -> dict[str, Path]:
    """{corpus: folder} of --data; one folder without a name stands under ''.

    With a recipe, the corpora that it does not use are left out: the rows of a table differ.
    """
    folders = {}
    for text in given or ():
        name, equals, folder = text.partition("=")
        name, folder = (name, folder) if equals else ("", name)
        if name in folders:
            raise CorpusError(
                f"--data {text}: {name or 'a folder'} was given already, as {folders[name]}; "
                "give each corpus one folder, several as --data NAME=DIR"
            )
        folders[name] = Path(folder).expanduser()
    if recipe is None:
        return folders
    names = {section.name for section in recipe.corpus} | {""}
    return {name: folder for name, folder in folders.items() if name in names}


def main() -> None:
    """Run the command line; a user's mistake is one message on standard error."""
    # Threads that wait for each other sleep instead of spinning: on idle cores spinning gains
    # little, beside another process it makes a training step over ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False)
    logging.getLogger("affekt").handlers = [handler]
    try:
        app()
    except AffektError as e:
        message = Text.assemble(("error: ", "red"), str(e))
        Console(stderr=True).print(message, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
