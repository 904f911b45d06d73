"""The folder of a pre-training: made, taken up again or cleared, never mixed with anything else."""

import shutil
from pathlib import Path

from affekt import disk
from affekt.errors import RunError
from affekt.pretraining.recipe import Pretraining
from affekt.pretraining.saved import CHECKPOINT
from affekt.run_folder import refuse_strangers

RECIPE = "recipe.toml"
FILES = (RECIPE, "environment.json", "speech.json", "log.csv", "loss.svg", CHECKPOINT)
FOLDERS = ("targets", "model")
MARK = "# The whole recipe of a pre-training, defaults filled in; written by affekt pretrain\n"
ELSE = "choose another folder with --out, or start over with --overwrite"


def begin(out: Path, recipe: Pretraining) -> None:
    """Make the folder, or make sure that what it holds is a run of the same recipe.

    Raises:
        RunError: it holds other things, or a run of another recipe.
    """
    refuse_strangers(out, MARK, {*FILES, *FOLDERS}.__contains__, "pre-training")
    out.mkdir(parents=True, exist_ok=True)
    if (out / RECIPE).exists():
        old = Pretraining.load(out / RECIPE)
        if old.bound() != recipe.bound():
            changed = ", ".join(k for k, v in old.bound().items() if recipe.bound()[k] != v)
            raise RunError(f"{out}: holds a run of another recipe ({changed}); {ELSE}")
    disk.write(out / RECIPE, MARK + recipe.toml())


def clear(out: Path) -> None:
    """Remove a pre-training, and nothing but that."""
    refuse_strangers(out, MARK, {*FILES, *FOLDERS}.__contains__, "pre-training")
    for name in FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
    for name in FILES:
        (out / name).unlink(missing_ok=True)
