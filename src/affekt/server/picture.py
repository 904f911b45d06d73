"""What was said of a recording, as HTML: a waveform in colours, bars, seconds, files to keep.

Axis: S samples.
"""

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape

import numpy as np

from affekt.audio import RATE, Signal
from affekt.inference.predictor import UNCERTAIN, Predictor
from affekt.types import Segment

# Told apart with any colour vision: Okabe and Ito (2008), without black and yellow.
COLOURS: tuple[str, ...] = (
    "#D55E00",
    "#0072B2",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7A5195",
    "#8C6D31",
)
GREY: str = "#8A8A8A"
COLUMNS = 400  # of the waveform
HEIGHT = 100
STYLE = """
.affekt { font-size: 1rem; } .affekt h2 { margin: 0 0 .5rem; } .affekt svg { width: 100%; }
.affekt svg { height: 7rem; background: rgba(128, 128, 128, .08); border-radius: 6px; }
.affekt .bar { display: grid; grid-template-columns: 7rem 1fr 3.5rem; gap: .5rem; margin: .3rem 0; }
.affekt .bar { align-items: center; } .affekt .bar > span:last-child { text-align: right; }
.affekt .track { background: rgba(128, 128, 128, .18); border-radius: 4px; height: .9rem; }
.affekt .track > span { display: block; height: 100%; border-radius: 4px; }
.affekt table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
.affekt th, .affekt td { text-align: left; padding: .2rem .6rem !important; }
.affekt .key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; }
.affekt a { margin: 0 1rem 0 0 !important; white-space: nowrap; } 
.affekt .ends { display: flex; justify-content: space-between; }
.affekt [role=alert] { border-left: 4px solid #B00020; padding: .6rem .8rem; }
"""


@dataclass(frozen=True)
class Judged:
    """What is left of a recording when it is gone: the outline of its wave, and its segments."""

    outline: list[tuple[float, float]]
    duration: float  # seconds
    segments: Sequence[Segment]
    labels: Sequence[str]
    model: str


def judged(signal: Signal, segments: Sequence[Segment], predictor: Predictor) -> Judged:
    """The same of samples (S,) at 16 kHz."""
    return Judged(
        peaks(signal), len(signal) / RATE, segments, list(predictor.labels), predictor.name
    )


def drawn(found: Judged, min_confidence: float = 0.0) -> str:
    """A recording and what was said of it; under a score of `min_confidence` it is uncertain."""
    segments = [_labelled(s, min_confidence) for s in found.segments]
    labels, length = found.labels, found.duration
    colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(labels)}
    colours |= {UNCERTAIN: GREY}
    mean = {name: _mean(segments, name) for name in labels}
    best = max(mean, key=lambda name: mean[name])
    label = segments[0].label if len(segments) == 1 else best
    head = f"{escape(label)} <small>{mean[best]:.2f} &middot; {length:.2f} s</small>"
    rows = sorted(mean.items(), key=lambda pair: -pair[1])
    return f"""<section class="affekt" aria-live="polite"><h2>{head}</h2>
{_wave(found, segments, colours)}
<div class="ends"><small>0 s</small><small>{length:.2f} s</small></div>
<h3>Probabilities</h3>{"".join(_bar(name, p, colours[name]) for name, p in rows)}
<h3>Time</h3>{_times(segments, colours)}
<p>{_links(segments, found.model)}</p></section>"""


def alert(message: str) -> str:
    """An error, told once."""
    return f'<section class="affekt"><p role="alert">{escape(message)}</p></section>'


def peaks(signal: Signal, columns: int = COLUMNS) -> list[tuple[float, float]]:
    """The lowest and the highest sample (S,) of each column of a picture."""
    parts = np.array_split(signal, min(columns, len(signal)))
    return [(float(part.min()), float(part.max())) for part in parts]


def _labelled(segment: Segment, least: float) -> Segment:
    best = max(segment.scores, key=lambda name: segment.scores[name])
    return replace(segment, label=best if segment.score >= least else UNCERTAIN)


def _wave(found: Judged, segments: Sequence[Segment], colours: Mapping[str, str]) -> str:
    loudest = max(max(-low, high) for low, high in found.outline) or 1.0
    width = len(found.outline)
    lines = []
    for n, (low, high) in enumerate(found.outline):
        at = (n + 0.5) / width * found.duration
        label = next((s.label for s in segments if s.start <= at < s.end), UNCERTAIN)
        top, bottom = (HEIGHT / 2 * (1 - value / loudest * 0.95) for value in (high, low))
        lines.append(
            f'<line x1="{n}" x2="{n}" y1="{top:.1f}" y2="{max(bottom, top + 1):.1f}" '
            f'stroke="{colours.get(label, GREY)}"/>'
        )
    said = ", ".join(f"{s.label} from {s.start:.2f} to {s.end:.2f} s" for s in segments[:20])
    return (
        f'<svg viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Waveform: {escape(said)}">{"".join(lines)}</svg>'
    )


def _bar(name: str, share: float, colour: str) -> str:
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        f'<div class="bar"><span>{escape(name)}</span><span class="track"><span style="width:'
        f'{width:.1f}%;background:{colour}"></span></span><span>{share:.3f}</span></div>'
    )


def _times(segments: Sequence[Segment], colours: Mapping[str, str]) -> str:
    seconds: dict[str, float] = {}
    for s in segments:
        seconds[s.label] = seconds.get(s.label, 0.0) + s.end - s.start
    whole = sum(seconds.values()) or 1.0
    rows = "".join(
        f'<tr><td><span class="key" style="background:{colours.get(name, GREY)}"></span> '
        f"{escape(name)}</td><td>{found:.2f} s</td><td>{100 * found / whole:.0f} %</td></tr>"
        for name, found in sorted(seconds.items(), key=lambda pair: -pair[1])
    )
    head = '<tr><th scope="col">label</th><th scope="col">seconds</th><th scope="col">share</th>'
    return f"<table>{head}</tr>{rows}</table>"


def _mean(segments: Sequence[Segment], name: str) -> float:
    """The score of a class over all segments, by their length."""
    lengths = [s.end - s.start for s in segments]
    return float(np.average([s.scores[name] for s in segments], weights=lengths))


def _links(segments: Sequence[Segment], model: str) -> str:
    """Files made of the results, within the page itself: none lies anywhere."""
    rows = [asdict(s) for s in segments]
    text = json.dumps({"model": model, "segments": rows}, indent=2, ensure_ascii=False)
    table = io.StringIO()
    names = list(segments[0].scores)
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["start", "end", "label", "score", *names])
    for s in segments:
        writer.writerow([s.start, s.end, s.label, s.score, *(s.scores[name] for name in names)])
    made = {"json": ("application/json", text), "csv": ("text/csv", table.getvalue())}
    return "".join(
        f'<a download="affekt.{end}" href="data:{kind};base64,'
        f'{base64.b64encode(body.encode()).decode()}">Download {end.upper()}</a>'
        for end, (kind, body) in made.items()
    )
