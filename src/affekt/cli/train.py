"""The commands that train: run, reproduce, matrix, pretrain, search."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from affekt import asked, screen
from affekt.cli.app import (
    SOME_FAILED,
    Changes,
    Data,
    Encoder,
    Found,
    Jobs,
    Overwrite,
    app,
    end,
    run_one,
    show,
    tell_of_changes,
)


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
    skipped = run_one(loaded, asked.folders(data), folder, overwrite=overwrite, jobs=jobs)
    show(folder)
    tell_of_changes(changes, expected=bool(loaded.expected))
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
        chosen.rows, asked.folders(data), partial(run_one, overwrite=overwrite, jobs=jobs), **told
    )
    title = " ".join(["affekt reproduce", table, *asked.words(encoder, changes, found)])
    kept = {"missing": done.missing, "varied": chosen.varied, "notes": chosen.notes}
    made = results(done.runs, folder, title, **kept)
    page = write(made, folder)
    screen.runs(made.rows)
    screen.tests(made.tests, made.rows)
    tell_of_changes(changes, expected=any(recipe.expected for recipe in chosen.rows.values()))
    end(done, page)


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
    done = run_all(rows, folders, partial(run_one, overwrite=overwrite, jobs=jobs), **told)
    words = ("affekt matrix", recipe, *asked.words(encoder, changes, found, subsets=subsets))
    trained = {name: row.train_on for name, row in rows.items()}
    made = results(done.runs, folder, " ".join(words), trained=trained, missing=done.missing)
    page = write(made, folder)
    matrix.show(made)
    for note in notes:
        screen.say(note)
    end(done, page)


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
