"""How a model was trained and tested, read off the folder of its run: what protocol.json holds."""

import json
from pathlib import Path
from typing import Any

from affekt import protocols
from affekt.evaluation import predictions
from affekt.evaluation.report import headline, scores, size
from affekt.recipe import Recipe

SHOWN = ("UA", "WA", "macro-F1", "WF1")
MADE_WITH = ("affekt", "torch", "python", "commit", "started")


def of_run(run: Path, *, seed: int, fold: str | None, corpus: str | None = None) -> dict[str, Any]:
    """Corpora, folds and scores of the run, and which of its models this is.

    Args:
        run: the folder.
        seed: of the model.
        fold: of the model, which was trained on its train side; none if it was trained on all.
        corpus: that the model is for, if it is for one.

    Raises:
        RunError: the predictions of the run are not complete.
    """
    judged = [p for p in predictions.read(run) if corpus in (None, p.corpus)]
    recipe = Recipe.load(run / "recipe.toml")
    about = _json(run / "corpus.json")
    environment = _json(run / "environment.json")
    found = scores(judged)
    model = str(recipe.encoder.options.get("model", ""))
    local = model.startswith((".", "/", "~")) or model.count("/") > 1  # a folder of this machine
    began = {
        "name": recipe.encoder.name,
        "model": Path(model).name if local else model or None,
        "revision": recipe.encoder.options.get("revision"),
        "trainable": recipe.encoder.options.get("trainable", "none"),
    }
    return {
        "title": recipe.title or run.resolve().name,
        "corpora": [_without_hours(c) for c in about["corpora"]],
        "protocol": {"name": recipe.protocol.name} | recipe.protocol.options,
        "folds": len({p.fold for p in judged}),
        "seeds": recipe.seeds,
        "headline": headline(judged, commit=environment.get("commit")),
        "scores": {name: found[name] for name in SHOWN if name in found},
        "size": size(judged),
        "notes": about.get("notes", []),
        "encoder": began,
        "model": {"seed": seed, "fold": fold, "corpus": corpus} | _sides(run, fold, corpus),
        "made_with": {key: environment.get(key) for key in MADE_WITH},
    }


def _sides(run: Path, name: str | None, corpus: str | None) -> dict[str, Any]:
    """How many utterances the model was trained and chosen on, and how many are new to it."""
    folds = json.loads((run / "folds.json").read_text(encoding="utf-8"))
    own = f"{corpus}:" if corpus else ""
    sharing = sorted({fold["sharing"] for fold in folds} - {"none"})
    if name is None:
        keys = {key for fold in folds for side in protocols.SIDES for key in fold[side]}
        counts = {"train": sum(key.startswith(own) for key in keys), "dev": 0, "test": 0}
    else:
        fold = next(f for f in folds if f["name"] == name)
        counts = {
            side: sum(key.startswith(own) for key in dict.fromkeys(fold[side]))
            for side in protocols.SIDES
        }
    return {"utterances": counts, "sharing": ", ".join(sharing) or "none"}


def _without_hours(corpus: dict[str, Any]) -> dict[str, Any]:
    return {**corpus, "hours": round(corpus.get("hours", 0.0), 2)}


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
