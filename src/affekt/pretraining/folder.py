"""The folder of a pre-training: made, taken up again or cleared, never mixed with anything else."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from affekt import disk
from affekt.encoders import checkpoint
from affekt.errors import RunError
from affekt.pretraining.recipe import Pretraining
from affekt.pretraining.saved import CHECKPOINT
from affekt.run_folder import ELSE, refuse_strangers

RECIPE, TEACHERS, LOCK = "recipe.toml", "teachers.json", ".lock"
FILES = (RECIPE, TEACHERS, "environment.json", "speech.json", "log.csv", "loss.svg", CHECKPOINT)
FOLDERS = ("targets", "model")
MARK = "# The whole recipe of a pre-training, defaults filled in; written by affekt pretrain\n"


@contextmanager
def held(out: Path, recipe: Pretraining) -> Iterator[None]:
    """The folder for this process alone, made, or with a run of the same recipe in it.

    Raises:
        RunError: it holds other things, or a run of another recipe or from other checkpoints, or
            another process is training in it.
    """
    _refuse_strangers(out)
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        if (out / RECIPE).exists():
            old = Pretraining.load(out / RECIPE)
            if old.bound() != recipe.bound():
                changed = ", ".join(k for k, v in old.bound().items() if recipe.bound()[k] != v)
                raise RunError(f"{out}: holds a run of another recipe ({changed}); {ELSE}")
        _bind(out / TEACHERS, recipe)
        disk.write(out / RECIPE, MARK + recipe.toml())
        yield


def clear(out: Path) -> None:
    """Remove a pre-training, and nothing but that."""
    _refuse_strangers(out)
    if not out.exists():
        return
    with _alone(out):
        for name in FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)
        for name in FILES:
            (out / name).unlink(missing_ok=True)
    (out / LOCK).unlink(missing_ok=True)


def _refuse_strangers(out: Path) -> None:
    refuse_strangers(out, MARK, {*FILES, *FOLDERS}.__contains__, "pre-training")


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    try:
        with FileLock(out / LOCK, timeout=0):
            yield
    except Timeout:
        raise RunError(
            f"{out}: another process is training here; wait for it, or choose another folder "
            "with --out"
        ) from None


def _bind(file: Path, recipe: Pretraining) -> None:
    """Keep a key of each checkpoint that the run learns from, or compare it with the one kept."""
    learnt_from = [t.features.options for t in recipe.target if t.features.name == "speech"]
    named = {o["model"]: o.get("revision") for o in learnt_from}
    if teacher := recipe.objective.options.get("teacher"):
        named[teacher] = recipe.objective.options.get("revision")
    found = {n: checkpoint.digest(checkpoint.locate(n, r)) for n, r in named.items()}
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) != found:
        raise RunError(
            f"{file.parent}: {', '.join(found)}, which its labels come from, is not the same as "
            f"when it began; {ELSE}"
        )
    disk.write_json(file, found)
