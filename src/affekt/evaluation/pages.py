"""Numbers as words, and pages from the templates beside this file."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent
DIGITS = 6  # of a number in a JSON report


def render(
    template: str,
    *,
    folder: Path = TEMPLATES,
    filters: Mapping[str, Callable[..., str]] | None = None,
    **values: Any,
) -> str:
    """The page that a template makes of the values.

    Args:
        template: its file's name.
        folder: where it lies; what it extends may lie here.
        filters: that it has beside those for scores.
        values: by the names that it has for them.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": score, "interval": interval, "duration": duration}
    environment.filters |= {"spread": spread, "signed": signed, "listed": listed}
    environment.filters |= {"change": change}
    environment.filters |= filters or {}
    return environment.get_template(template).render(**values)


def dump(values: Any) -> str:
    """JSON with rounded numbers; what is not defined is null."""
    return json.dumps(_plain(values), indent=1, ensure_ascii=False, default=str) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value


def listed(value: Any) -> str:
    """Lists and tables as words.

    >>> listed({"nemo": [["IC0", "KS0"], ["MP0"]]})
    'nemo: IC0 + KS0, MP0'
    """
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {listed(v)}" for key, v in value.items())
    if isinstance(value, list):
        return ", ".join(" + ".join(map(str, v)) if isinstance(v, list) else str(v) for v in value)
    return str(value)


def score(value: int | float | None) -> str:
    """A score with three digits, '–' where it is not defined."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def signed(value: int | float | None) -> str:
    """A difference of scores: '+0.012'."""
    return "–" if value is None or math.isnan(value) else f"{value:+.3f}"


def spread(mean: int | float | None, deviation: int | float | None = None) -> str:
    """'0.756', or '0.756 (0.023)' with its standard deviation over folds."""
    known = deviation is not None and math.isfinite(deviation)
    return f"{score(mean)} ({score(deviation)})" if known else score(mean)


def interval(value: Mapping[str, Any]) -> str:
    """'0.742 [0.721, 0.763]' of an `Interval` as a dictionary."""
    return f"{score(value['value'])} [{score(value['low'])}, {score(value['high'])}]"


def change(value: Mapping[str, Any]) -> str:
    """'+0.021 [-0.003, +0.045]' of an `Interval` of a difference as a dictionary."""
    return f"{signed(value['value'])} [{signed(value['low'])}, {signed(value['high'])}]"


def duration(seconds: int | float | None) -> str:
    """'9.3 s', '3 min 20 s', '2 h 05 min'"""
    if seconds is None:
        return "–"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if hours else f"{minutes} min {rest:02d} s"
