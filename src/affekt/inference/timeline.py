"""A recording of any length as a timeline: stretches of one emotion, by the windows of a stream.

The recording is decoded and judged block by block, so that ten hours take the memory of a minute.
Axes: S samples, C channels.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from affekt.audio import RATE
from affekt.decoding import BLOCK, blocks
from affekt.inference import given as recordings
from affekt.inference.given import Given
from affekt.inference.predictor import Predictor
from affekt.inference.stream import Stream
from affekt.inference.voice import Voice
from affekt.inference.windows import Windows
from affekt.types import Segment


@dataclass(frozen=True)
class Judged:
    """What is said of a recording.

    Args:
        name: of the recording.
        segments: in their order: one of a clip that was judged as a whole, or a timeline.
        duration: of the recording, in seconds.
    """

    name: str
    segments: list[Segment]
    duration: float


def timeline(
    predictor: Predictor,
    given: Given,
    windows: Windows | None = None,
    *,
    voice: Voice | None = None,
    min_confidence: float = 0.0,
) -> list[Segment]:
    """The stretches of one label in a recording of any length, in their order.

    Args:
        predictor: the model.
        given: a recording; a file is read block by block.
        windows: how it is cut.
        voice: leave out what is not speech.
        min_confidence: under this score a stretch is `UNCERTAIN`.

    Raises:
        AudioError: it cannot be read to its end, or is too short.
    """
    return judge(predictor, given, windows, voice=voice, min_confidence=min_confidence).segments


def judge(
    predictor: Predictor,
    given: Given,
    windows: Windows | None = None,
    *,
    voice: Voice | None = None,
    min_confidence: float = 0.0,
) -> Judged:
    """The same, with the recording's name and duration."""
    name, pieces = recordings.label(given), _pieces(given)
    first, rate = next(pieces)
    stream = Stream(
        predictor, windows, rate=rate, voice=voice, min_confidence=min_confidence, name=name
    )

    def hops() -> Iterator[Segment]:
        yield from stream.feed(first)
        for samples, _ in pieces:
            yield from stream.feed(samples)
        yield from stream.end()

    segments = list(joined(hops()))
    return Judged(name, segments, stream.duration)


def joined(hops: Iterable[Segment]) -> Iterator[Segment]:
    """Hops that touch and have one label as one segment, given as soon as another label begins.

    Its scores are the mean over its hops, by their duration.
    """
    run: list[Segment] = []
    for hop in hops:
        if run and (hop.label != run[-1].label or hop.start != run[-1].end):
            yield _mean(run)
            run = []
        run.append(hop)
    if run:
        yield _mean(run)


def overall(
    predictor: Predictor, segments: Sequence[Segment], min_confidence: float = 0.0
) -> Segment:
    """A timeline as one segment: the mean of the scores by duration, and its label."""
    scores = np.array([_scores(segments)[name] for name in predictor.labels])
    return predictor.segment(segments[0].start, segments[-1].end, scores, min_confidence)


def _scores(run: Sequence[Segment]) -> dict[str, float]:
    """The mean of the scores by duration."""
    weights = [hop.end - hop.start for hop in run]
    return {
        name: float(np.average([hop.scores[name] for hop in run], weights=weights))
        for name in run[0].scores
    }


def _mean(run: list[Segment]) -> Segment:
    """One segment of hops with the same label."""
    if len(run) == 1:
        return run[0]
    scores = _scores(run)
    return Segment(
        start=run[0].start,
        end=run[-1].end,
        label=run[0].label,
        score=max(scores.values()),
        scores=scores,
    )


def _pieces(given: Given) -> Iterator[tuple[np.ndarray, int]]:
    """Some samples (S, C) at a time, and their rate."""
    if isinstance(given, Mapping) and all(given.get(key) is None for key in ("array", "raw")):
        given = given.get("bytes") or given.get("path") or given
    if not isinstance(given, tuple | Mapping):
        yield from blocks(recordings.opened(given))
        return
    signal = recordings.signal(given)
    for begin in range(0, len(signal), BLOCK):
        yield signal[begin : begin + BLOCK, None], RATE
