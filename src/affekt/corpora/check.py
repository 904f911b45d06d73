"""A corpus against its card, and every recording against what can be wrong with one."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affekt import audio
from affekt.audio import RATE, SHORTEST, SILENT
from affekt.corpora.card import Card
from affekt.decoding import decode
from affekt.errors import AudioError
from affekt.labels import order
from affekt.types import Corpus, Utterance

Progress = Callable[[int, int], None]  # utterances done, utterances in all

FULL = 1.0 - 2.0**-14  # full scale of 16 bit, two steps of grace for lossy codecs
RUN = 3  # equal samples at full scale: speech may touch it once, a cut-off peak stays there
CLIPPED = 0.001  # share of samples in such runs: audible distortion, not one loud plosive


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    kind: str  # missing, unreadable, silent, clipped, short, duplicate, rate, channels, count
    what: str
    file: Path | None
    advice: str

    def __str__(self) -> str:
        return f"{self.kind}: {f'{self.file}: ' if self.file else ''}{self.what}; {self.advice}"


@dataclass(frozen=True, slots=True)
class Count:
    """How many utterances one emotion, speaker or session has, and should have."""

    field: str
    value: str
    found: int
    official: int | None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found; `ok` if nothing."""

    corpus: str
    utterances: int
    hours: float
    findings: tuple[Finding, ...]
    counts: tuple[Count, ...]

    @property
    def ok(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.findings

    def lines(self) -> list[str]:
        """A summary, the counts that are published, and the findings, for a person to read."""
        lines = [f"{self.corpus}: {self.utterances} utterances, {self.hours:.2f} h"]
        for c in self.counts:
            of = "" if c.official is None else f" of {c.official}"
            lines.append(f"  {c.field:<8} {c.value:<14} {c.found:>6}{of}")
        return lines + ([str(f) for f in self.findings] or ["nothing is wrong"])

    def __str__(self) -> str:
        return "\n".join(self.lines())


@dataclass(frozen=True, slots=True)
class Recording:
    """What one decoding tells about the stretch of an utterance."""

    rate: int = 0
    channels: int = 0
    seconds: float = 0.0
    peak: float = 0.0
    clipped: float = 0.0  # share of samples
    digest: str = ""
    error: str = ""  # what is wrong; what would do


def inspect(corpus: Corpus, card: Card, progress: Progress | None = None) -> CheckReport:
    """Decode every utterance and compare the corpus with its card."""
    recordings: dict[str, Recording] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # soundfile decodes without the GIL
        for u, recording in zip(corpus, pool.map(_heard, corpus), strict=True):
            recordings[u.id] = recording
            if progress:
                progress(len(recordings), len(corpus))
    counts = tuple(_counts(corpus, card))
    findings = [*_absent(corpus, card), *_miscounted(counts)]
    for u in corpus:
        findings += _faults(u, recordings[u.id])
    sound = [(u, recordings[u.id]) for u in corpus if not recordings[u.id].error]
    findings += [*_odd(sound), *_narrow(sound), *_twice(sound)]
    hours = sum(r.seconds for _, r in sound) / 3600
    return CheckReport(corpus.name, len(corpus), hours, tuple(findings), counts)


def _counts(corpus: Corpus, card: Card) -> Iterator[Count]:
    for field in ("emotion", "speaker", "session"):
        found = Counter(str(getattr(u, field)) for u in corpus if getattr(u, field))
        official = card.counts.get(field)
        names = {*found, *(official or {})}
        # Speakers of an unpublished corpus may be thousands: only what can be compared is listed.
        if official or field == "emotion":
            for name in order(names):
                expected = official.get(name, 0) if official else None
                yield Count(field, name, found[name], expected)


def _miscounted(counts: Iterable[Count]) -> Iterator[Finding]:
    for c in counts:
        if c.official is not None and c.found < c.official:
            yield Finding(
                "count",
                f"{c.field} {c.value} has {c.found} utterances of {c.official}",
                None,
                "copy the missing ones again from the source",
            )
        elif c.official is not None and c.found > c.official:
            yield Finding(
                "count",
                f"{c.field} {c.value} has {c.found} utterances, published are {c.official}",
                None,
                "look for files that are not part of the corpus",
            )


def _absent(corpus: Corpus, card: Card, limit: int = 10) -> Iterator[Finding]:
    present = {u.id for u in corpus}
    missing = [i for i in card.ids if i not in present]
    if missing:
        more = f" and {len(missing) - limit} more" if len(missing) > limit else ""
        what = f"{len(missing)} of {len(card.ids)}: {', '.join(missing[:limit])}{more}"
        yield Finding("missing", what, None, f"get them from {card.source}")


def _faults(u: Utterance, r: Recording) -> Iterator[Finding]:
    """What is wrong with one recording by itself."""
    if not u.audio.is_file():
        yield Finding("missing", f"no file for {u.id}", u.audio, "copy it, or take it out")
    elif r.error:
        what, _, advice = r.error.partition("; ")
        yield Finding("unreadable", what, u.audio, advice)
    elif r.seconds < SHORTEST:
        what = f"{r.seconds:.2f} s, less than {SHORTEST} s"
        yield Finding("short", what, u.audio, "take it out")
    elif r.peak < SILENT:
        yield Finding("silent", f"peak {r.peak:.1g} of full scale", u.audio, "take it out")
    elif r.clipped > CLIPPED:
        what = f"{r.clipped:.1%} of the samples are cut off at full scale"
        yield Finding("clipped", what, u.audio, "record or export it at a lower level")


def _odd(sound: list[tuple[Utterance, Recording]]) -> Iterator[Finding]:
    """Recordings unlike most others: a corpus is made in one way, an odd file is a stranger."""
    for kind, unit in (("rate", " Hz"), ("channels", " channel(s)")):
        values = [getattr(r, kind) for _, r in sound]
        usual = Counter(values).most_common(1)[0][0] if values else None
        for (u, _), found in zip(sound, values, strict=True):
            if found != usual:
                what = f"{found}{unit}, most have {usual}"
                yield Finding(kind, what, u.audio, "see where the file comes from")


def _narrow(sound: list[tuple[Utterance, Recording]]) -> Iterator[Finding]:
    low = Counter(r.rate for _, r in sound if r.rate < RATE)
    for rate, n in sorted(low.items()):
        what = f"{n} of {len(sound)} recordings have {rate} Hz, encoders hear {RATE} Hz"
        advice = f"nothing above {rate // 2} Hz is in them: train and test on the same kind"
        yield Finding("rate", what, None, advice)


def _twice(sound: list[tuple[Utterance, Recording]]) -> Iterator[Finding]:
    """Groups of utterances whose samples are the same."""
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for u, r in sound:
        if r.peak >= SILENT:
            groups[r.digest].append(u)
    for same in groups.values():
        if len(same) > 1:
            labels = order(u.emotion for u in same)
            contradiction = f", labelled {' and '.join(labels)}" if len(labels) > 1 else ""
            what = f"the same samples as {', '.join(u.id for u in same[1:])}{contradiction}"
            yield Finding("duplicate", what, same[0].audio, "keep one, or train sees test")


def _heard(u: Utterance) -> Recording:
    try:
        samples, rate = decode(u.audio, u.start, u.end)
    except AudioError as e:
        return Recording(error=str(e).removeprefix(f"{u.audio}: "))
    return Recording(
        rate=rate,
        channels=samples.shape[1],
        seconds=len(samples) / rate,
        peak=float(np.abs(samples).max()),
        clipped=clipped(samples),
        digest=audio.hash_of(samples),
    )


def clipped(samples: np.ndarray) -> float:
    """The share of samples (S, channels) that sit at full scale in runs of `RUN` or more."""
    full = np.abs(samples) >= FULL
    # A run of RUN starts where all of the next RUN samples are full; it then covers them.
    starts = full[: len(full) - RUN + 1].copy()
    for shift in range(1, RUN):
        starts &= full[shift : len(full) - RUN + 1 + shift]
    within = np.zeros_like(full)
    for shift in range(RUN):
        within[shift : len(full) - RUN + 1 + shift] |= starts
    return float(within.any(axis=1).mean())
