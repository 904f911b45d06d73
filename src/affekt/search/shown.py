"""What the command line shows of a search."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from affekt import screen
from affekt.search.pictures import spelt
from affekt.search.report import tried


def show(found: Mapping[str, Any], folder: Path) -> None:
    """The best values beside the recipe's own, and where the rest stands."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    shares = found["importance"]
    columns = ["key", "best", "recipe's own", "searched", *(["importance"] if shares else [])]
    for n, name in enumerate(columns):
        table.add_column(name, no_wrap=True, justify="left" if n == 0 else "right")
    for key, of in found["keys"].items():
        words = (key, spelt(of["to"]), spelt(of["from"]), tried(of["tried"]))
        table.add_row(*map(escape, words), *([f"{shares[key]:.0%}"] if shares else []))
    screen.console.print(table)
    best, trials = found["best"], found["trials"]
    screen.say(f"{found['score']} {best['score']:.3f} in trial {best['trial']} of {len(trials)}")
    for note in found["notes"]:
        screen.console.print(note, style="dim", markup=False)
    if failed := [t for t in trials if t["state"] == "failed"]:
        screen.say(f"{len(failed)} trials failed; the report says why.")
    screen.say(f"To test it: affekt run {folder / 'best.toml'}")
    screen.say(f"Report: {folder / 'search.html'}")
