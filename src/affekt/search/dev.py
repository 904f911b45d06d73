"""What a search maximises: the best dev score of the last stage, mean over folds and seeds.

Of a test side only the list of utterances is known: no features are made, none is judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from statistics import fmean
from typing import Any

from affekt import audio, experiment, parallel, protocols
from affekt.errors import ProtocolError, RecipeError
from affekt.experiment import Clips, Prepared, Progress
from affekt.recipe import Recipe
from affekt.types import Corpus, Fold, Utterance

READ = ("train", "dev")  # sides
# Stands for a corpus's test side: a fold has one, and training looks at none of it.
WITHHELD = Utterance(
    id="withheld", audio=Path("withheld"), emotion="withheld", corpus="withheld", speaker="withheld"
)


def measure(recipe: Recipe) -> str:
    """The dev score of a recipe that its last stage watches: dev_UA or dev_WA.

    Raises:
        RecipeError: it watches none.
    """
    if recipe.classifier is not None:
        raise RecipeError(
            f"'{recipe.classifier.name}' has no use for a dev side, and a search has no other; "
            "take a recipe with 'pooling' and [[stage]]"
        )
    from affekt.training.stage import MONITORED

    number = len(recipe.stage) - 1
    select = recipe.stage[number].select
    if select not in MONITORED:
        raise RecipeError(
            f'stage.{number} has select = "{select}", so that its dev score says nothing of what '
            f"is kept; choose on dev: -s stage.{number}.select=best-dev"
        )
    return MONITORED[select]


def divide(recipe: Recipe, corpus: Corpus) -> list[Fold]:
    """The folds of a recipe, each with a dev side."""
    folds = experiment.divide(recipe, corpus)
    _refuse_without_dev(folds, recipe)
    return folds


def _refuse_without_dev(folds: Sequence[Fold], recipe: Recipe) -> None:
    """Refuse folds whose last stage has nothing to choose on, or not for every corpus."""
    from affekt.training.sides import corpora, of_stage

    last = recipe.stage[-1]
    lacking = []
    for fold in folds:
        for corpus in corpora(fold) if last.per else [None]:
            heard = {u.emotion for u in of_stage(fold.train, last, corpus)}
            if not any(u.emotion in heard for u in of_stage(fold.dev, last, corpus)):
                lacking.append(f"{fold.name} ({corpus})" if corpus else fold.name)
    if lacking:
        raise ProtocolError(
            f"fold(s) {', '.join(lacking)} have no dev side, and a search chooses on nothing else; "
            "take a protocol with one, such as -s protocol.dev=next-speaker (docs/protocols.md)"
        )


def content(folds: Sequence[Fold]) -> str:
    """A key of the recordings and labels of train and dev, and of their folds."""
    digest = blake2b(digest_size=16)
    for fold in folds:
        for side in READ:
            for u in sorted(getattr(fold, side), key=lambda u: u.key):
                line = f"{fold.name} {side} {u.key} {u.emotion} {audio.key_of(u, ())}\n"
                digest.update(line.encode())
    return digest.hexdigest()


class Bench:
    """Scores recipes on the dev sides of the same folds; features are made when first needed."""

    def __init__(self, folds: Sequence[Fold], jobs: int, progress: Progress) -> None:
        self._folds = folds
        self._jobs = jobs
        self._progress = progress
        self._made_of = ""
        self._ready: Prepared | None = None

    def scores(self, recipe: Recipe, what: str) -> Iterator[dict[str, Any]]:
        """The seed, fold and score of one training after another; `what` names them on screen."""
        ready = self.prepared(recipe)
        work = [(recipe, seed, fold, ready.steps) for seed in recipe.seeds for fold in ready.folds]
        made = parallel.each(_score, work, ready.features, self._jobs, in_order=True)
        for n, (_, seed, fold, _) in enumerate(work):
            self._progress(f"{what}, seed {seed}, fold {fold.name}", n, len(work))
            yield {"seed": seed, "fold": fold.name, "score": next(made)[1]}

    def prepared(self, recipe: Recipe) -> Prepared:
        """Features as this recipe wants them; those of the last one if it wants the same."""
        made_of = recipe.model_dump_json(include={"encoder", "audio"})
        if self._ready is None or made_of != self._made_of:
            self._ready = None  # two do not lie in memory
            self._ready, self._made_of = prepare(recipe, self._folds, self._progress), made_of
        return self._ready


def _score(
    clips: Clips, recipe: Recipe, seed: int, fold: Fold, steps: Sequence[audio.Step]
) -> float:
    from affekt.training import fit

    fold = protocols.balanced(fold, recipe.balance)
    made = fit.fitted(recipe, fold, clips, seed=seed, steps=steps)
    last, score = len(recipe.stage) - 1, measure(recipe)
    return fmean(max(row[score] for row in one.history if row["stage"] == last) for one in made)


def prepare(recipe: Recipe, folds: Sequence[Fold], progress: Progress) -> Prepared:
    """Folds without their test sides, and the features of train and dev."""
    ready = experiment.prepare(recipe, folds, sides=READ, progress=progress)
    _refuse_without_dev(ready.folds, recipe)
    return replace(ready, folds=[_withheld(fold) for fold in ready.folds])


def _withheld(fold: Fold) -> Fold:
    """The fold with one stand-in for the test side of each corpus."""
    tested = dict.fromkeys(u.corpus for u in fold.test)
    return replace(fold, test=tuple(replace(WITHHELD, corpus=name) for name in tested))
