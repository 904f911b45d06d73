"""Run a recipe: corpora -> folds -> features -> one model per seed and fold -> predictions.

    folder = run(Recipe.load("demo/poolings/mean"), out=Path("runs/mean"))

The run folder is described in docs/runs.md. A run that was stopped goes on where it was; a score
is never computed here, the report reads the predictions.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from affekt import audio, corpora, disk, labels, parallel, protocols, run_folder
from affekt.environment import environment
from affekt.errors import AudioError, CorpusError, ProtocolError, RecipeError, nearest
from affekt.notes import notes
from affekt.parts import build, options
from affekt.recipe import CorpusSection, Recipe
from affekt.recipe.places import REPOSITORY
from affekt.trainings import Clips, Prepared, Progress, train
from affekt.types import Corpus, Fold, Utterance

log = logging.getLogger(__name__)


def run(
    recipe: Recipe,
    *,
    data: Mapping[str, Path] | None = None,
    out: Path,
    jobs: int | None = 1,
    progress: Progress = lambda *_: None,
) -> Path:
    """The folder of the finished run, its predictions and report written.

    Args:
        data: the folder of each corpus; EmoDB comes with affekt.
        out: the run's folder; a run of the same recipe in it goes on.
        jobs: folds that are trained side by side, each on one core if there are several; as
            many as is fastest if none.

    Raises:
        AffektError: the recipe, a corpus, a recording or the folder is not what it should be.
    """
    started = time.monotonic()
    check(recipe)
    jobs = jobs or parallel.wanted(recipe)
    corpus, described = read(recipe, data or {})
    folds = divide(recipe, corpus)
    _check_folds(recipe, folds)
    run_folder.begin(out, recipe)
    began = environment()
    ready = prepare(recipe, folds, progress=progress)
    _check_folds(recipe, ready.folds)  # without what cannot be read
    about = {"corpora": described, "encoder": identity(recipe), "skipped": ready.skipped}
    run_folder.bind(out, ready.folds, about | {"notes": notes(recipe, ready.folds)})
    _add_environment(out / "environment.json", began | {"jobs": jobs}, 0.0)
    if trained := train(recipe, ready, out=out, jobs=jobs, progress=progress):
        took = time.monotonic() - started
        _add_environment(out / "environment.json", began | {"jobs": jobs}, took)
    progress("report", 0, 1)
    from affekt.evaluation.report import report

    report(out)
    progress("report", 1, 1)
    if trained or not any((out / "model").rglob("config.json")):
        from affekt.inference.bundling import bundle_run

        bundle_run(out)
    return out


def read(recipe: Recipe, data: Mapping[str, Path]) -> tuple[Corpus, list[dict[str, Any]]]:
    """All corpora of a recipe as one, with its labels, and a description of each."""
    found = folders(recipe.corpus, data)
    utterances: list[Utterance] = []
    described = []
    for section in recipe.corpus:
        corpus = corpora.listed(section.name, found[section.name], **section.options)
        corpus, report = labels.relabel(corpus, section.labels)
        utterances += corpus
        described.append(_describe(corpus) | {"map": report.lines()})
    if len({u.key for u in utterances}) < len(utterances):
        raise CorpusError(
            f"corpus: {', '.join(s.name for s in recipe.corpus)} hold utterances of the same name; "
            'give each a name of its own, such as { name = "manifest", corpus = "calls" }'
        )
    return Corpus("+".join(d["name"] for d in described), tuple(utterances)), described


def divide(recipe: Recipe, corpus: Corpus) -> list[Fold]:
    """The folds that a recipe wants of its protocol: of its corpora, with its few shots."""
    folds = _wanted(recipe, build(protocols.PROTOCOLS, recipe.protocol, "protocol", corpus))
    if recipe.train_on:
        folds = [protocols.train_on(f, recipe.train_on) for f in folds]
    if recipe.test_on:
        folds = [protocols.test_on(f, recipe.test_on) for f in folds]
    if recipe.few_shot:
        shots, seed = recipe.few_shot.shots, recipe.few_shot.seed
        folds = [protocols.few_shot(f, corpus, shots=shots, seed=seed) for f in folds]
    for fold in folds:
        protocols.refuse_lacking(fold, recipe.balance)
    names = [f.name for f in folds]
    if odd := [n for n in names if names.count(n) > 1 or not re.fullmatch(r"\w[\w.-]*", n)]:
        raise ProtocolError(
            f"folds are called {', '.join(sorted(set(odd)))}, but each needs a name of its own "
            "that a folder can have; rename the speakers, sessions or splits behind them"
        )
    return folds


def _wanted(recipe: Recipe, folds: list[Fold]) -> list[Fold]:
    """The folds that the recipe names, or all if it names none."""
    names = [fold.name for fold in folds]
    if strange := [name for name in recipe.folds if name not in names]:
        raise ProtocolError(
            f"folds: {recipe.protocol.name} has no fold '{strange[0]}'; it has "
            f"{', '.join(names)}.{nearest(strange[0], names)}"
        )
    return [fold for fold in folds if not recipe.folds or fold.name in recipe.folds]


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
        if recipe.encoder.options.get("trainable", "none") != "none":
            raise RecipeError("a classifier cannot train its encoder; leave 'trainable' out")
    elif recipe.encoder.name == "opensmile" and any(s.options.get("where") for s in recipe.audio):
        raise RecipeError("a random crop needs frames; take another encoder, or crop at the start")
    else:
        from affekt.training.check import check as check_network

        check_network(recipe)


def _check_folds(recipe: Recipe, folds: Sequence[Fold]) -> None:
    if recipe.pooling:
        from affekt.training.check import check_folds

        check_folds(recipe, folds)


def folders(sections: Sequence[CorpusSection], data: Mapping[str, Path]) -> dict[str, Path]:
    """Where each corpus lies: --data, else the recipe, else what comes with affekt."""
    names = [s.name for s in sections]
    if len(set(names)) < len(names):
        raise RecipeError(f"corpus: {', '.join(names)} names a reader twice; write one manifest")
    if strange := [name for name in data if name and name not in names]:
        raise CorpusError(
            f"--data {strange[0]}=...: the recipe has no such corpus; it has {', '.join(names)}"
        )
    if "" in data and len(sections) > 1:
        raise CorpusError(
            f"--data {data['']}: the recipe has several corpora, {', '.join(names)}; say which "
            f"lies there, such as --data {names[0]}=DIR"
        )
    found = {
        s.name: data.get(s.name) or data.get("") or s.folder or _bundled(s.name) for s in sections
    }
    if lacking := [name for name, folder in found.items() if folder is None]:
        raise CorpusError(
            f"no folder for the corpus {', '.join(map(repr, lacking))}; give it with "
            f"{' '.join(f'--data {name}=DIR' for name in lacking)} "
            f"(where to get it: affekt corpora {lacking[0]})"
        )
    return {name: folder for name, folder in found.items() if folder is not None}


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


def prepare(
    recipe: Recipe,
    folds: Sequence[Fold],
    *,
    sides: Sequence[str] = protocols.SIDES,
    progress: Progress = lambda *_: None,
) -> Prepared:
    """Folds with the features of the utterances on some of their sides; others are not read.

    Raises:
        AudioError: some have none, and the recipe lets none be left out.
        ProtocolError: a fold has nothing to learn.
    """
    wanted = {u.key: u for fold in folds for side in sides for u in getattr(fold, side)}
    steps = [build(audio.STEPS, s, "audio step") for s in recipe.audio]
    features, reasons = _features(recipe, wanted, steps, progress)
    kept, skipped = _without(recipe, folds, reasons, wanted=wanted)
    _refuse_one_class(kept)
    return Prepared(folds=kept, features=features, steps=steps, skipped=skipped)


def _features(
    recipe: Recipe,
    wanted: Mapping[str, Utterance],
    steps: Sequence[audio.Step],
    progress: Progress,
) -> tuple[Clips, dict[str, str]]:
    """Features of every utterance by key, and why some have none."""
    utterances = list(wanted.values())
    done = 0

    def tick(n: int) -> None:
        nonlocal done
        done += n
        progress("features", done, len(utterances))

    progress("features", 0, len(utterances))
    if recipe.classifier and recipe.encoder.name == "opensmile":
        from affekt.encoders.opensmile import functionals

        settings = recipe.encoder.options
        rows, reasons = functionals(utterances, **settings, steps=steps, progress=tick)
        return dict(zip(wanted, rows, strict=True)), reasons
    from affekt.encoders.extract import extract, summaries

    clips, reasons = extract(recipe.encoder, utterances, steps, tick)
    if recipe.classifier:
        known = [key for key in wanted if key not in reasons]
        clips = summaries(clips, known, recipe.functionals.layers)
    return clips, reasons


def identity(recipe: Recipe) -> str | None:
    """A key of checkpoints' weights and of how frames are made of them."""
    made = []
    if recipe.encoder.name == "speech":
        from affekt.encoders import ENCODERS, speech

        chosen = options(ENCODERS, recipe.encoder, "encoder")
        made.append(speech.identity(chosen, speech.processor()))
    for locate in checkpoints(recipe)[len(made) :]:
        from affekt.encoders import checkpoint

        made.append(checkpoint.digest(locate()))
    return "+".join(made) or None


def checkpoints(recipe: Recipe) -> list[Callable[[], Path]]:
    """What finds the folder of each encoder that comes from a checkpoint: of speech, of text."""
    found: list[Callable[[], Path]] = []
    if recipe.encoder.name == "speech":
        from affekt.encoders import checkpoint

        speech = recipe.encoder.options
        found.append(partial(checkpoint.locate, str(speech["model"]), speech.get("revision")))
    if recipe.head.name == "clap":
        from affekt.encoders import text
        from affekt.nn.heads import HEADS

        chosen = options(HEADS, recipe.head, "head")["text"]
        found.append(partial(text.locate, chosen.model, chosen.revision))
    return found


def _without(
    recipe: Recipe,
    folds: Sequence[Fold],
    reasons: Mapping[str, str],
    *,
    wanted: Mapping[str, Utterance],
) -> tuple[list[Fold], list[dict[str, str]]]:
    """The folds without the utterances that have no features, or an error if none may lack."""
    if not reasons:
        return list(folds), []
    shown = 10 if len(reasons) < len(wanted) else 2  # if all fail, it is hardly their fault
    listed = "\n  ".join(sorted(reasons.values())[:shown])
    more = f"\n  and {len(reasons) - shown} more" if len(reasons) > shown else ""
    found = f"{len(reasons)} of {len(wanted)} recordings cannot be used:\n  {listed}{more}"
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
        {"id": wanted[key].id, "audio": str(wanted[key].audio), "reason": reason}
        for key, reason in reasons.items()
    ]
    return kept, skipped


def _refuse_one_class(folds: Sequence[Fold]) -> None:
    for fold in folds:
        classes = sorted({u.emotion for u in fold.train})
        if len(classes) < 2:
            raise ProtocolError(
                f"fold {fold.name}: all {len(fold.train)} training utterances are "
                f"{classes[0]}, but there is nothing to learn from one class; check the labels, "
                "or choose a protocol with larger folds"
            )


def _add_environment(path: Path, began: dict[str, Any], seconds: float) -> None:
    """What the run was made with; a run that went on later adds up its seconds and commits."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    commits = dict.fromkeys(c for c in (old.get("commit"), began["commit"]) if c)
    disk.write_json(
        path,
        began
        | {"started": old.get("started", began["started"])}
        | {"commit": " + ".join(commits) or None}
        | {"seconds": round(old.get("seconds", 0) + seconds, 2)},
    )
