"""The plain data that travels through affekt. Seconds are floats; scores lie in [0, 1]."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from affekt.errors import CorpusError, ProtocolError

Sharing = Literal["none", "dev", "all"]
WHOLE = "whole"  # the fold of a model that is to be used: it leaves nothing to test
GENDERS = ("female", "male")


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One stretch of one recording, said by one speaker and judged as one emotion."""

    id: str  # unique within its corpus
    audio: Path
    emotion: str  # a canonical label, see affekt.labels
    corpus: str
    start: float = 0.0  # seconds
    end: float | None = None  # seconds; None: to the end of the file
    speaker: str | None = None  # unique within its corpus
    gender: Literal["female", "male"] | None = None
    session: str | None = None
    language: str | None = None  # ISO 639-1
    text: str | None = None  # what is said
    part: Literal["train", "dev", "test"] | None = None  # of the corpus's official split

    @property
    def key(self) -> str:
        """The utterance among all corpora: 'emodb:03a01Fa'."""
        return f"{self.corpus}:{self.id}"

    @property
    def talker(self) -> str | None:
        """The speaker among all corpora: 'emodb:03'; None where nobody knows."""
        return None if self.speaker is None else f"{self.corpus}:{self.speaker}"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Ordered utterances of one or several corpora."""

    name: str
    utterances: tuple[Utterance, ...]

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def keep(self, wanted: Callable[[Utterance], bool]) -> "Corpus":
        """The corpus of those utterances for which `wanted` is true."""
        return replace(self, utterances=tuple(u for u in self.utterances if wanted(u)))

    def counts(self) -> dict[str, int]:
        """How many utterances each emotion has, in the order of the labels' names."""
        emotions = [u.emotion for u in self.utterances]
        return {name: emotions.count(name) for name in sorted(set(emotions))}

    def write(self, path: Path) -> None:
        """Write one JSON object per line; what is not known is left out."""
        rows = ({k: v for k, v in asdict(u).items() if v is not None} for u in self.utterances)
        lines = (json.dumps(r, default=str, ensure_ascii=False) + "\n" for r in rows)
        path.write_text("".join(lines), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Corpus":
        """The corpus that `write` wrote; it is called after the file."""
        known = {f.name for f in fields(Utterance)}
        utterances = []
        for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            row = json.loads(line)
            if set(row) - known:
                raise CorpusError(f"{path}, line {n}: unknown field(s) {sorted(set(row) - known)}")
            utterances.append(Utterance(**row | {"audio": Path(row["audio"])}))
        return cls(path.stem, tuple(utterances))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One division into train, dev and test; refuses a shared speaker or utterance.

    `sharing` says what the protocol's own name admits: 'dev' lets train and dev share speakers,
    'all' lets all three. Only the fold called `WHOLE` has nothing to test.
    """

    name: str
    train: tuple[Utterance, ...]
    dev: tuple[Utterance, ...] = ()
    test: tuple[Utterance, ...]
    sharing: Sharing = "none"

    def __post_init__(self) -> None:
        for a, b in (("train", "test"), ("dev", "test"), ("train", "dev")):
            self._refuse_overlap(a, b)
        for side in ("train",) if self.name == WHOLE else ("train", "test"):
            if not getattr(self, side):
                raise ProtocolError(f"fold {self.name}: no utterance in {side}")

    def _refuse_overlap(self, a: str, b: str) -> None:
        left, right = getattr(self, a), getattr(self, b)
        both = {u.key for u in left} & {u.key for u in right}
        if both:
            raise ProtocolError(f"fold {self.name}: {_some(both)} in both {a} and {b}")
        if self.sharing == "all" or (self.sharing == "dev" and (a, b) == ("train", "dev")):
            return
        both = {u.talker for u in left} & {u.talker for u in right}
        if both:
            raise ProtocolError(
                f"fold {self.name}: speaker(s) {_some(t or 'unknown' for t in both)} "
                f"in both {a} and {b}; use a speaker-disjoint protocol"
            )


def _some(names: Iterable[str], limit: int = 5) -> str:
    names = sorted(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if names[limit:] else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One test utterance, judged."""

    id: str  # Utterance.id
    corpus: str
    fold: str
    seed: int
    speaker: str | None  # Utterance.talker, unique over all corpora
    gender: str | None
    language: str | None
    truth: str
    label: str
    probabilities: dict[str, float]  # one per class, rounded to 6 digits; the order of the classes
    gender_label: str | None = None  # what a model that was trained on gender too said of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A score with its doubt."""

    value: float
    low: float
    high: float
    n: int  # utterances


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of a recording, judged."""

    start: float  # seconds
    end: float  # seconds
    label: str
    score: float  # of the class with the highest score, also where the label is "uncertain"
    scores: dict[str, float]  # one per class; they sum up to 1 if they are probabilities
