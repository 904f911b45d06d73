"""What is asked and answered, as it stands in the OpenAPI document."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from affekt.types import Segment

SCORES: dict[str, Any] = {"angry": 0.82, "happy": 0.11, "neutral": 0.05, "sad": 0.02}
EXAMPLE: dict[str, Any] = {
    "file": "03a01Wa.flac",
    "label": "angry",
    "score": SCORES["angry"],
    "scores": SCORES,
    "duration": 1.878,
    "model": "affekt/emodb",
}
RECORDING = {"type": "string", "format": "binary"}


class Asked(BaseModel):
    """The parameters of a request; an unknown one is refused."""

    model_config = ConfigDict(extra="forbid")

    top_k: int | None = Field(None, ge=1, description="So many scores, the highest; all without.")
    min_confidence: float = Field(
        0.0, ge=0.0, le=1.0, description="Under this score the label is 'uncertain'."
    )
    timeline: bool = Field(False, description="Where which emotion is, as `segments`.")
    window: float = Field(4.0, gt=0, le=60, description="Seconds of a window of the timeline.")
    hop: float = Field(
        2.0, gt=0, le=60, description="Seconds from window to window; at least a 16th of one."
    )


class Stretch(BaseModel):
    """A stretch of one label."""

    start: float = Field(description="Seconds.")
    end: float = Field(description="Seconds.")
    label: str
    score: float
    scores: dict[str, float]


class Answer(BaseModel):
    """What is said of one recording."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    file: str | None = Field(description="As the form calls it; null of a body.")
    label: str
    score: float = Field(description="Of the best class, also where the label is 'uncertain'.")
    scores: dict[str, float] = Field(description="By class, the highest first.")
    duration: float = Field(description="Seconds.")
    model: str
    segments: list[Stretch] | None = Field(None, description="Of a timeline.")


class Fault(BaseModel):
    """What went wrong."""

    code: str
    message: str = Field(description="For people: what is wrong, and what would do.")


class Problem(BaseModel):
    """The body of every error."""

    error: Fault


def of_timeline(
    segments: Sequence[Segment],
    whole: Segment,
    *,
    file: str | None,
    model: str,
    top_k: int | None,
) -> dict[str, Any]:
    """The `Answer` with a timeline, `whole` the mean of it."""
    rows = [{**asdict(s), "scores": ranked(s.scores, top_k)} for s in segments]
    return answer(whole, file=file, model=model, top_k=top_k) | {"segments": rows}


def answer(found: Segment, *, file: str | None, model: str, top_k: int | None) -> dict[str, Any]:
    """The `Answer` for a recording as a whole."""
    return {
        "file": file,
        "label": found.label,
        "score": found.score,
        "scores": ranked(found.scores, top_k),
        "duration": found.end - found.start,
        "model": model,
    }


def ranked(scores: dict[str, float], top_k: int | None = None) -> dict[str, float]:
    """The highest first, `top_k` of them."""
    return dict(sorted(scores.items(), key=lambda pair: -pair[1])[:top_k])


def _problem(what: str, code: str, message: str) -> dict[str, Any]:
    example = {"error": {"code": code, "message": message}}
    content = {"application/json": {"example": example}}
    return {"model": Problem, "description": what, "content": content}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: _problem("No key, or a wrong one", "wrong_key", "give the key of this server"),
    408: _problem("The upload stalled", "stalled", "the upload is too slow; send a smaller file"),
    413: _problem("Too many bytes or seconds", "too_large", "the upload is larger than 50 MB"),
    415: _problem("Not sound", "not_sound", "this is no sound that affekt knows; send WAV"),
    422: _problem("Wrong parameters, damaged sound", "unusable_sound", "the file is truncated"),
    429: _problem("The queue is full; see Retry-After", "queue_full", "256 requests wait already"),
    503: _problem("Not ready, too late, closing", "not_ready", "the model is being loaded"),
}
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"file": RECORDING},
                "required": ["file"],
            }
        },
        **{kind: {"schema": RECORDING} for kind in ("audio/wav", "audio/flac", "audio/mpeg")},
    },
}
