"""The command that writes model folders: bundle."""

from pathlib import Path
from typing import Annotated

import typer

from affekt import asked, screen
from affekt.cli.app import Data, app
from affekt.errors import RunError


@app.command()
def bundle(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    refit: Annotated[
        bool, typer.Option("--refit", help="Train once more, on all utterances of the run.")
    ] = False,
    data: Data = None,
    seed: Annotated[int | None, typer.Option(help="Of the run's seeds; the first without.")] = None,
    fold: Annotated[str | None, typer.Option(help="Of the run's folds; the first without.")] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Whose model alone, where there is one for each.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The model's folder; RUN/model without.")] = None,
    push: Annotated[
        str | None, typer.Option(metavar="ID", help="Upload it to the hub as well: NAME/MODEL.")
    ] = None,
) -> None:
    """Write the model folder of a run: to predict with, to share."""
    from affekt.inference import bundling, hub

    if refit:
        if (seed, fold, corpus) != (None, None, None):
            raise RunError("--refit trains on all folds; leave --seed, --fold and --corpus out")
        from affekt.inference.refit import refit as train

        with screen.progress() as progress:
            written = train(run, asked.folders(data), out, progress=progress)
    else:
        written = bundling.bundle_run(run, out, seed=seed, fold=fold, corpus=corpus)
    for folder in written:
        screen.say(f"Model: {folder}")
        if push is not None:
            name = push if len(written) == 1 else f"{push}-{folder.name}"
            screen.say(f"Uploaded: {hub.push(folder, name)}")
