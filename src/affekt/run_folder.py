"""The folder of one run: made, taken up again or cleared, never mixed with anything else."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from affekt import audio, disk, protocols
from affekt.errors import RunError, nearest
from affekt.recipe import Recipe
from affekt.types import Fold

FILES = (
    "recipe.toml",
    "environment.json",
    "corpus.json",
    "folds.json",
    "log.csv",
    "report.html",
    "report.md",
    "report.json",
    "similarity.html",
    "similarity.md",
    "similarity.json",
)
MARK = "# The whole recipe of a run, defaults filled in; written by affekt run\n"
MODEL = "model"  # the folder of the model that a run leaves
CHECKPOINTS = "checkpoints"  # of a fold that is being trained
ELSE = "choose another folder with --out, or start over with --overwrite"
# What may change between two calls without changing a result.
TOLD = {"title": "", "expected": {}, "source": "", "row": 0, "on_error": "raise"}


def is_name(text: str) -> bool:
    """Whether a folder can be called so on every machine."""
    return bool(re.fullmatch(r"\w[\w .-]{0,99}", text))


def begin(out: Path, recipe: Recipe) -> None:
    """Make the folder, or make sure that what it holds is a run of the same recipe.

    Raises:
        RunError: it holds other things, or results of another recipe, or cannot be written.
    """
    with _writing(out):
        _refuse_strangers(out)
        out.mkdir(parents=True, exist_ok=True)
        if begun(out):
            _refuse_another(out, recipe)
        disk.write(out / "recipe.toml", MARK + recipe.toml())


def _refuse_another(out: Path, recipe: Recipe) -> None:
    old = Recipe.load(out / "recipe.toml")
    keys = set(Recipe.model_fields) - set(TOLD)
    if other := sorted(key for key in keys if getattr(old, key) != getattr(recipe, key)):
        raise RunError(
            f"{out}: holds a run of another recipe, which differs in {', '.join(other)}; {ELSE}"
        )


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What the system refuses is told."""
    try:
        yield
    except OSError as e:
        raise RunError(
            f"{out} cannot be written ({e.strerror or e}); choose another folder with --out"
        ) from e


def begun(out: Path) -> bool:
    """Whether some fold has been judged already, or some training is kept."""
    kept = out.glob(f"seed-*/fold-*/{CHECKPOINTS}/*/*")
    return any(out.glob("seed-*/fold-*/predictions.jsonl")) or any(kept)


def bind(out: Path, folds: Sequence[Fold], about: Mapping[str, Any]) -> None:
    """Write what the run is about, or make sure that earlier results are about the same.

    Args:
        out: the run's folder.
        folds: of the corpus.
        about: what else corpus.json shall say; "encoder" is the key of its checkpoint, if any.

    Raises:
        RunError: folds, labels, recordings or checkpoint are not those of the results there.
    """
    if begun(out) and (out / "corpus.json").exists():
        refuse_other(out, folds, about.get("encoder"))
    protocols.write(folds, out / "folds.json")
    disk.write_json(out / "corpus.json", {**about, "content": _content(folds)})


def refuse_other(out: Path, folds: Sequence[Fold], encoder: str | None) -> None:
    """Refuse folds and an encoder that are not those of a run's results.

    Args:
        out: the run's folder.
        folds: of the corpus.
        encoder: the key of its checkpoint, if any.

    Raises:
        RunError: folds, labels, recordings or checkpoint are others.
    """
    before = json.loads((out / "corpus.json").read_text(encoding="utf-8"))
    same = protocols.to_json(folds) == json.loads((out / "folds.json").read_text("utf-8"))
    if not same or before.get("content") != _content(folds):
        raise RunError(
            f"{out}: the corpus, its folds, or what could be read of it is not the same as "
            f"when its results were made; {ELSE}"
        )
    if before.get("encoder") != encoder:
        raise RunError(
            f"{out}: the encoder's checkpoint, or what computes with it, is not the same as "
            f"when its results were made; {ELSE}"
        )


def _content(folds: Sequence[Fold]) -> str:
    """A key of the recordings and labels behind the folds."""
    utterances = [u for f in folds for side in protocols.SIDES for u in getattr(f, side)]
    digest = blake2b(digest_size=16)
    for key, u in sorted({u.key: u for u in utterances}.items()):
        digest.update(f"{key} {u.emotion} {audio.fingerprint(u)}\n".encode())
    return digest.hexdigest()


def clear(out: Path) -> None:
    """Remove a run, and nothing but a run."""
    with _writing(out):
        _refuse_strangers(out)
        for path in [*out.glob("seed-*"), out / MODEL]:
            shutil.rmtree(path, ignore_errors=True)
        for name in FILES:
            (out / name).unlink(missing_ok=True)


def _is_own(name: str) -> bool:
    return name in (*FILES, MODEL) or name.startswith("seed-")


def _refuse_strangers(out: Path) -> None:
    refuse_strangers(out, MARK, _is_own, "run")


def refuse_strangers(out: Path, mark: str, own: Callable[[str], bool], what: str) -> None:
    """A folder is a run's if it is empty, or holds a recipe that a run wrote and nothing else.

    Args:
        out: the folder.
        mark: what the recipe of such a run begins with.
        own: whether a run writes something of this name; hidden files may be there as well.
        what: such a run is called.
    """
    if out.is_file():
        raise RunError(f"{out} is a file; choose a folder with --out")
    names = {p.name for p in out.iterdir()} if out.exists() else set[str]()
    strange = {n for n in names if not own(n) and not n.startswith(".")}
    recipe = out / "recipe.toml"
    if names and not (recipe.is_file() and recipe.read_text(encoding="utf-8").startswith(mark)):
        strange |= names
    if strange:
        raise RunError(
            f"{out}: holds {', '.join(sorted(strange)[:5])}, which no {what} wrote; "
            "choose another folder with --out"
        )


def place_of(run: Path, seed: int | None, fold: str | None) -> Path:
    """The folder of a seed and fold, the first ones if they are not named."""
    from affekt.protocols.grouping import natural

    at = run
    for kind, name in (("seed", seed), ("fold", fold)):
        there = sorted((p.name.removeprefix(f"{kind}-") for p in at.glob(f"{kind}-*")), key=natural)
        if not there:
            raise RunError(f"{at}: no {kind} is trained; run the recipe again")
        wanted = there[0] if name is None else str(name)
        if wanted not in there:
            raise RunError(
                f"{run}: no {kind} '{wanted}'; it has {', '.join(there)}.{nearest(wanted, there)}"
            )
        at = at / f"{kind}-{wanted}"
    return at
