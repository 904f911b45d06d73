"""Predictions on disk: `seed-S/fold-NAME/predictions.jsonl`, one JSON object per line.

Beside them lies `dev.jsonl`, the same of the dev side, where a fold has one. It is no part of any
score.
"""

import json
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from affekt import disk
from affekt.errors import RunError
from affekt.protocols.grouping import natural
from affekt.types import Prediction

TEST, DEV = "predictions.jsonl", "dev.jsonl"  # of a fold
DIGITS = 6  # of a probability
KNOWN = {f.name: f for f in fields(Prediction)}  # in their order
REQUIRED = KNOWN.keys() - {"gender_label"}
TEXTS = ("id", "corpus", "fold", "truth", "label")


def write(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write one line per prediction: all of them or, when interrupted, none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write(path, "".join(map(_line, predictions)))


def _line(prediction: Prediction) -> str:
    row = {name: getattr(prediction, name) for name in KNOWN}
    if prediction.gender_label is None:
        del row["gender_label"]
    row["probabilities"] = {k: round(float(v), DIGITS) for k, v in row["probabilities"].items()}
    return json.dumps(row, ensure_ascii=False) + "\n"


def read(path: Path) -> list[Prediction]:
    """All predictions of a run folder, by seed and fold, or those of one file.

    Raises:
        RunError: there are none, a line is not valid, or a fold of `folds.json` is incomplete.
    """
    if path.is_file():
        if path.suffix != ".jsonl":
            raise RunError(f"{path} is neither a run's folder nor a .jsonl file of predictions")
        return _read_file(path)
    files = sorted(path.glob(f"seed-*/fold-*/{TEST}"))
    if not files:
        what = f"holds no seed-*/fold-*/{TEST}" if path.is_dir() else "does not exist"
        raise RunError(f"{path} {what}; give the folder that `affekt run` wrote")
    predictions = [p for file in files for p in _read_file(file)]
    tests = _test_keys(path / "folds.json")
    if tests:
        seeds = read_recipe(path / "recipe.toml").get("seeds", [])
        if not isinstance(seeds, list):
            raise RunError(f"{path / 'recipe.toml'} is not a recipe: seeds is {seeds}; run again")
        _refuse_incomplete(path, predictions, tests, set(seeds))
        order: dict[str, Any] = {name: n for n, name in enumerate(tests)}
    else:
        order = {name: natural(name) for name in {p.fold for p in predictions}}
    return sorted(predictions, key=lambda p: (p.seed, order[p.fold]))


def read_dev(run: Path) -> dict[tuple[int, str], list[Prediction]]:
    """What the model of each (seed, fold) says of its own dev side; without those that have none.

    Raises:
        RunError: a line is not valid, is not of the folder's fold, or is tested in this fold too.
    """
    found: dict[tuple[int, str], list[Prediction]] = {}
    for path in sorted(run.glob(f"seed-*/fold-*/{DEV}")):
        if not path.with_name(TEST).is_file():  # of a fold that is not whole
            continue
        dev, test = _read_file(path), _read_file(path.with_name(TEST))
        place = (test[0].seed, test[0].fold)
        tested = {(p.corpus, p.id) for p in test}
        for p in dev:
            if (p.seed, p.fold) != place or (p.corpus, p.id) in tested:
                raise RunError(
                    f"{path}: {p.corpus}:{p.id} is of seed {p.seed}, fold '{p.fold}', or tested "
                    f"there; expected the dev side of seed {place[0]}, fold '{place[1]}'; remove "
                    "the file"
                )
        found[place] = dev
    return found


def _read_file(path: Path) -> list[Prediction]:
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines:
        raise RunError(f"{path} is empty; remove it and run again")
    seen: set[tuple[str, str, str, int]] = set()
    predictions = []
    for n, line in enumerate(lines, 1):
        try:
            prediction = _parse(line)
        except ValueError as e:
            raise RunError(f"{path}, line {n}: {e}; remove the file and run again") from e
        same = (prediction.corpus, prediction.id, prediction.fold, prediction.seed)
        if same in seen:
            raise RunError(f"{path}, line {n}: {prediction.corpus}:{prediction.id} is there twice")
        seen.add(same)
        predictions.append(prediction)
    return predictions


def _parse(line: str) -> Prediction:
    row = json.loads(line)
    if not isinstance(row, dict) or not REQUIRED <= row.keys() <= KNOWN.keys():
        given = sorted(row) if isinstance(row, dict) else row
        raise ValueError(f"expected the fields {sorted(REQUIRED)}, got {given}")
    for name in TEXTS:
        if not isinstance(row[name], str):
            raise ValueError(f"expected '{name}' to be text, got {row[name]!r}")
    if type(row["seed"]) is not int:
        raise ValueError(f"expected 'seed' to be a whole number, got {row['seed']!r}")
    chances = row["probabilities"]
    if not isinstance(chances, dict) or row["label"] not in chances:
        raise ValueError(f"'{row['label']}' is not among the probabilities {chances!r}")
    for name, chance in chances.items():
        if not isinstance(chance, int | float) or not 0 <= chance <= 1:
            raise ValueError(f"expected a probability of '{name}' in [0, 1], got {chance!r}")
    return Prediction(**row)


def _test_keys(path: Path) -> dict[str, set[str]]:
    """What each fold tests, in the order of the protocol; nothing where `folds.json` is absent."""
    if not path.is_file():
        return {}
    try:
        return {fold["name"]: set(fold["test"]) for fold in json.loads(path.read_text("utf-8"))}
    except (ValueError, KeyError, TypeError) as e:
        raise RunError(f"{path} is not a list of folds with 'name' and 'test': {e!r}") from e


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe of a run; nothing where there is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8") if path.is_file() else "")
    except tomllib.TOMLDecodeError as e:
        raise RunError(f"{path} is not TOML: {e}; run again") from e


def _refuse_incomplete(
    run: Path, predictions: list[Prediction], tests: dict[str, set[str]], seeds: set[int]
) -> None:
    judged: dict[tuple[int, str], set[str]] = {}
    for p in predictions:
        judged.setdefault((p.seed, p.fold), set()).add(f"{p.corpus}:{p.id}")
    for seed, fold in judged:
        if fold not in tests:
            raise RunError(f"{run}: seed {seed} has a fold '{fold}' that folds.json does not list")
    for seed in sorted(seeds | {p.seed for p in predictions}):
        for fold, keys in tests.items():
            there = judged.get((seed, fold), set())
            if there != keys:
                raise RunError(
                    f"{run} is incomplete: seed {seed}, fold '{fold}' has predictions for "
                    f"{len(there & keys)} of {len(keys)} test utterances and "
                    f"{len(there - keys)} of others; run it again to go on"
                )
