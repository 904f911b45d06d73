"""The command line. Every import that takes time stands inside the command that needs it.

Exit codes: 0 done; 1 a user's mistake, told in one message; 2 wrong usage; 3 finished, but some
inputs failed and are listed.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from affekt import asked, screen
from affekt.errors import AffektError, RunError

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


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or a bundled recipe's name.")],
    data: Data = None,
    changes: Changes = None,
    encoder: Encoder = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME without.")] = None,
    overwrite: Overwrite = False,
    jobs: Jobs = None,
) -> None:
    """Run a recipe: train and test every fold, write predictions and report."""
    loaded = asked.recipe(recipe, changes, encoder)
    folder = out or Path("runs") / asked.name_of(recipe)
    skipped = _run(loaded, asked.folders(data), folder, overwrite=overwrite, jobs=jobs)
    _show(folder)
    _tell_of_changes(changes, expected=bool(loaded.expected))
    screen.say(f"Report: {folder / 'report.html'}")
    if skipped:
        raise typer.Exit(SOME_FAILED)


@app.command()
def reproduce(
    table: Annotated[str, typer.Argument(help="A folder of recipes, or a file that varies keys.")],
    data: Data = None,
    changes: Changes = None,
    encoder: Encoder = None,
    found: Found = None,
    out: Annotated[Path | None, typer.Option(help="For all rows; runs/TABLE without.")] = None,
    overwrite: Overwrite = False,
    jobs: Jobs = None,
) -> None:
    """Run every row of a table and print them side by side, with intervals and paired tests."""
    from affekt.evaluation.table import results, write
    from affekt.reproduction import run_all

    chosen = asked.table(table, changes, encoder, found)
    for note in chosen.notes:
        screen.tell(note)
    folder = out or Path("runs") / asked.name_of(table)
    told = {"folder": folder, "table": table, "tell": screen.tell}
    done = run_all(
        chosen.rows, asked.folders(data), partial(_run, overwrite=overwrite, jobs=jobs), **told
    )
    title = " ".join(["affekt reproduce", table, *asked.words(encoder, changes, found)])
    kept = {"missing": done.missing, "varied": chosen.varied, "notes": chosen.notes}
    made = results(done.runs, folder, title, **kept)
    page = write(made, folder)
    screen.runs(made.rows)
    screen.tests(made.tests, made.rows)
    _tell_of_changes(changes, expected=any(recipe.expected for recipe in chosen.rows.values()))
    _end(done, page)


@app.command()
def matrix(
    recipe: Annotated[str, typer.Argument(help="A recipe of several corpora.")],
    data: Data = None,
    changes: Changes = None,
    encoder: Encoder = None,
    found: Found = None,
    subsets: Annotated[str, typer.Option(help="To train on: all, single, leave-one-out.")] = "all",
    out: Annotated[Path | None, typer.Option(help="Folder; runs/NAME-matrix without.")] = None,
    overwrite: Overwrite = False,
    jobs: Jobs = None,
) -> None:
    """Train a recipe on subsets of its corpora and test each on all: what is lost across them."""
    from affekt import matrix
    from affekt.evaluation.matrix import results, write
    from affekt.reproduction import run_all

    loaded, folders = asked.recipe(recipe, changes, encoder), asked.folders(data)
    rows = matrix.rows(loaded, matrix.corpora(loaded, folders), subsets)
    rows, notes = asked.searched(rows, found)
    folder = out or Path("runs") / f"{asked.name_of(recipe)}-matrix"
    told = {"folder": folder, "table": recipe, "tell": screen.tell}
    done = run_all(rows, folders, partial(_run, overwrite=overwrite, jobs=jobs), **told)
    words = ("affekt matrix", recipe, *asked.words(encoder, changes, found, subsets=subsets))
    trained = {name: row.train_on for name, row in rows.items()}
    made = results(done.runs, folder, " ".join(words), trained=trained, missing=done.missing)
    page = write(made, folder)
    matrix.show(made)
    for note in notes:
        screen.say(note)
    _end(done, page)


@app.command()
def pretrain(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or a bundled recipe's name.")],
    speech: Annotated[
        list[Path], typer.Option("--speech", help="Folder with recordings; may be given again.")
    ],
    changes: Changes = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME without.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Pre-train a speech encoder on folders of speech, without labels."""
    from affekt.pretraining import folder as run_folder
    from affekt.pretraining.recipe import Pretraining
    from affekt.pretraining.run import pretrain as train

    loaded = Pretraining.load(recipe, changes or ())
    folder = out or Path("runs") / asked.name_of(recipe)
    if overwrite:
        run_folder.clear(folder)
    try:
        with screen.progress() as progress:
            result = train(loaded, speech, out=folder, progress=progress)
    except KeyboardInterrupt:
        screen.tell(f"stopped; the same command goes on with what is in {folder}")
        raise
    screen.pretrained(result)
    if result.left_out:
        raise typer.Exit(SOME_FAILED)


@app.command()
def search(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or a bundled recipe's name.")],
    space: Annotated[str, typer.Option(help="Values to try: a TOML file, or a bundled name.")],
    trials: Annotated[int, typer.Option(min=1, help="So many in all, earlier ones among them.")],
    data: Data = None,
    changes: Changes = None,
    encoder: Encoder = None,
    out: Annotated[Path | None, typer.Option(help="Folder; runs/NAME-search without.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="A file that processes share, or a database's URL; in the folder without."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler.")] = 0,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="End trials that fall behind after a fold.")
    ] = False,
    jobs: Jobs = None,
) -> None:
    """Search hyper-parameters on the dev sides, with Optuna's TPE."""
    from affekt.search import run as searching
    from affekt.search.shown import show
    from affekt.search.space import Space

    loaded = asked.recipe(recipe, changes, encoder)
    folder = out or Path("runs") / f"{asked.name_of(recipe)}-search"
    settings = {"storage": storage, "data": asked.folders(data), "seed": seed, "prune": prune}
    settings |= {"trials": trials, "out": folder, "jobs": jobs}
    try:
        with screen.progress() as progress:
            found = searching.search(loaded, Space.load(space), progress=progress, **settings)
    except KeyboardInterrupt:
        screen.tell("stopped; the same command goes on with the trials that are done")
        raise
    show(found, folder)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder.")],
) -> None:
    """Write the report of a run again, from its predictions."""
    from affekt.evaluation.report import report as write

    page = write(folder)
    _show(folder)
    screen.say(f"Report: {page}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders.")],
    by: Annotated[
        str | None, typer.Option(help="corpus: test each corpus alone.", metavar="corpus")
    ] = None,
) -> None:
    """Compare runs over the same utterances by a paired test, with Holm's correction."""
    if len(runs) < 2:
        raise RunError(f"compare takes two runs or more, but got {len(runs)}; name another one")
    if by not in (None, "corpus"):
        raise RunError(f"compare --by {by}: give --by corpus, or leave it out")
    from affekt.evaluation.compare import compare_all, compare_by_corpus
    from affekt.evaluation.predictions import read
    from affekt.evaluation.table import row

    named = {str(folder): folder for folder in runs}
    if len(named) < len(runs):
        raise RunError(f"compare got the same run twice: {', '.join(map(str, runs))}")
    judged = {name: read(folder) for name, folder in named.items()}
    found = compare_by_corpus(judged) if by else {"": compare_all(judged)}
    if not found:
        raise RunError(
            f"no two of {', '.join(named)} judged the same utterances of any corpus; "
            "compare runs over the same corpora and folds"
        )
    rows = [row(name, judged[name], run, folder=Path()) for name, run in named.items()]
    screen.runs(rows)
    screen.tests_by_corpus(found, rows)


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

    options = asked.options_of(name, settings)
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

    found = look(asked.divisions(recipe, data, corpus, settings), audio=audio)
    screen.say("\n".join(found.lines()))
    if not found.ok:
        raise typer.Exit(SOME_FAILED)


@app.command()
def cache(
    remove: Annotated[str | None, typer.Option(help="Remove the frames of this name.")] = None,
    unused: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="Remove frames not used for so many days."),
    ] = None,
) -> None:
    """List the frames of encoders that are kept on disk, or remove some of them."""
    from affekt import cache as caches
    from affekt.cache import stores

    gone = [stores.remove(remove)] if remove is not None else []
    gone += stores.remove_unused(unused) if unused is not None else []
    for store in gone:
        screen.say(f"Removed {store.name}, {store.entries} entries.")
    rows = caches.functionals()
    screen.cache(
        stores.stores(), rows.stat().st_size if rows.exists() else 0, folder=caches.folder()
    )


def _run(
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


def _end(done: Any, page: Path) -> None:
    """Say how many rows of a table did not run, and where its page is."""
    if done.missing:
        rows = len(done.missing) + len(done.runs)
        screen.say(f"{len(done.missing)} of {rows} rows did not run; the report says why.")
    screen.say(f"Report: {page}")
    if done.skipped or done.missing:
        raise typer.Exit(SOME_FAILED)


def _show(folder: Path) -> None:
    """The scores of one run."""
    from affekt.evaluation.predictions import read
    from affekt.evaluation.table import row

    screen.runs([row(folder.resolve().name, read(folder), folder, folder=folder)])


def _tell_of_changes(changes: list[str] | None, *, expected: bool) -> None:
    """Say that scores were expected of other settings than those that ran."""
    if expected and changes:
        told = " ".join(asked.words(None, changes))
        screen.say(f"The expected scores are those of the recipe as it is, without {told}.")


def main() -> None:
    """Run the command line; a user's mistake is one message on standard error."""
    # Waiting threads sleep: spinning gains little, and costs tenfold beside another process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    screen.log()
    try:
        app()
    except AffektError as e:
        message = Text.assemble(("error: ", "red"), str(e))
        Console(stderr=True).print(message, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
