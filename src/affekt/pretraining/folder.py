"""The folder of a pre-training: made, taken up again or cleared, never mixed with anything else."""

import shutil
from pathlib import Path

from affekt import disk
from affekt.errors import RunError
from affekt.pretraining.recipe import Pretraining
from affekt.pretraining.saved import CHECKPOINT

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
    _refuse_strangers(out)
    out.mkdir(parents=True, exist_ok=True)
    if (out / RECIPE).exists():
        old = Pretraining.load(out / RECIPE)
        if old.bound() != recipe.bound():
            changed = ", ".join(k for k, v in old.bound().items() if recipe.bound()[k] != v)
            raise RunError(f"{out}: holds a run of another recipe ({changed}); {ELSE}")
    disk.write(out / RECIPE, MARK + recipe.toml())


def clear(out: Path) -> None:
    """Remove a pre-training, and nothing but that."""
    _refuse_strangers(out)
    for name in FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
    for name in FILES:
        (out / name).unlink(missing_ok=True)


def _refuse_strangers(out: Path) -> None:
    """A folder is a run's if it is empty, or holds a recipe that a run wrote and nothing else."""
    if out.is_file():
        raise RunError(f"{out} is a file; choose a folder with --out")
    names = {p.name for p in out.iterdir()} if out.exists() else set[str]()
    strange = {n for n in names if n not in (*FILES, *FOLDERS) and not n.startswith(".")}
    recipe = out / RECIPE
    if names and not (recipe.is_file() and recipe.read_text(encoding="utf-8").startswith(MARK)):
        strange |= names
    if strange:
        raise RunError(
            f"{out}: holds {', '.join(sorted(strange)[:5])}, which no pre-training wrote; "
            "choose another folder with --out"
        )
