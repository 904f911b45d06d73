"""Run folders as `affekt run` writes them, filled with made-up judgements."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affekt.evaluation import predictions
from affekt.types import Prediction

EMOTIONS = ("angry", "happy", "neutral", "sad")
LANGUAGES = {"german": "de", "english": "en", "polish": "pl"}  # made-up corpora


def judge(
    n: int = 120,
    *,
    speakers: int = 10,
    folds: int = 5,
    seeds: Sequence[int] = (0,),
    skill: float = 2.0,
    classes: Sequence[str] = EMOTIONS,
    draw: int = 0,
) -> list[Prediction]:
    """Judgements of n utterances: who says what never changes, `skill` and `draw` how well."""
    world, rng = np.random.default_rng(7), np.random.default_rng(draw)
    truth = world.integers(len(classes), size=n)
    ease = world.normal(0, 0.7, size=(speakers, len(classes)))
    judged = []
    for seed in seeds:
        for i, t in enumerate(truth):
            who = i % speakers
            logits = rng.normal(size=len(classes))
            logits[t] += skill + ease[who, t]
            chances = np.exp(logits) / np.exp(logits).sum()
            judged.append(
                Prediction(
                    id=f"u{i:04d}",
                    corpus="toy",
                    fold=f"fold {who * folds // speakers + 1}",
                    seed=seed,
                    speaker=f"toy:{who + 1:02d}",
                    gender=("female", "male")[who % 2],
                    language="de",
                    truth=classes[t],
                    label=classes[int(chances.argmax())],
                    probabilities=dict(zip(classes, chances.round(6).tolist(), strict=True)),
                )
            )
    return sorted(judged, key=lambda p: (p.seed, int(p.fold.split()[1])))


def judge_all(skills: Mapping[str, float], *, draw: int = 0, **how: Any) -> list[Prediction]:
    """Judgements of several corpora, each with its skill: {"german": 2.0}."""
    judged = []
    for n, (corpus, skill) in enumerate(skills.items()):
        judged += [
            replace(p, corpus=corpus, language=LANGUAGES[corpus],
                    speaker=p.speaker and p.speaker.replace("toy", corpus))
            for p in judge(skill=skill, draw=100 * draw + n, **how)
        ]  # fmt: skip
    return sorted(judged, key=lambda p: (p.seed, int(p.fold.split()[1])))


def write_run(
    folder: Path,
    judged: Sequence[Prediction],
    *,
    train_on: Sequence[str] = (),
    shots: int = 0,
    recipe: str = "",
) -> Path:
    """A whole run folder with these judgements, and all the rest that a run leaves behind."""
    names = list(dict.fromkeys(p.fold for p in judged))
    seeds = sorted({p.seed for p in judged})
    once = [p for p in judged if p.seed == seeds[0]]
    keys = {n: [f"{p.corpus}:{p.id}" for p in once if p.fold == n] for n in names}
    everybody = [f"{p.corpus}:{p.id}" for p in once if not train_on or p.corpus in train_on]
    for corpus in {p.corpus for p in once} - {*train_on}:
        everybody += [f"{corpus}:shot{n}" for n in range(shots)]
    rng = np.random.default_rng(0)
    for seed in seeds:
        for name in names:
            part = [p for p in judged if p.seed == seed and p.fold == name]
            place = folder / f"seed-{seed}" / f"fold-{name}"
            predictions.write(place / "predictions.jsonl", part)
            centres = rng.normal(0, 1.2, size=(len(EMOTIONS) + 4, 16))
            where = [list(part[0].probabilities).index(p.label) for p in part]
            points = centres[where] + rng.normal(size=(len(part), 16))
            np.save(place / "embeddings.npy", points.astype(np.float32))
    (folder / "folds.json").write_text(json.dumps([
        {"name": n, "sharing": "none", "test": keys[n], "dev": [],
         "train": [k for k in everybody if k not in keys[n]]} for n in names
    ]))  # fmt: skip
    truths = [p.truth for p in judged if p.seed == seeds[0]]
    (folder / "corpus.json").write_text(json.dumps({
        "corpora": [{"name": "toy", "utterances": len(truths), "speakers": 10, "hours": 0.26,
                     "language": "de", "labels": {e: truths.count(e) for e in sorted(set(truths))},
                     "map": ["dropped: bored 81, disgusted 46"]}],
        "skipped": [{"id": "u9999", "audio": "wav/u9999.wav", "reason": "no samples <empty>"}],
        "notes": ["3 recordings hold silence for half of their length"],
    }))  # fmt: skip
    (folder / "environment.json").write_text(json.dumps({
        "affekt": "0.1.0", "python": "3.11.2", "torch": None, "numpy": "2.4.0",
        "scikit-learn": "1.9.0", "platform": "Linux", "processor": "x86_64", "threads": 2,
        "commit": "abc1234def", "command": "affekt run demo/toy.toml --data wav", "seconds": 80.5,
        "started": "2026-11-21T07:00:00",
    }))  # fmt: skip
    few = f"[few_shot]\nshots = {shots}\n\n" if shots else ""
    (folder / "recipe.toml").write_text(
        f'source = "Somebody 2023, Table 1"\ntrain_on = {json.dumps(list(train_on))}\n'
        f"{recipe}\n\n[expected]\nUA = 0.7\n\n{few}"
        '[corpus]\nname = "toy"\nlabels = "4-class"\n\n[protocol]\nname = "speaker-k-fold"\nk = 5\n'
    )
    (folder / "log.csv").write_text(_log(seeds, names))
    return folder


def _log(seeds: Sequence[int], names: Sequence[str], epochs: int = 30) -> str:
    rng = np.random.default_rng(1)
    lines = ["seed,fold,epoch,train_loss,dev_loss,dev_UA"]
    for seed in seeds:
        for name in names:
            for epoch in range(epochs):
                fall = np.exp(-epoch / 8) + rng.normal(0, 0.03, size=3)
                dev = f"{0.5 + fall[1]:.4f},{0.75 - 0.5 * fall[2]:.4f}" if epoch % 2 == 0 else ","
                lines.append(f"{seed},{name},{epoch},{0.3 + fall[0]:.4f},{dev}")
    return "\n".join(lines) + "\n"


@pytest.fixture(name="judge")
def _judge() -> Callable[..., list[Prediction]]:
    """The function `judge`: made-up judgements."""
    return judge


@pytest.fixture(name="judge_all")
def _judge_all() -> Callable[..., list[Prediction]]:
    """The function `judge_all`: made-up judgements of several corpora."""
    return judge_all


@pytest.fixture
def make_runs(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a run folder over several corpora.

    It takes the run's name, the skill on each corpus, then what `write_run` takes and a `draw`.
    """

    def make(name: str, skills: Mapping[str, float], *, draw: int = 0, **how: Any) -> Path:
        return write_run(tmp_path / name, judge_all(skills, draw=draw), **how)

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a run folder: its name, then what `judge` takes."""

    def make(name: str = "run", **how: Any) -> Path:
        return write_run(tmp_path / name, judge(**how))

    return make
