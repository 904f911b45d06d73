"""What was said of recordings, as lines for people that come one after the other."""

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from affekt.inference.predictor import UNCERTAIN
from affekt.inference.timeline import Judged
from affekt.types import Segment


def clips(
    recordings: Iterable[Judged],
    labels: Sequence[str],
    *,
    names: Iterable[str] = (),
) -> Iterator[str]:
    """A line per recording that was judged as a whole: file, label, score, other labels.

    Args:
        recordings: in the order of the lines.
        labels: that there are.
        names: of the recordings to come, so that columns are wide enough; a name is never cut.
    """
    wide = max(map(cell_len, ("file", *names)))
    label = _widest(labels)
    lead = f"{'file':{wide}}  {'label':{label}}  score  other labels\n"
    for one in recordings:
        name = set_cell_size(one.name, max(wide, cell_len(one.name)))
        for s in one.segments:
            called = set_cell_size(s.label, label)
            yield f"{lead}{name}  {called}  {s.score:.3f}  {_others(s)}\n"
            lead = ""


def timelines(recordings: Iterable[Judged], labels: Sequence[str]) -> Iterator[str]:
    """A line per segment under the name of its recording: start, end, label, score, others."""
    for one in recordings:
        head = f"{'start':>9}  {'end':>9}  {'label':{_widest(labels)}}  score  other labels\n"
        yield f"{one.name} ({one.duration:.2f} s)\n{head}"
        yield from (line(s, labels) for s in one.segments)
        if not one.segments:
            yield f"{'no speech':>20}\n"


def line(segment: Segment, labels: Sequence[str]) -> str:
    """One segment."""
    s, wide = segment, _widest(labels)
    label = set_cell_size(s.label, wide)
    return f"{s.start:9.2f}  {s.end:9.2f}  {label}  {s.score:.3f}  {_others(s)}\n"


def _widest(labels: Sequence[str]) -> int:
    return max(map(cell_len, ("label", UNCERTAIN, *labels)))


def _others(segment: Segment) -> str:
    """The classes that it is not called, from high to low."""
    ranked = sorted(segment.scores.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name} {score:.3f}" for name, score in ranked if name != segment.label)
