"""`affekt matrix`: one recipe, trained on every subset of its corpora; what the terminal shows.

names = matrix.corpora(recipe, data)    # emodb, ravdess
rows = matrix.rows(recipe, names)       # emodb, ravdess, emodb+ravdess: rows of a table
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING

from affekt import experiment
from affekt.errors import CorpusError, ProtocolError, RecipeError, choose
from affekt.recipe import Recipe
from affekt.run_folder import is_name
from affekt.types import Fold

if TYPE_CHECKING:
    from affekt.evaluation.matrix import Matrix

MOST = 6  # corpora whose every subset is trained on: 63
OURS = ("train_on", "test_on", "few_shot")  # what the rows set, or cannot have
Subsets = list[tuple[str, ...]]


def every(names: Sequence[str]) -> Subsets:
    """Every subset but the empty one, small ones first."""
    if len(names) > MOST:
        raise RecipeError(
            f"--subsets all is for {MOST} corpora at most, but there are {len(names)}, with "
            f"{2 ** len(names) - 1} subsets; take --subsets single ({len(names)} rows) or "
            f"leave-one-out ({len(names) + 1} rows)"
        )
    return list(chain.from_iterable(combinations(names, n + 1) for n in range(len(names))))


def single(names: Sequence[str]) -> Subsets:
    """Each corpus alone."""
    return list(combinations(names, 1))


def leave_one_out(names: Sequence[str]) -> Subsets:
    """All corpora but one, for each of them; and all."""
    return [*combinations(names, len(names) - 1), tuple(names)]


SUBSETS: dict[str, Callable[[Sequence[str]], Subsets]] = {
    "all": every,
    "single": single,
    "leave-one-out": leave_one_out,
}


def corpora(recipe: Recipe, data: Mapping[str, Path]) -> list[str]:
    """The names of a recipe's corpora, each of which every fold trains on and tests.

    Raises:
        RecipeError: the recipe says itself what is trained on and tested.
        CorpusError: it has a single corpus, or one is not there.
        ProtocolError: a fold has a corpus on one side alone.
    """
    if given := [key for key in OURS if getattr(recipe, key)]:
        raise RecipeError(
            f"affekt matrix trains on subsets of the corpora and tests on all, but the recipe has "
            f"{', '.join(given)}; leave it out"
        )
    corpus = experiment.read(recipe, data)[0]
    names = list(dict.fromkeys(u.corpus for u in corpus))
    if len(names) < 2:
        raise CorpusError(
            f"affekt matrix needs a recipe with two corpora or more, but this one has "
            f"{', '.join(names)}; write corpus = [{{ name = ... }}, {{ name = ... }}]"
        )
    if odd := [name for name in names if not is_name(name)]:
        raise CorpusError(
            f"the corpus '{odd[0]}' cannot be part of a folder's name; call it otherwise, such as "
            'with { name = "manifest", corpus = "calls" }'
        )
    for fold in experiment.divide(recipe, corpus):
        _refuse_one_sided(fold, names)
    return names


def _refuse_one_sided(fold: Fold, names: Sequence[str]) -> None:
    for side in ("train", "test"):
        there = {u.corpus for u in getattr(fold, side)}
        if lacking := [name for name in names if name not in there]:
            raise ProtocolError(
                f"affekt matrix trains on each corpus and tests on each, but fold {fold.name} has "
                f"no utterance of {', '.join(lacking)} in {side}; use a protocol that divides "
                "every corpus, such as speaker-k-fold"
            )


def rows(recipe: Recipe, names: Sequence[str], subsets: str = "all") -> dict[str, Recipe]:
    """The recipe trained on each subset of its corpora, by a name such as 'emodb+nemo'.

    Args:
        recipe: of several corpora, all of which every row tests.
        names: of its corpora.
        subsets: a name of SUBSETS.

    Raises:
        RecipeError: no such subsets, or too many.
    """
    chosen = choose(SUBSETS, subsets, "--subsets")(names)
    title = recipe.title or "recipe"
    untold = {"expected": {}, "source": ""}
    made = {
        "+".join(some): {"train_on": list(some), "title": f"{title}, on {', '.join(some)}"}
        for some in chosen
    }
    return {name: recipe.model_copy(update=values | untold) for name, values in made.items()}


def show(found: "Matrix") -> None:
    """The UA of every row on every corpus, with a mark where it was not trained on."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from affekt import screen

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("trained on", no_wrap=True)
    for name, c in found.corpora.items():
        spoken = f"{name} ({c['language']})" if c["language"] else name
        table.add_column(escape(f"{spoken}\nn = {c['n']}"), justify="right")
    scores = {row["name"]: row["by_corpus"] for row in found.rows}
    for name in found.trained:
        if name not in scores:
            table.add_row(escape(name), "did not run")
            continue
        words = []
        for corpus, c in found.corpora.items():
            cell = scores[name][corpus]
            ua = f"{cell['UA']['value']:.3f}"
            words.append(f"[bold]{ua}[/]" if name == c["best"] else ua)
            words[-1] += "  " if cell["training"] == "trained on" else " *"
        table.add_row(escape(name), *words)
    screen.console.print(table)
    said = "UA on each corpus; * not trained on; bold: best of a column"
    screen.console.print(said, style="dim", markup=False)
