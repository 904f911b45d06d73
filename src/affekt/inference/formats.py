"""What was said of recordings, written one after the other as they are done.

Every format is a function from recordings to pieces of text, none of which waits for the next
recording: `json` and `jsonl` with all that is known, `csv` and `audformat` (a segmented table) a
row per segment, `rttm` a line per segment, `textgrid` for one recording in Praat. Times are in
seconds, to the microsecond.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from affekt import disk
from affekt.errors import AffektError
from affekt.inference.timeline import Judged
from affekt.types import Segment

DIGITS = 6  # of a second, and of a score
Writer = Callable[[Iterable[Judged], Sequence[str]], Iterator[str]]


def as_json(recordings: Iterable[Judged], labels: Sequence[str]) -> Iterator[str]:
    """One list with an object per recording."""
    lead = "[\n"
    for one in recordings:
        yield lead + json.dumps(_object(one), ensure_ascii=False)
        lead = ",\n"
    yield "[]\n" if lead == "[\n" else "\n]\n"


def as_jsonl(recordings: Iterable[Judged], labels: Sequence[str]) -> Iterator[str]:
    """An object per line and recording."""
    for one in recordings:
        yield json.dumps(_object(one), ensure_ascii=False) + "\n"


def as_csv(recordings: Iterable[Judged], labels: Sequence[str]) -> Iterator[str]:
    """file, start, end, label, score, and a column for each class."""
    lead = _row(["file", "start", "end", "label", "score", *labels])
    for one in recordings:
        yield lead + "".join(
            _row([one.name, _number(s.start), _number(s.end), *_judgement(s, labels)])
            for s in one.segments
        )
        lead = ""
    yield lead


def as_audformat(recordings: Iterable[Judged], labels: Sequence[str]) -> Iterator[str]:
    """The same as a segmented table of audformat: times as it writes them, the label as emotion."""
    lead = _row(["file", "start", "end", "emotion", "score", *labels])
    for one in recordings:
        yield lead + "".join(
            _row([one.name, _clock(s.start), _clock(s.end), *_judgement(s, labels)])
            for s in one.segments
        )
        lead = ""
    yield lead


def as_rttm(recordings: Iterable[Judged], labels: Sequence[str]) -> Iterator[str]:
    """Lines as of diarisation, with the emotion in the speaker's place and its score behind it.

    A recording has its name without the ending; blanks in it are underscores.
    """
    for one in recordings:
        name = _word(str(Path(one.name).with_suffix("")))
        yield "".join(
            f"SPEAKER {name} 1 {_number(s.start)} {_number(s.end - s.start)} <NA> <NA> "
            f"{_word(s.label)} {_number(s.score)} <NA>\n"
            for s in one.segments
        )


def as_textgrid(recordings: Iterable[Judged], labels: Sequence[str]) -> Iterator[str]:
    """Praat's long text format: one tier of intervals, empty ones where nothing was judged.

    Raises:
        AffektError: a second recording; a TextGrid describes one.
    """
    for n, one in enumerate(recordings):
        if n:
            raise AffektError(
                "a TextGrid describes one recording; give --out a folder, where each gets its own"
            )
        yield textgrid(one)


def textgrid(one: Judged) -> str:
    """The TextGrid of one recording."""
    intervals = _filled(one)
    end = intervals[-1][1] if intervals else one.duration
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0"]
    lines += [f"xmax = {_number(end)}", "tiers? <exists>", "size = 1", "item []:"]
    lines += ["    item [1]:", '        class = "IntervalTier"', '        name = "emotion"']
    lines += ["        xmin = 0", f"        xmax = {_number(end)}"]
    lines += [f"        intervals: size = {len(intervals)}"]
    for n, (start, until, label) in enumerate(intervals, 1):
        quoted = label.replace('"', '""')
        lines += [f"        intervals [{n}]:", f"            xmin = {_number(start)}"]
        lines += [f"            xmax = {_number(until)}", f'            text = "{quoted}"']
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Writer] = {
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
    "rttm": as_rttm,
    "textgrid": as_textgrid,
    "audformat": as_audformat,
}


ENDINGS = {"TextGrid": "textgrid"} | {name: name for name in ("json", "jsonl", "csv", "rttm")}


def save(recordings: Iterable[Judged], labels: Sequence[str], writer: Writer, path: Path) -> Path:
    """Write a file: when all is done, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with disk.drafted(path) as file:
        for text in writer(recordings, labels):
            file.write(text)
    return path


def save_textgrids(recordings: Iterable[Judged], folder: Path) -> None:
    """Write a TextGrid per recording, each as it is done; a second a.wav gives a-2.TextGrid."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = set[str]()
    for one in recordings:
        stem = Path(one.name).stem
        names = (stem if n == 1 else f"{stem}-{n}" for n in count(1))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        disk.write(folder / f"{name}.TextGrid", textgrid(one))


def likeliest(one: Judged, top: int) -> Judged:
    """The same with the scores of so many classes, from high to low."""

    def cut(segment: Segment) -> Segment:
        ranked = sorted(segment.scores.items(), key=lambda pair: -pair[1])[:top]
        return replace(segment, scores=dict(ranked))

    return replace(one, segments=[cut(segment) for segment in one.segments])


def values(segment: Segment) -> dict[str, Any]:
    """A segment as it stands in JSON."""
    return {
        "start": round(segment.start, DIGITS),
        "end": round(segment.end, DIGITS),
        "label": segment.label,
        "score": round(segment.score, DIGITS),
        "scores": {name: round(score, DIGITS) for name, score in segment.scores.items()},
    }


def _object(one: Judged) -> dict[str, Any]:
    return {
        "file": one.name,
        "duration": round(one.duration, DIGITS),
        "segments": [values(s) for s in one.segments],
    }


def _row(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _judgement(segment: Segment, labels: Sequence[str]) -> list[str]:
    """Label, score, and the score of every class that is told."""
    told = (segment.scores.get(name) for name in labels)
    classes = ("" if score is None else _number(score) for score in told)
    return [segment.label, _number(segment.score), *classes]


def _filled(one: Judged) -> list[tuple[float, float, str]]:
    """(start, end, label) without gaps from 0 to the end of the recording."""
    made, here = list[tuple[float, float, str]](), 0.0
    for s in one.segments:
        if s.start > here:
            made.append((here, s.start, ""))
        made.append((s.start, s.end, s.label))
        here = s.end
    if one.duration - here > 1e-3:  # less is the rounding of a rate
        made.append((here, one.duration, ""))
    return made


def _number(value: float) -> str:
    return f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")


def _clock(seconds: float) -> str:
    """'0 days 00:00:01.500000', as a data frame writes times."""
    whole, micro = divmod(round(seconds * 10**6), 10**6)
    minutes, second = divmod(whole, 60)
    days, minute = divmod(minutes, 24 * 60)
    return f"{days} days {minute // 60:02}:{minute % 60:02}:{second:02}.{micro:06}"


def _word(text: str) -> str:
    return "_".join(text.split()) or "_"
