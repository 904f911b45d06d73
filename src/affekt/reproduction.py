"""The rows of a table: what they need and is not there, told before anything runs; run in turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from affekt import experiment
from affekt.errors import AffektError, CorpusError, RunError
from affekt.recipe import Recipe

Data = Mapping[str, Path]  # the folder of each corpus; one without a name stands under ''


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of the rows of a table."""

    runs: dict[str, Path]  # the folders of those that ran
    missing: dict[str, str]  # why the others did not
    skipped: int  # recordings that were left out


def lacking(rows: Mapping[str, Recipe], data: Data) -> dict[str, str]:
    """Why rows cannot run, by name: a part, a corpus or a checkpoint that is not there.

    A checkpoint is looked for, and loaded down from the hub, only where the corpus is there.
    """
    reasons = {}
    found: dict[str, str] = {}  # by what looked for a checkpoint
    for name, recipe in rows.items():
        reason = _refusal(lambda recipe=recipe: _corpora(recipe, data))
        reason = reason or _refusal(lambda recipe=recipe: experiment.check(recipe))
        for locate in experiment.checkpoints(recipe) if not reason else ():
            key = repr(locate)
            if key not in found:
                found[key] = _refusal(locate)
            reason = reason or found[key]
        if reason:
            reasons[name] = reason
    return reasons


def _refusal(act: Callable[[], object]) -> str:
    """What a user's mistake says; nothing where there is none."""
    try:
        act()
    except AffektError as e:
        return str(e)
    return ""


def _corpora(recipe: Recipe, data: Data) -> None:
    found = experiment.folders(recipe.corpus, data_of(recipe, data))
    for name, folder in found.items():
        if not folder.exists():
            raise CorpusError(
                f"no corpus '{name}' at {folder}: there is nothing; give its folder with "
                f"--data {name}=DIR (where to get it: affekt corpora {name})"
            )


def run_all(
    rows: Mapping[str, Recipe],
    data: Data,
    run: Callable[..., int],
    *,
    folder: Path,
    table: str,
    tell: Callable[[str], None],
) -> Reproduction:
    """Run every row of a table that can, each in the folder of its name within `folder`.

    Args:
        run: of a recipe, the folders of its corpora, its own, and `what` to say beside its
            progress; returns how many recordings it left out.
        table: its name, for messages.

    Raises:
        CorpusError: the folder of a corpus that no row has was given.
        RunError: no row could run; the message lists what they lack.
    """
    refuse_strange(data, rows, table)
    missing = lacking(rows, data)
    if 0 < len(missing) < len(rows):
        tell(f"Not all rows can run:\n{listing(missing, len(rows))}")

    def run_row(name: str, what: str) -> int:
        return run(rows[name], data_of(rows[name], data), folder / name, what=what)

    skipped = attempt(rows, missing, run_row, tell)
    runs = {name: folder / name for name in rows if name not in missing}
    return Reproduction(runs=runs, missing=missing, skipped=skipped)


def attempt(
    rows: Mapping[str, Recipe],
    missing: dict[str, str],
    run: Callable[[str, str], int],
    tell: Callable[[str], None],
) -> int:
    """Run the rows that are not missing; how many recordings they left out.

    A row that fails does not stop the others: it is told, and becomes one of the missing.

    Args:
        missing: why rows cannot run; rows that fail are added.
        run: of a row's name and of what to say beside its progress; returns what it left out.

    Raises:
        RunError: no row could run; the message lists what they lack.
    """
    skipped, left = 0, [name for name in rows if name not in missing]
    for n, name in enumerate(left, 1):
        what = f"{n}/{len(left)} {name}: "
        try:
            skipped += run(name, what)
        except (AffektError, OSError, RuntimeError) as e:  # of torch: a device without memory
            missing[name] = str(e) if isinstance(e, AffektError) else f"{type(e).__name__}: {e}"
            tell(f"{what}{missing[name]}")
    if len(missing) == len(rows):
        raise RunError(f"no row of the table could run:\n{listing(missing, len(rows))}")
    return skipped


def refuse_strange(data: Data, rows: Mapping[str, Recipe], table: str) -> None:
    """Refuse the folder of a corpus that no row has."""
    known = {section.name for recipe in rows.values() for section in recipe.corpus}
    if strange := [name for name in data if name and name not in known]:
        raise CorpusError(
            f"--data {strange[0]}=...: no row of {table} has such a corpus; they have "
            f"{', '.join(sorted(known))}"
        )


def data_of(recipe: Recipe, data: Data) -> dict[str, Path]:
    """The folders of the corpora that a recipe uses: the rows of a table differ."""
    names = {section.name for section in recipe.corpus} | {""}
    return {name: folder for name, folder in data.items() if name in names}


def listing(reasons: Mapping[str, str], rows: int) -> str:
    """Every reason once, with the rows that it holds for; `rows` are in the whole table."""
    named: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        named.setdefault(reason, []).append(name)
    lines = []
    for reason, names in named.items():
        who = f"all {rows} rows" if 1 < rows == len(names) else ", ".join(names)
        lines += [f"- {reason}", f"  for {who}"]
    return "\n".join(lines)
