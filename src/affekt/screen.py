"""What the command line shows: tables of runs, of paired tests and of corpora, and progress."""

import logging
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from affekt.cache.stores import Store
    from affekt.corpora import Card
    from affekt.evaluation.compare import Comparison
    from affekt.evaluation.similarity import Curves
    from affekt.inference.parity import Difference
    from affekt.pretraining.run import Result
    from affekt.pretraining.speech import Progress
    from affekt.retrieval import Likeness, Match

# Wide enough for a table where nobody looks, as in a file.
console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
OFTEN = 30.0  # seconds between two lines about the same, where there is no terminal
FEW_FOLDS = 6  # so many have room beside each other
LEGEND = (
    "UA = UAR = recall averaged over the classes; WA = accuracy; [low, high] = 95 % interval, "
    "bootstrap over speakers; over folds = mean (standard deviation)"
)


def log() -> None:
    """What affekt logs goes to standard error."""
    handler: logging.Handler = logging.StreamHandler()  # not wrapped: a file is searched for paths
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    if sys.stderr.isatty():
        handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False)
    ours = logging.getLogger("affekt")
    ours.handlers = [handler]
    ours.setLevel(logging.INFO)


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
        begun, told = list[str](), [0.0]

        def line(now: str, done: int, of: int, words: str = "", /) -> None:
            if begun[-1:] != [now] or time.monotonic() - told[0] > OFTEN:
                begun.append(now)
                told[0] = time.monotonic()
                tell(f"{what}{now} ({done}/{of}){words and f': {words}'}")

        yield line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(f"{what}reading")

        def update(now: str, done: int, of: int, words: str = "", /) -> None:
            now = f"{now}: {words}" if words else now
            bar.update(task, description=what + now, completed=done, total=of)

        yield update


def _table(*columns: str) -> Table:
    """Open at the sides; a name is never cut."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for n, name in enumerate(columns):
        table.add_column(name, no_wrap=True, justify="left" if n == 0 else "right")
    return table


def runs(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per row of `affekt.evaluation.table`: scores with intervals, expected ones below."""
    columns = ["UA", "WA", "macro-F1", "UA over\nfolds", "n", "folds\nx seeds"]
    table = _table(_head(rows), *columns)
    for row in rows:
        scores = row["scores"]
        table.add_row(
            escape(row["label"]),
            *(_interval(scores[m]) for m in ("UA", "WA")),
            f"{scores['macro-F1']['value']:.3f}",
            _spread(scores["UA"]["fold_mean"], scores["UA"]["fold_deviation"]),
            str(row["n"]),
            f"{row['folds']} x {row['seeds']}",
        )
    console.print(table)
    console.print(LEGEND, style="dim", markup=False)
    names = list(dict.fromkeys(fold for row in rows for fold in row["by_fold"]))
    if 1 < len(names) <= FEW_FOLDS:
        table = _table("UA by fold", *names)
        for row in rows:
            cells = (row["by_fold"].get(fold) for fold in names)
            table.add_row(
                escape(row["label"]), *("" if ua is None else f"{ua:.3f}" for ua in cells)
            )
        console.print(table)
    _by_corpus(rows)
    _expected([row for row in rows if row["beside"]])


def _by_corpus(rows: Sequence[Mapping[str, Any]]) -> None:
    """UA on each corpus, of a single run also WA; what was not trained on has a mark."""
    from affekt.evaluation import by_corpus

    if not (names := by_corpus.languages(rows)):
        return
    lines = [(escape(row["label"]), "UA", row["by_corpus"]) for row in rows]
    if len(rows) == 1:
        lines = [(metric, metric, rows[0]["by_corpus"]) for metric in ("UA", "WA")]
    head = "by corpus" if len(rows) == 1 else "UA by corpus"
    spoken = (f"{name} ({language})" if language else name for name, language in names.items())
    table = _table(head, *map(escape, spoken))
    for first, metric, found in lines:
        cells = [found.get(name) for name in names]
        table.add_row(
            first, *(_interval(c[metric]) + _mark(c["training"]) if c else "" for c in cells)
        )
    console.print(table)
    if said := [f"{_mark(words).strip()} {words}" for words in by_corpus.unlike(rows)]:
        console.print("; ".join(said), style="dim", markup=False)


def _mark(training: str) -> str:
    """As wide for every corpus, so that scores stand below each other."""
    return {"trained on": "  ", "not trained on": " *"}.get(training, " +")


def _expected(rows: Sequence[Mapping[str, Any]]) -> None:
    """Expected scores, ours, and their difference."""
    if not rows:
        return
    table = _table(_head(rows), "score", "expected", "ours", "difference", "95 % interval")
    for row in rows:
        for b in row["beside"]:
            table.add_row(
                escape(row["label"]),
                b["said"],
                _spread(b["expected"], b["expected_deviation"]),
                _spread(b["ours"], b["ours_deviation"]),
                f"{b['difference']:+.3f}",
                _interval(row["scores"][b["metric"]]).partition(" ")[2],
            )
    console.print(table)
    sources = "; ".join(dict.fromkeys(row["source"] for row in rows if row["source"]))
    console.print(f"Expected: {sources or 'as the recipes say'}.", style="dim", markup=False)


def _head(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the names in the first column are."""
    return ",\n".join(rows[0]["varied"]) or "run"


def _interval(value: Mapping[str, Any]) -> str:
    return f"{value['value']:.3f} \\[{value['low']:.3f}, {value['high']:.3f}]"


def _spread(mean: int | float, deviation: int | float | None) -> str:
    """A score, with its deviation over folds where there is one."""
    known = deviation is not None and math.isfinite(deviation)
    return f"{mean:.3f} ({deviation:.3f})" if known else f"{mean:.3f}"


def tests(pairs: Sequence["Comparison"], rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per pair of runs over the same utterances; of many pairs the clearest."""
    if not pairs:
        say("No two runs judged the same utterances, so that none can be tested in pairs.")
        return
    tests_by_corpus({"": pairs}, rows)


def tests_by_corpus(
    found: Mapping[str, Sequence["Comparison"]], rows: Sequence[Mapping[str, Any]]
) -> None:
    """The same on each corpus alone."""
    from affekt.evaluation.compare import clearest

    label = {row["name"]: escape(row["label"]) for row in rows}
    for corpus, pairs in found.items():
        first = escape(f"{corpus}: A") if corpus else "A"
        table = _table(first, "B", "UA of A - UA of B", "p", "p (Holm)")
        for c in clearest(pairs):
            span = f"{c.difference:+.3f} \\[{c.low:+.3f}, {c.high:+.3f}]"
            table.add_row(label[c.a], label[c.b], span, f"{c.p:.4f}", f"{c.adjusted:.4f}")
        console.print(table)
    every = [c for pairs in found.values() for c in pairs]
    units = " or ".join(dict.fromkeys(f"{c.clusters} {c.unit}s" for c in every))
    counts = [(len(clearest(pairs)), len(pairs)) for pairs in found.values()]
    fewer = [f"The {n} pairs of {of} with the smallest p. " for n, of in counts if n < of]
    console.print(
        f"{''.join(fewer[:1])}Paired permutation test over {units}, two-sided; no p can be under "
        f"{min(c.smallest for c in every):.2g} with so few. Holm: corrected for the number of "
        "pairs.",
        style="dim",
        markup=False,
    )


def words(found: Sequence[Sequence["Likeness"]], *, template: str, model: str) -> None:
    """One row per word, the likest of each recording first; its name in the first of its rows.

    Args:
        found: by recording.
        template: that the words were put into.
        model: the place of the model that was asked.
    """
    alone = len(found[0]) == 1
    table = _table("recording", "word", *([] if alone else ["share"]), "cosine")
    for column in table.columns[:2]:
        column.no_wrap, column.overflow, column.justify = False, "fold", "left"
    for row in found:
        for n, one in enumerate(row):
            share = [] if one.share is None else [f"{one.share:.3f}"]
            name = "" if n else _plain(one.clip)
            table.add_row(name, _plain(one.word), *share, f"{one.cosine:+.3f}")
    console.print(table)
    say(f"Sentence: {_printable(template)}; model: {_printable(model)}")
    if not alone:
        say("share: softmax of the scaled cosines over these words: how like, not how probable")


def clips(found: Sequence["Match"], *, model: str) -> None:
    """One row per recording; `model` is the place of the one that was asked."""
    table = _table("recording", "cosine")
    table.columns[0].no_wrap, table.columns[0].overflow = False, "fold"
    for row in found:
        table.add_row(_plain(row.clip), f"{row.cosine:+.3f}")
    console.print(table)
    say(f"Model: {_printable(model)}")
    say("cosine: -1 to 1; compare within this list only")


def _plain(name: object) -> str:
    """For a cell of a table."""
    return escape(_printable(name))


def _printable(name: object) -> str:
    """With escapes in place of characters that would steer the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))


def parity(found: Sequence["Difference"]) -> None:
    """One row per graph and set of signals: how far it is from PyTorch."""
    table = _table(
        "graph", "on", "n", "largest difference of logits", "of the largest", "same label"
    )
    for one in found:
        far = (f"{one.largest:.2g}", f"{one.relative:.2g}")
        table.add_row(one.precision, one.signals, str(one.n), *far, f"{one.same_label:.1%}")
    console.print(table)


def similarity(curves: Sequence["Curves"]) -> None:
    """Positive and negative similarity per layer of every encoder, on both sides."""
    from affekt.evaluation.similarity import NEGATIVE, POSITIVE, SIDES, rows

    table = _table("encoder", "layer", *(f"{side} {kind}" for side in SIDES for kind in "+-Δ"))
    for row in rows(curves):
        kinds = {POSITIVE: ".3f", NEGATIVE: ".3f", "difference": "+.3f"}
        cells = [format(row[side][kind], how) for side in SIDES for kind, how in kinds.items()]
        table.add_row(escape(row["encoder"]), str(row["layer"]), *cells)
    console.print(table)
    say("Cosine similarity, + of pairs of one emotion, - of two; Δ = + less -; mean over folds")


def pretrained(result: "Result") -> None:
    """What a pre-training came to, and how to use it."""
    say(f"loss {result.loss:.3f} after {result.steps} steps, the mean of the last tenth of them")
    say(f"{result.hours:.1f} h of audio heard in {result.seconds / 60:.0f} min")
    say(f"{result.parameters:,} parameters in {result.model}")
    say(f'In a recipe:  encoder = {{ name = "speech", model = "{result.model}" }}')
    say(f"On the command line:  affekt run RECIPE --encoder {result.model}")
    for reason in result.left_out:
        tell(f"left out: {reason}")


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


def cache(stores: Sequence["Store"], functionals: int, *, folder: Path) -> None:
    """One row per store of frames; then what openSMILE's functionals take (bytes), and all."""
    if not stores and not functionals:
        say(f"Nothing is kept in {folder}.")
        return
    table = _table("frames", "entries", "size", "last used", "storage", "of")
    for store in stores:
        what = next(iter(store.about.values()), "")
        days = (datetime.now(UTC) - store.used).days
        table.add_row(
            escape(store.name),
            str(store.entries),
            decimal(store.size),
            f"{days} day{'s' if days > 1 else ''} ago" if days > 0 else "today",
            str(store.about.get("storage", "")),
            escape(str(what)),
        )
    if stores:
        console.print(table)
    say(f"functionals of openSMILE: {decimal(functionals)}")
    say(f"together: {decimal(functionals + sum(s.size for s in stores))} in {folder}")


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
