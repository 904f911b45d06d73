"""Recipes of networks, and folds for them, refused before any work is done."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from affekt import prompts
from affekt.encoders.text import Text, refuse_alike
from affekt.errors import AffektError, CorpusError, ProtocolError, RecipeError, nearest
from affekt.labels import CANONICAL, order
from affekt.losses import OBJECTIVES
from affekt.methods.supervised_contrastive import ContrastiveBatches
from affekt.nn.heads import HEADS
from affekt.nn.mixing import MIXES
from affekt.nn.pooling import POOLINGS
from affekt.parts import build, options
from affekt.recipe import Recipe, Stage
from affekt.recipe.stage import PARTS
from affekt.run_folder import is_name
from affekt.training.optim import OPTIMIZERS, SCHEDULES
from affekt.training.sides import corpora, of_stage
from affekt.types import GENDERS, Fold


def check(recipe: Recipe) -> None:
    """Refuse a recipe whose network parts or stages do not fit their schemas."""
    assert recipe.pooling is not None
    options(MIXES, recipe.mix, "mix")
    pooling = build(POOLINGS, recipe.pooling, "pooling", 8)  # of any width: it judges its values
    if recipe.head.name == "clap":  # whose checkpoint is looked for once folds are there
        prompts.of_emotions(CANONICAL, **_said(recipe))
    else:
        build(HEADS, recipe.head, "head", pooling.output_dim, CANONICAL[:2])
    frozen = recipe.encoder.options.get("trainable", "none") == "none"
    learning = {"encoder": not frozen, "pooling": bool([*pooling.parameters()]), "head": True}
    for number, stage in enumerate(recipe.stage):
        looked_at = [name for name in stage.trains if not (stage.contrasts and name == "head")]
        if not any(learning[name] for name in looked_at):
            raise RecipeError(
                f"stage.{number}: there is nothing to train in {', '.join(stage.trains)}, as the "
                f"encoder is {'frozen' if frozen else 'left out'}, pooling '{recipe.pooling.name}' "
                f"learns {'something' if learning['pooling'] else 'nothing'} and pairs of clips "
                "have no use for a head; name more in trains, or give the encoder trainable = "
                '"transformer"'
            )
        if frozen and "encoder" in stage.trains and {*stage.trains} != {*PARTS}:
            speech = recipe.encoder.name == "speech"
            raise RecipeError(
                f"stage.{number} has 'encoder' in trains, but "
                + (
                    'the encoder is frozen; give it trainable = "transformer"'
                    if speech
                    else f"'{recipe.encoder.name}' has nothing to train; take a speech encoder"
                )
                + ", or leave it out of trains"
            )
    if not frozen and not any("encoder" in stage.trains for stage in recipe.stage):
        raise RecipeError(
            f"encoder '{recipe.encoder.name}' has trainable = "
            f'"{recipe.encoder.options["trainable"]}", but no stage has "encoder" in trains; '
            "name it in one, or leave trainable out"
        )
    _refuse_without_head(recipe.stage)
    _refuse_prompts(recipe)
    learns_on = recipe.encoder.options.get("task") is not None
    weighed = False
    for number, stage in enumerate(recipe.stage):
        with _told(f"stage.{number}"):
            objective = options(OBJECTIVES, stage.objective, "objective")
            build(OBJECTIVES, stage.objective, "objective")
            _refuse_values(stage)
        weighed |= bool(objective.get("beta"))
        if objective.get("beta") and not learns_on:
            raise RecipeError(
                f"stage.{number}.objective: beta = {objective['beta']:g} weighs the encoder's own "
                'task, but it has none; give the encoder task = { heads = "kept" }, or "fresh" '
                "where its checkpoint has no quantizer, or set beta = 0"
            )
        if objective.get("beta") and "encoder" not in stage.trains:
            raise RecipeError(
                f"stage.{number}.objective: beta = {objective['beta']:g} weighs the encoder's own "
                'task, but the stage does not train it; name "encoder" in trains, or set beta = 0'
            )
    if learns_on and not weighed:
        raise RecipeError(
            "encoder 'speech': task masks frames for a loss that no stage weighs; give an "
            "objective beta, such as 1e-3, or leave 'task' out"
        )


def _refuse_prompts(recipe: Recipe) -> None:
    """Refuse what is trained with sentences without a head for them, and genders in one of both."""
    asks = recipe.head.name == "clap"
    told = [s.objective.options.get("gender") for s in recipe.stage if s.objective.name == "clap"]
    if bool(told) > asks:
        raise RecipeError(
            f"objective 'clap' compares clips with sentences, which head '{recipe.head.name}' has "
            'not; give head = { name = "clap" }'
        )
    if not asks:
        return
    for number, stage in enumerate(recipe.stage):
        if stage.objective.name == "clap" and stage.batch_size < 2:
            raise RecipeError(
                f"stage.{number}: objective 'clap' compares the clips of a batch with each other; "
                f"give batch_size of at least 2, not {stage.batch_size}"
            )
    genders = options(HEADS, recipe.head, "head")["genders"]
    if ("multi-task" in told) != (genders != "none"):
        raise RecipeError(
            f"head 'clap' has genders = \"{genders}\", and objective 'clap' "
            f'gender = "{told[-1] if told and told[-1] else "none"}"; genders = "shared" or '
            '"separate" goes with gender = "multi-task", and only with it'
        )


def _refuse_without_head(stages: Sequence[Stage]) -> None:
    """Refuse a last head that no classification trains; per corpus there are heads of their own."""
    pairs = [n for n, stage in enumerate(stages) if stage.contrasts]
    after = stages[pairs[-1] + 1 :] if pairs else stages
    own = [stage for stage in after if stage.per == stages[-1].per]
    if not any("head" in stage.trains for stage in own):
        where = ' with per = "corpus"' if stages[-1].per else ""
        where += " after pairs of clips" if pairs else ""
        raise RecipeError(
            f"no stage{where} trains the head as a classifier; pairs of clips train "
            'none, so let a stage with objective = { name = "classification" } follow, and "head" '
            "in its trains"
        )


def check_folds(recipe: Recipe, folds: Sequence[Fold]) -> None:
    """Refuse folds that have not what the stages of a network are trained on.

    Raises:
        ProtocolError: a corpus that a stage names is not there, or has too few classes.
        RecipeError: batches of pairs cannot be shared out.
    """
    if recipe.head.name == "clap":
        _refuse_unsaid(recipe, folds)
    for fold in folds:
        _refuse_unasked(recipe, fold)
        there = sorted({u.corpus for u in fold.train})
        for number, stage in enumerate(recipe.stage):
            where = f"stage.{number}, fold {fold.name}"
            for name in stage.train_on:
                if name not in there:
                    raise ProtocolError(
                        f"{where}: train_on names '{name}', of which train has no utterance; it "
                        f"has {', '.join(there)}.{nearest(name, there)}"
                    )
            if stage.contrasts:
                with _told(where):
                    ContrastiveBatches(of_stage(fold.train, stage), stage.batch_size, seed=0)
                continue
            if stage.per and (odd := [c for c in corpora(fold) if not is_name(c)]):
                raise CorpusError(
                    f"the corpus '{odd[0]}' cannot be a folder's name, as its model needs; call it "
                    'otherwise, such as with { name = "manifest", corpus = "calls" }'
                )
            for corpus in corpora(fold) if stage.per else [None] * bool(stage.train_on):
                classes = {u.emotion for u in of_stage(fold.train, stage, corpus)}
                if len(classes) < 2:
                    raise ProtocolError(
                        f"{where}: train has {', '.join(classes) or 'no utterance'} of "
                        f"{corpus or ', '.join(stage.train_on)}, but a classifier needs two "
                        "classes; train on it too, or leave it out of test_on"
                    )


def _said(recipe: Recipe) -> dict[str, Any]:
    """How a head called "clap" says classes."""
    text = options(HEADS, recipe.head, "head")["text"]
    return {"language": text.language, "template": text.template, "words": text.words}


def _refuse_unsaid(recipe: Recipe, folds: Sequence[Fold]) -> None:
    """Refuse classes that cannot be said, words of no class, and what reads the same to the text.

    Raises:
        RecipeError: so.
        EncoderError: there is no such text encoder.
    """
    head, said = options(HEADS, recipe.head, "head"), _said(recipe)
    classes = order({u.emotion for f in folds for u in (*f.train, *f.dev, *f.test)})
    if odd := [name for name in said["words"] if name not in classes]:
        raise RecipeError(
            f"words: no class '{odd[0]}'; the classes are {', '.join(classes)}."
            f"{nearest(odd[0], classes)}"
        )
    text = Text(head["text"])
    for names in dict.fromkeys(tuple(order(u.emotion for u in f.train)) for f in folds):
        refuse_alike(text, names, prompts.of_emotions(names, **said))
    if head["genders"] == "separate":
        refuse_alike(text, GENDERS, prompts.of_genders(said["language"]))


def _refuse_unasked(recipe: Recipe, fold: Fold) -> None:
    """Refuse clips whose gender a stage needs and nobody knows, and those of one gender alone."""
    needing = [s for s in recipe.stage if s.objective.options.get("gender", "none") != "none"]
    heard = [u for stage in needing for u in of_stage((*fold.train, *fold.dev), stage)]
    unknown = [u for u in heard if u.gender is None]
    if unknown:
        raise CorpusError(
            f"fold {fold.name}: {len(unknown)} utterances have no gender, such as "
            f"{unknown[0].key}, but a stage is trained with it; name it in the corpus, or give "
            "objective 'clap' gender = \"none\" and head 'clap' genders = \"none\""
        )
    for stage in needing:
        for corpus in corpora(fold) if stage.per else [None]:
            found = {u.gender for u in of_stage(fold.train, stage, corpus)}
            if len(found) == 1:
                raise ProtocolError(
                    f"fold {fold.name}: train has {found.pop()} speakers alone"
                    f"{f' of {corpus}' if corpus else ''}, but objective 'clap' with gender = "
                    f'"{stage.objective.options["gender"]}" needs both; take other folds, or give '
                    "objective 'clap' gender = \"none\" and head 'clap' genders = \"none\""
                )


def _refuse_values(stage: Stage) -> None:
    """Refuse a learning rate and the like that torch's optimisers and schedules would not take."""
    weight: list[Any] = [{"params": [nn.Parameter(torch.zeros(1))]}]
    try:
        optimizer = build(OPTIMIZERS, stage.optimizer, "optimizer", weight)
    except ValueError as e:
        raise RecipeError(f"optimizer '{stage.optimizer.name}': {e}") from None
    build(SCHEDULES, stage.schedule, "schedule", optimizer, 100)


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Errors from here say where."""
    try:
        yield
    except AffektError as e:
        raise type(e)(f"{where}: {e}") from None
