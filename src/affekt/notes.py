"""What a reader of a report must know of how its models were made."""

from collections.abc import Sequence

from affekt import protocols
from affekt.parts import options
from affekt.recipe import Recipe
from affekt.types import Fold


def notes(recipe: Recipe, folds: Sequence[Fold]) -> list[str]:
    """One sentence each."""
    told = []
    if lacking := _without_dev(recipe, folds):
        told.append(
            f"No dev side in fold(s) {', '.join(lacking)}: the last epoch was kept there, "
            "although the recipe asks for the best one on dev."
        )
    if known := _heard(recipe):
        told.append(
            f"The encoder heard {', '.join(known)} in its pre-training, without labels: what is "
            "tested here is not new to it."
        )
    if recipe.balance != "none":
        counted = [protocols.repeats(fold, recipe.balance) for fold in folds]
        names = sorted({name for times in counted for name in times})
        each = [f"{name} {_range([t[name] for t in counted if name in t])}" for name in names]
        told.append(f"In train every utterance stands so often: {', '.join(each)}.")
    return told + _own_task(recipe)


def _without_dev(recipe: Recipe, folds: Sequence[Fold]) -> list[str]:
    """The folds, or corpora in them, of which there is nothing to choose an epoch on."""
    choosing = [s for s in recipe.stage if s.select != "last" and not s.contrasts]
    if not choosing:
        return []
    from affekt.training.sides import corpora, of_stage

    found = [
        f"{fold.name} ({corpus})" if corpus else fold.name
        for fold in folds
        for stage in choosing
        for corpus in (corpora(fold) if stage.per else [None])
        if not of_stage(fold.dev, stage, corpus)
    ]
    return list(dict.fromkeys(found))


def _range(numbers: Sequence[int]) -> str:
    """'2', or '2 to 3'."""
    few, many = min(numbers), max(numbers)
    return f"{few}" if few == many else f"{few} to {many}"


def _own_task(recipe: Recipe) -> list[str]:
    """What became of the encoder's own task."""
    task = recipe.encoder.options.get("task")
    if task is not None and task.get("heads") == "fresh":
        return [
            "The quantizer of the encoder's own task (wav2vec 2.0) began with random weights: its "
            "checkpoint has none."
        ]
    if recipe.head.name == "deep-wccn" and task is None:
        return ["Trained without the loss of wav2vec 2.0 (beta = 0)."]
    return []


def _heard(recipe: Recipe) -> list[str]:
    """The recipe's corpora that its encoder was pre-trained on, as far as that is known."""
    if recipe.encoder.name != "speech":
        return []
    from affekt.encoders import ENCODERS, checkpoint

    chosen = options(ENCODERS, recipe.encoder, "encoder")
    config, _ = checkpoint.settings(checkpoint.locate(chosen["model"], chosen["revision"]))
    return [corpus.name for corpus in recipe.corpus if corpus.name in config.get("heard", ())]
