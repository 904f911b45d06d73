"""What the sides of a division have in common, and what they should not."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from affekt.errors import AudioError
from affekt.protocols.grouping import natural
from affekt.protocols.splits import Split
from affekt.types import Fold, Utterance

PAIRS = (("train", "dev"), ("train", "test"), ("dev", "test"))
LEAKS = ("utterances", "speakers", "audio")  # when shared with the test side
SHOWN = 3  # examples in a line

Name = Callable[[Utterance], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What two sides of a fold have in common."""

    fold: str
    what: str  # utterances, speakers, sessions, sentences or audio
    sides: tuple[str, str]
    shared: tuple[str, ...]  # keys, names or texts; for audio 'key = key'
    touched: int  # utterances of the second side that carry one of them
    of: int  # utterances of the second side

    @property
    def severity(self) -> Literal["leak", "note"]:
        """A leak makes the test score doubtful; a note is for the reader to judge."""
        leaks = self.what in LEAKS and "test" in self.sides
        return "leak" if leaks or self.what == "utterances" else "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What an audit found."""

    folds: tuple[str, ...]
    utterances: int  # on any side of any fold
    overlaps: tuple[Overlap, ...]
    tested_again: tuple[str, ...]  # keys of utterances tested by several folds
    never_tested: tuple[str, ...]
    unjudged: Mapping[str, int]  # how many utterances lack a speaker, a text, readable audio ...

    @property
    def ok(self) -> bool:
        """No leak was found; what `unjudged` counts was not looked at."""
        return all(o.severity == "note" for o in self.overlaps)

    def lines(self) -> list[str]:
        """The report for a person: one line per finding, leaks first."""
        found: dict[tuple[str, str, tuple[str, str]], list[Overlap]] = {}
        for o in self.overlaps:
            found.setdefault((o.severity, o.what, o.sides), []).append(o)
        lines = [f"{len(self.folds)} fold(s), {self.utterances} utterance(s)"]
        for (severity, what, sides), overlaps in sorted(found.items(), key=lambda item: item[0]):
            worst = max(overlaps, key=lambda o: (o.touched, len(o.shared)))
            lines.append(
                f"{severity}: {what} in both {sides[0]} and {sides[1]}, "
                f"{len(overlaps)} of {len(self.folds)} fold(s); most in fold {worst.fold}: "
                f"{_some(worst.shared)}, {worst.touched} of {worst.of} {sides[1]} utterance(s)"
            )
        if self.tested_again:
            lines.append(f"note: tested by several folds: {_some(self.tested_again)}")
        if self.never_tested:
            lines.append(f"note: tested by no fold: {_some(self.never_tested)}")
        lines += [f"not judged: {what} of {n} utterance(s)" for what, n in self.unjudged.items()]
        doubt = "leaks found: the scores do not hold for new speakers or recordings"
        return [*lines, "no leak found" if self.ok else doubt]


def audit(folds: Sequence[Fold | Split], *, audio: bool = True) -> AuditReport:
    """What train, dev and test of each fold have in common.

    Args:
        folds: of a protocol, or of others' split files.
        audio: also decode every recording once, and compare what is heard.
    """
    utterances = {u.key: u for f in folds for side in (f.train, f.dev, f.test) for u in side}
    heard = _contents(utterances.values()) if audio else {}
    names: dict[str, Name] = {
        "utterances": lambda u: u.key,
        "speakers": lambda u: u.talker,
        "sessions": lambda u: None if u.session is None else f"{u.corpus}:{u.session}",
        "sentences": lambda u: _sentence(u.text),
    }
    if audio:
        names["audio"] = lambda u: heard[u.key]
    tested = Counter(u.key for f in folds for u in f.test)
    lacking = {
        what: sum(name(u) is None for u in utterances.values()) for what, name in names.items()
    }
    return AuditReport(
        folds=tuple(f.name for f in folds),
        utterances=len(utterances),
        overlaps=tuple(
            found
            for fold in folds
            for what, name in names.items()
            for sides in PAIRS
            if (found := _overlap(fold, what, name, sides))
        ),
        tested_again=tuple(k for k in utterances if tested[k] > 1),
        never_tested=tuple(k for k in utterances if k not in tested),
        unjudged={what: count for what, count in lacking.items() if count},
    )


def _overlap(fold: Fold | Split, what: str, name: Name, sides: tuple[str, str]) -> Overlap | None:
    left: Sequence[Utterance] = getattr(fold, sides[0])
    right: Sequence[Utterance] = getattr(fold, sides[1])
    known = {name(u): u for u in left}
    # The same utterance on both sides is one finding, not two.
    same = {u.key for u in left} if what == "audio" else set()
    touched = [u for u in right if name(u) is not None and name(u) in known and u.key not in same]
    if not touched:
        return None
    shared = {_shown(what, known[name(u)], u) or str(name(u)) for u in touched}
    return Overlap(
        fold=fold.name,
        what=what,
        sides=sides,
        shared=tuple(sorted(shared, key=natural)),
        touched=len(touched),
        of=len(right),
    )


def _shown(what: str, left: Utterance, right: Utterance) -> str | None:
    """What a person knows a shared recording or sentence by."""
    if what == "audio":
        return f"{left.key} = {right.key}"
    return left.text if what == "sentences" else None


def _contents(utterances: Iterable[Utterance]) -> dict[str, str | None]:
    """A key of what is heard in each utterance; None where its audio cannot be read."""
    from affekt.audio import content

    def judge(u: Utterance) -> str | None:
        try:
            return content(u)
        except AudioError:
            return None

    utterances = list(utterances)
    with ThreadPoolExecutor() as pool:
        keys = (u.key for u in utterances)
        return dict(zip(keys, pool.map(judge, utterances), strict=True))


def _sentence(text: str | None) -> str | None:
    """Letters and digits alone, in lower case; None where there are none."""
    # Marks belong to the letters of many scripts.
    kept = [c for c in (text or "").casefold() if unicodedata.category(c)[0] in "LMN"]
    return "".join(kept) or None


def _some(names: Sequence[str]) -> str:
    more = "" if len(names) <= SHOWN else ", ..."
    return f"{len(names)} ({', '.join(names[:SHOWN])}{more})"
