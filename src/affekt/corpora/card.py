"""The card of a corpus: what it is, where it comes from, and what belongs into it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is published about a corpus; a reader of anybody's own data leaves most of it open."""

    name: str  # in READERS
    title: str
    layout: tuple[str, ...]  # lines that show a folder of it
    licence: str = ""
    source: str = ""  # where to get it
    languages: tuple[str, ...] = ()  # ISO 639-1
    hours: float | None = None
    genders: tuple[int, int] | None = None  # how many women, how many men
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    ids: tuple[str, ...] = ()  # of every utterance, where the naming scheme gives them all
    note: str = ""
    variants: Mapping[str, "Card"] = field(default_factory=dict)  # by the value of an option

    @property
    def emotions(self) -> Mapping[str, int]:
        """How many utterances each emotion has, officially."""
        return self.counts.get("emotion", {})

    @property
    def speakers(self) -> int | None:
        """How many people speak; None where nobody knows."""
        return sum(self.genders) if self.genders else None

    @property
    def utterances(self) -> int | None:
        """How many there are, officially; None where nobody knows."""
        return sum(self.emotions.values()) or None

    def variant(self, options: Mapping[str, object]) -> "Card":
        """The card of what the reader gives with these options, such as channel = "song"."""
        return next(
            (self.variants[str(v)] for v in options.values() if str(v) in self.variants), self
        )
