"""Run a recipe: corpora -> folds -> features -> one model per seed and fold -> predictions.

    folder = run(Recipe.load("demo/poolings/mean"), out=Path("runs/mean"))

The run folder is described in docs/runs.md. A run that was stopped goes on where it was; a score
is never computed here, the report reads the predictions.
"""

import csv
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from affekt import audio, corpora, labels, protocols
from affekt.environment import environment
from affekt.errors import AudioError, CorpusError, RecipeError, RunError
from affekt.evaluation import predictions as files
from affekt.parts import build, options
from affekt.recipe import REPOSITORY, CorpusSection, Recipe
from affekt.types import Corpus, Fold, Prediction, Utterance

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]  # what is going on, how much is done, of how much
Clips = Mapping[str, Any]


def run(
    recipe: Recipe,
    *,
    data: Mapping[str, Path] | None = None,
    out: Path,
    progress: Progress = lambda *_: None,
) -> Path:
    """The folder of the finished run, its predictions and report written.

    Args:
        data: the folder of each corpus; EmoDB comes with affekt.
        out: the run's folder; a run of the same recipe in it goes on.

    Raises:
        AffektError: the recipe, a corpus, a recording or the folder is not what it should be.
    """
    started = time.monotonic()
    check(recipe)
    corpus, described = read(recipe, data or {})
    folds = divide(recipe, corpus)
    steps = [build(audio.STEPS, s, "audio step") for s in recipe.audio]
    _open(recipe, folds, out)
    features, reasons = _features(recipe, folds, steps, progress)
    folds, skipped = _without(recipe, folds, reasons)
    _dump(out / "corpus.json", {"corpora": described, "skipped": skipped, "notes": []})
    protocols.write(folds, out / "folds.json")
    _train(recipe, folds, features, steps=steps, out=out, progress=progress)
    _dump(out / "environment.json", environment(time.monotonic() - started))
    progress("report", 0, 1)
    from affekt.evaluation.report import report

    report(out)
    progress("report", 1, 1)
    return out


def read(recipe: Recipe, data: Mapping[str, Path]) -> tuple[Corpus, list[dict[str, Any]]]:
    """All corpora of a recipe as one, with its labels, and a description of each."""
    folders = _folders(recipe.corpus, data)
    utterances: list[Utterance] = []
    described = []
    for section in recipe.corpus:
        corpus = corpora.read(section.name, folders[section.name], **section.options)
        corpus, report = labels.relabel(corpus, section.labels)
        utterances += corpus
        described.append(_describe(corpus) | {"map": report.lines()})
    return Corpus("+".join(d["name"] for d in described), tuple(utterances)), described


def divide(recipe: Recipe, corpus: Corpus) -> list[Fold]:
    """The folds of a recipe's protocol."""
    return build(protocols.PROTOCOLS, recipe.protocol, "protocol", corpus)


def check(recipe: Recipe) -> None:
    """Refuse a part that does not exist or does not take its options, before any work is done."""
    from affekt.encoders import ENCODERS

    options(protocols.PROTOCOLS, recipe.protocol, "protocol")
    for step in recipe.audio:
        options(audio.STEPS, step, "audio step")
    options(ENCODERS, recipe.encoder, "encoder")
    if recipe.classifier:
        from affekt.classical import CLASSIFIERS

        options(CLASSIFIERS, recipe.classifier, "classifier")
        if recipe.encoder.name != "opensmile":
            raise RecipeError(
                f"a classifier needs one vector per utterance, encoder '{recipe.encoder.name}' "
                "gives frames; use encoder = { name = \"opensmile\" }, or 'pooling' and [[stage]]"
            )
    else:
        from affekt.training import fit

        fit.check(recipe)


def _folders(sections: Sequence[CorpusSection], data: Mapping[str, Path]) -> dict[str, Path]:
    """Where each corpus lies: --data, else the recipe, else what comes with affekt."""
    names = [s.name for s in sections]
    if len(set(names)) < len(names):
        raise RecipeError(f"corpus: {', '.join(names)} names a reader twice; write one manifest")
    if strange := [name for name in data if name and name not in names]:
        raise CorpusError(
            f"--data {strange[0]}=...: the recipe has no such corpus; it has {', '.join(names)}"
        )
    found = {}
    for section in sections:
        only = data.get("") if len(sections) == 1 else None
        folder = data.get(section.name) or only or section.folder or _bundled(section.name)
        if folder is None:
            where = "DIR" if len(sections) == 1 else f"{section.name}=DIR"
            raise CorpusError(
                f"no folder for the corpus '{section.name}'; give it with --data {where}"
                f" (see: affekt corpora {section.name})"
            )
        found[section.name] = folder
    return found


def _bundled(name: str) -> Path | None:
    folder = REPOSITORY / "data" / name
    return folder if folder.is_dir() else None


def _describe(corpus: Corpus) -> dict[str, Any]:
    return {
        "name": corpus.name,
        "utterances": len(corpus),
        "speakers": len({u.speaker for u in corpus} - {None}),
        "hours": sum(map(audio.seconds, corpus)) / 3600,
        "language": ", ".join(sorted({u.language for u in corpus if u.language})),
        "labels": corpus.counts(),
    }


def _open(recipe: Recipe, folds: Sequence[Fold], out: Path) -> None:
    """Make the run's folder, or make sure that the run in it is of the same recipe and folds."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "recipe.toml"
    if not file.exists():
        if any(out.iterdir()):
            raise RunError(f"{out}: not empty and not a run; choose another folder with --out")
        recipe.write(file)
    elif Recipe.load(file) != recipe:
        raise RunError(
            f"{out}: holds a run of another recipe; choose another folder with --out, "
            "or start over with --overwrite"
        )
    old = out / "folds.json"
    if old.exists() and not _extend(folds, json.loads(old.read_text(encoding="utf-8"))):
        raise RunError(
            f"{out}: its folds are not those of the corpus given now; "
            "choose another folder with --out, or start over with --overwrite"
        )


def _extend(folds: Sequence[Fold], before: list[dict[str, Any]]) -> bool:
    """Whether the sides of `folds` hold what they held before; skipped recordings were not."""
    return len(folds) == len(before) and all(
        {u.key for u in getattr(fold, side)} >= set(old[side])
        for fold, old in zip(folds, before, strict=True)
        for side in protocols.SIDES
    )


def _features(
    recipe: Recipe, folds: Sequence[Fold], steps: Sequence[audio.Step], progress: Progress
) -> tuple[Clips, dict[str, str]]:
    """Features of every utterance by key, and why some have none."""
    wanted = {u.key: u for f in folds for u in (*f.train, *f.dev, *f.test)}
    utterances = list(wanted.values())
    done = 0

    def tick(n: int) -> None:
        nonlocal done
        done += n
        progress("features", done, len(utterances))

    progress("features", 0, len(utterances))
    if recipe.classifier:
        from affekt.encoders.opensmile import functionals

        settings = recipe.encoder.options
        rows, reasons = functionals(utterances, **settings, steps=steps, progress=tick)
        return dict(zip(wanted, rows, strict=True)), reasons
    from affekt.encoders.extract import extract

    return extract(recipe.encoder, utterances, steps, tick)


def _without(
    recipe: Recipe, folds: Sequence[Fold], reasons: Mapping[str, str]
) -> tuple[list[Fold], list[dict[str, str]]]:
    """The folds without the utterances that have no features, or an error if none may lack."""
    every = {u.key: u for f in folds for u in (*f.train, *f.dev, *f.test)}
    if not reasons:
        return list(folds), []
    listed = "\n  ".join(list(reasons.values())[:10])
    more = f"\n  and {len(reasons) - 10} more" if len(reasons) > 10 else ""
    found = f"{len(reasons)} of {len(every)} recordings cannot be used:\n  {listed}{more}"
    if recipe.on_error == "raise":
        raise AudioError(f'{found}\nmend or remove them, or go on without them: -s on_error="skip"')
    log.warning("%s\nThe run goes on without them; the report lists them.", found)
    kept = [
        replace(
            fold,
            **{
                side: tuple(u for u in getattr(fold, side) if u.key not in reasons)
                for side in protocols.SIDES
            },
        )
        for fold in folds
    ]
    skipped = [
        {"id": every[key].id, "audio": str(every[key].audio), "reason": reason}
        for key, reason in reasons.items()
    ]
    return kept, skipped


def _train(
    recipe: Recipe,
    folds: Sequence[Fold],
    features: Clips,
    *,
    steps: Sequence[audio.Step],
    out: Path,
    progress: Progress,
) -> None:
    """One model per seed and fold; those whose predictions are there already are left alone."""
    work = [(seed, fold) for seed in recipe.seeds for fold in folds]
    for n, (seed, fold) in enumerate(work):
        folder = out / f"seed-{seed}" / f"fold-{fold.name}"
        if (folder / "predictions.jsonl").exists():
            continue
        progress(f"seed {seed}, fold {fold.name}", n, len(work))
        folder.mkdir(parents=True, exist_ok=True)
        if recipe.classifier:
            judged = _classify(recipe, fold, features, seed)
        else:
            judged = _fit(recipe, fold, features, seed=seed, steps=steps, folder=folder, out=out)
        files.write(folder / "predictions.jsonl", judged)


def _classify(recipe: Recipe, fold: Fold, features: Clips, seed: int) -> list[Prediction]:
    from affekt.classical import CLASSIFIERS, classify

    assert recipe.classifier
    classifier = build(CLASSIFIERS, recipe.classifier, "classifier", seed)
    return classify(fold, features, classifier, seed=seed)


def _fit(
    recipe: Recipe,
    fold: Fold,
    clips: Clips,
    *,
    seed: int,
    steps: Sequence[audio.Step],
    folder: Path,
    out: Path,
) -> list[Prediction]:
    from affekt.training import fit

    trained = fit.train(recipe, fold, clips, seed=seed, steps=steps, folder=folder / "model")
    np.save(folder / "embeddings.npy", trained.embeddings)
    _log(out / "log.csv", seed, fold.name, trained.history)
    return trained.predictions


def _log(path: Path, seed: int, fold: str, history: Sequence[Mapping[str, int | float]]) -> None:
    """Put the rows of one fold into the run's log, in place of what an earlier try left there."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = [r for r in csv.DictReader(file) if (r["seed"], r["fold"]) != (str(seed), fold)]
    rows += [{"seed": seed, "fold": fold, **row} for row in history]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    new = path.with_suffix(".new")
    with new.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    new.replace(path)


def _dump(path: Path, values: Any) -> None:
    text = json.dumps(values, indent=1, ensure_ascii=False, default=str) + "\n"
    path.write_text(text, encoding="utf-8")
