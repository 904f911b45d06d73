"""Emotions by one name each: canonical labels, their aliases, and the maps of the papers.

A corpus keeps the classes that it was published with; which of them are merged or dropped is the
business of a map, and `relabel` reports what a map did.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from affekt.errors import CorpusError, choose, nearest
from affekt.types import Corpus

# Canonical name: other spellings, the codes of IEMOCAP and CREMA-D, German, Chinese. Codes of one
# letter mean different things in different corpora, so they stay in the corpus's own reader.
ALIASES: dict[str, tuple[str, ...]] = {
    "angry": ("anger", "ang", "wut", "ärger", "zorn", "生气", "愤怒"),
    "happy": ("happiness", "hap", "joy", "joyful", "freude", "高兴", "快乐", "开心"),
    "neutral": ("neu", "neutrality", "neutral state", "中立", "中性"),
    "sad": ("sadness", "trauer", "traurigkeit", "难过", "伤心", "悲伤"),
    "fearful": ("fear", "fea", "anxiety", "anxious", "scared", "angst", "恐惧", "害怕"),
    "disgusted": ("disgust", "dis", "ekel", "厌恶"),
    "surprised": (
        *("surprise", "suprise", "sur", "sup", "pleasant surprise", "überraschung"),
        *("惊讶", "吃惊", "惊喜", "惊奇"),
    ),
    "calm": ("calmness", "ruhe", "平静"),
    "bored": ("boredom", "bor", "langeweile", "无聊"),
    "contemptuous": ("contempt", "con", "verachtung", "轻蔑"),
    "excited": ("excitement", "exc"),
    "frustrated": ("frustration", "fru"),
    "other": ("oth", "其他"),
    "unknown": ("unk", "xxx", "no agreement", "emo unknown", "未知"),
}
CANONICAL = tuple(ALIASES)
_NAMES = {a: name for name, others in ALIASES.items() for a in (name, *others)}

_FOUR = {name: name for name in ("angry", "happy", "neutral", "sad")}
_SIX = _FOUR | {"fearful": "fearful", "surprised": "surprised"}

# What a map does not name is dropped; the empty map drops nothing.
MAPS: dict[str, dict[str, str]] = {
    # The IEMOCAP convention of arXiv 2211.01756, 2306.07848 and 2411.19803 (5531 utterances);
    # on EmoDB, RAVDESS and ESD the four classes that arXiv 2311.13678 shares between them.
    "4-class": _FOUR | {"excited": "happy"},
    "4-class-without-excited": _FOUR,
    # The union of IEMOCAP's four and CASIA's six in arXiv 2411.19803.
    "6-class": _SIX | {"excited": "happy"},
    "casia-6": _SIX,
    # The six of emotion recognition in conversations: excited is a class of its own.
    "iemocap-6": _FOUR | {"excited": "excited", "frustrated": "frustrated"},
    "all": {},
}


def canonical(name: str, *, strict: bool = True, where: str = "") -> str:
    """The canonical label that `name` stands for.

    A name in two languages, '生气/angry', is one label if both halves agree.

    >>> canonical("Anger"), canonical("exc"), canonical("生气/angry")
    ('angry', 'excited', 'angry')
    >>> canonical("Annoyed", strict=False)
    'annoyed'

    Args:
        name: in any case, with blanks, hyphens or underscores between its words.
        strict: raise on a label that is not known; otherwise it is a class of its own.
        where: it was found, for the error.

    Raises:
        CorpusError: no label at all, a contradictory one, or one that is not known.
    """
    plain = " ".join(name.casefold().strip(" <|>\t\n").replace("_", " ").replace("-", " ").split())
    at = f"{where}: " if where else ""
    if not plain:
        raise CorpusError(f"{at}emotion '{name}' is empty; leave the utterance out or label it")
    if plain in _NAMES:
        return _NAMES[plain]
    halves = {_NAMES[h.strip()] for h in plain.split("/") if h.strip() in _NAMES}
    if len(halves) == 1:
        return halves.pop()
    if halves:
        raise CorpusError(f"{at}emotion '{name}' means {' and '.join(sorted(halves))}; choose one")
    if not strict:
        return name.strip().casefold()
    known = ", ".join(CANONICAL)
    raise CorpusError(
        f"{at}emotion '{name}' is not known; choose from {known}.{nearest(plain, _NAMES)}"
    )


def order(labels: Iterable[str]) -> list[str]:
    """The classes in the order used for every table and column: canonical first, then by name.

    >>> order(["sad", "annoyed", "angry", "sad"])
    ['angry', 'sad', 'annoyed']
    """
    present = set(labels)
    return [n for n in CANONICAL if n in present] + sorted(present - set(CANONICAL))


@dataclass(frozen=True, slots=True)
class MapReport:
    """What a map did to a corpus: (label before, label after or None if dropped, utterances)."""

    corpus: str
    labels: str  # the map's name
    rows: tuple[tuple[str, str | None, int], ...]

    @property
    def kept(self) -> int:
        """Utterances that remain, merged ones included."""
        return sum(n for _, after, n in self.rows if after)

    @property
    def dropped(self) -> int:
        """Utterances that are gone."""
        return sum(n for _, after, n in self.rows if not after)

    def lines(self) -> list[str]:
        """One line in all and one per original label, for a person to read."""
        fate = {
            before: "dropped"
            if not after
            else "kept"
            if after == before
            else f"merged into {after}"
            for before, after, _ in self.rows
        }
        total = f"{self.corpus}, labels '{self.labels}': {self.kept} kept, {self.dropped} dropped"
        return [total] + [f"  {before:<12} {n:>6}  {fate[before]}" for before, _, n in self.rows]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def relabel(corpus: Corpus, labels: str | Mapping[str, str]) -> tuple[Corpus, MapReport]:
    """The corpus with its emotions mapped, and the report of what was merged and dropped.

    Args:
        corpus: as its reader gave it.
        labels: a name in MAPS, or a map of one's own; what it does not name is dropped.

    Raises:
        CorpusError: the map is not known, or drops everything.
    """
    named = isinstance(labels, str)
    given = choose(MAPS, labels, "label map", CorpusError) if named else labels
    table = {canonical(k, strict=False): canonical(v, strict=False) for k, v in given.items()}
    if named and not table:
        table = {name: name for name in corpus.counts()}
    counts = corpus.counts()
    rows = tuple((name, table.get(name), counts[name]) for name in order(counts))
    report = MapReport(corpus.name, labels if named else "custom", rows)
    if not report.kept:
        raise CorpusError(
            f"{corpus.name}: the label map '{report.labels}' drops everything; it knows "
            f"{', '.join(table) or 'nothing'}, the corpus has {', '.join(order(counts)) or 'none'}"
        )
    utterances = tuple(replace(u, emotion=table[u.emotion]) for u in corpus if u.emotion in table)
    return replace(corpus, utterances=utterances), report
