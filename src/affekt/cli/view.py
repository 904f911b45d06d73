"""The commands that look at what is there: runs, encoders, corpora, folds, the cache."""

from pathlib import Path
from typing import Annotated

import typer

from affekt import asked, screen
from affekt.cli.app import (
    SOME_FAILED,
    Data,
    Options,
    app,
    show,
)
from affekt.errors import RunError


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder.")],
) -> None:
    """Write the report of a run again, from its predictions."""
    from affekt.evaluation.report import report as write

    page = write(folder)
    show(folder)
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
def similarity(
    where: Annotated[
        str, typer.Argument(help="A run's folder; with --encoder also a recipe.", metavar="RUN")
    ],
    data: Data = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="In place of the run's own, before and after: encoders; again."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder; the run's, or with --encoder one of its own.")
    ] = None,
) -> None:
    """Show how alike clips of one emotion are to an encoder, and clips of two, layer by layer."""
    from affekt import similarity as found
    from affekt.evaluation.similarity import write

    run = Path(where)
    if not encoder and not run.is_dir():
        raise RunError(
            f"{where}: not the folder of a run; give one, or a recipe with --encoder A --encoder B"
        )
    with screen.progress() as progress:
        if encoder:
            loaded = asked.recipe(str(run / "recipe.toml") if run.is_dir() else where, None, None)
            made = found.of_encoders(loaded, encoder, asked.folders(data), progress)
        else:
            made = found.of_run(run, asked.folders(data), progress)
    folder = out or (Path("runs") / f"{asked.name_of(where)}-similarity" if encoder else run)
    page = write(made.curves, folder, made.title, pairs=made.pairs)
    screen.similarity(made.curves)
    screen.say(f"Report: {page}")


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
