"""A made-up sound that travels with a model: loading compares what the model says of it.

Nobody's voice: a buzz that glides like one, in noise. Axes: S samples, K classes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from affekt.audio import RATE, Signal
from affekt.errors import ModelError

NAME = "golden.flac"
SECONDS = 1.5
TOLERANCE = 1e-3  # of the logits, and of the largest: float32 on other processors rounds otherwise


def write(folder: Path) -> Signal:
    """Write the sound; the signal as it will be read."""
    rng = np.random.default_rng(0)
    t = np.arange(round(SECONDS * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(160 + 60 * np.sin(2 * np.pi * 1.3 * t)) / RATE
    buzz = sum(np.sin(n * pitch) / n for n in range(1, 20))
    loudness = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * t) ** 2  # four syllables a second
    sound = 0.1 * loudness * buzz + 0.005 * rng.standard_normal(len(t))
    soundfile.write(folder / NAME, sound, RATE, subtype="PCM_16")
    return read(folder)


def read(folder: Path) -> Signal:
    """The signal in a model folder."""
    try:
        return soundfile.read(folder / NAME, dtype="float32")[0]
    except (soundfile.SoundFileError, OSError) as e:
        raise ModelError(f"{folder / NAME} cannot be read ({e}); copy the model again") from e


def said(model: Any, signal: Signal) -> list[float]:
    """The logits that a Trained or Classical model has for the sound, computed in float32."""
    with _in_float32(getattr(model, "model", None)):
        return [float(x) for x in model.predictor().logits([signal])[0]]


def check(folder: Path, expected: Sequence[float], found: Sequence[float]) -> None:
    """Compare what a model says now with what it said when it was written.

    Raises:
        ModelError: it is not the same.
    """
    there, now = np.asarray(expected), np.asarray(found)
    if there.shape == now.shape and np.allclose(
        there, now, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(there).max()))
    ):
        return
    raise ModelError(
        f"{folder}: of its own {NAME} the model says {_short(now)}, but {_short(there)} when it "
        "was written; its files do not belong together, so copy the model again"
    )


def _short(logits: np.ndarray) -> str:
    return ", ".join(f"{x:.3f}" for x in logits[:4]) + (", ..." if len(logits) > 4 else "")


@contextmanager
def _in_float32(model: Any) -> Iterator[None]:
    """A network's parts that choose their precision compute in float32."""
    parts = [m for m in model.modules() if hasattr(m, "precision")] if model is not None else []
    before = [part.precision for part in parts]
    for part in parts:
        part.precision = "fp32"
    try:
        yield
    finally:
        for part, precision in zip(parts, before, strict=True):
            part.precision = precision
