"""What the command line shows: tables of runs, of paired tests and of corpora, and progress."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from affekt.corpora import Card
    from affekt.evaluation.compare import Comparison
    from affekt.experiment import Progress

# Wide enough for a table where nobody looks, as in a file.
console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
FEW_FOLDS = 6  # so many have room beside each other
LEGEND = (
    "UA = UAR = recall averaged over the classes; WA = accuracy; [low, high] = 95 % interval, "
    "bootstrap over speakers; over folds = mean (standard deviation)"
)


def say(text: str) -> None:
    """One message, as it is."""
    console.print(text, markup=False, soft_wrap=True)


def tell(text: str) -> None:
    """A line on standard error, beside the results."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


@contextmanager
def progress(what: str = "") -> "Iterator[Progress]":
    """A bar on the terminal; elsewhere a line on standard error whenever something new begins."""
    if not console.is_terminal:
        begun: list[str] = []

        def line(now: str, done: int, of: int) -> None:
            if begun[-1:] != [now]:
                begun.append(now)
                tell(f"{what}{now} ({done}/{of})")

        yield line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(f"{what}reading")
        yield lambda now, done, of: bar.update(
            task, description=what + now, completed=done, total=of
        )


def _table(*columns: str) -> Table:
    """Open at the sides; a name is never cut."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for n, name in enumerate(columns):
        table.add_column(name, no_wrap=True, justify="left" if n == 0 else "right")
    return table


def runs(folders: Mapping[str, Path], expected: Mapping[str, Mapping[str, float]]) -> None:
    """One row per run: scores with intervals, and what was expected if that is known."""
    from affekt.evaluation.predictions import read
    from affekt.evaluation.table import row

    found = {name: row(name, read(run), run, folder=run) for name, run in folders.items()}
    told = any(expected.values())
    columns = ["UA", "WA", "macro-F1", "UA over\nfolds", "n", "folds\nx seeds"]
    table = _table("run", *columns, *(["expected"] if told else []))
    for name, row_of in found.items():
        scores = row_of["scores"]
        table.add_row(
            escape(name),
            *(_interval(scores[m]) for m in ("UA", "WA")),
            f"{scores['macro-F1']['value']:.3f}",
            f"{scores['UA']['fold_mean']:.3f} ({scores['UA']['fold_deviation']:.3f})",
            str(row_of["n"]),
            f"{row_of['folds']} x {row_of['seeds']}",
            *([_expected(expected.get(name, {}))] if told else []),
        )
    console.print(table)
    console.print(LEGEND, style="dim", markup=False)
    names = list(dict.fromkeys(fold for row_of in found.values() for fold in row_of["by_fold"]))
    if len(names) <= FEW_FOLDS:
        table = _table("UA by fold", *names)
        for name, row_of in found.items():
            cells = (row_of["by_fold"].get(fold) for fold in names)
            table.add_row(escape(name), *("" if ua is None else f"{ua:.3f}" for ua in cells))
        console.print(table)


def _interval(value: Mapping[str, Any]) -> str:
    return f"{value['value']:.3f} \\[{value['low']:.3f}, {value['high']:.3f}]"


def _expected(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())


def tests(pairs: Sequence["Comparison"]) -> None:
    """One row per pair of runs over the same utterances."""
    if not pairs:
        say("No two runs judged the same utterances, so that none can be tested in pairs.")
        return
    table = _table("A", "B", "UA of A - UA of B", "p", "p (Holm)")
    for c in pairs:
        span = f"{c.difference:+.3f} \\[{c.low:+.3f}, {c.high:+.3f}]"
        table.add_row(escape(c.a), escape(c.b), span, f"{c.p:.4f}", f"{c.adjusted:.4f}")
    console.print(table)
    units = " or ".join(dict.fromkeys(f"{c.clusters} {c.unit}s" for c in pairs))
    least = min(c.smallest for c in pairs)
    console.print(
        f"Paired permutation test over {units}, two-sided; no p can be under {least:.2g} with so "
        "few. Holm: corrected for the number of pairs.",
        style="dim",
        markup=False,
    )


def corpora(cards: list["Card"]) -> None:
    """One row per corpus."""
    table = _table("name", "language", "classes", "speakers", "files", "hours", "licence")
    for c in cards:
        known = (c.speakers, c.utterances, c.hours)
        table.add_row(
            c.name,
            ", ".join(c.languages),
            str(len(c.emotions) or ""),
            *("" if value is None else f"{value:g}" for value in known),
            c.licence,
        )
    console.print(table)


def corpus(card: "Card") -> None:
    """One corpus in full."""
    said = {
        "language": ", ".join(card.languages),
        "utterances": card.utterances,
        "speakers": card.speakers,
        "hours": card.hours,
        "classes": ", ".join(f"{name} {n}" for name, n in card.emotions.items()),
        "licence": card.licence,
        "where to get it": card.source,
        "note": card.note,
    }
    say(f"{card.name}: {card.title}")
    for name, value in said.items():
        if value:
            say(f"  {name}: {value}")
    say("  layout:")
    for line in card.layout:
        say(f"    {line}")
