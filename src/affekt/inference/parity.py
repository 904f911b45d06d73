"""Whether an exported graph says what the recogniser in PyTorch says.

Axes: N signals, S samples, K classes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affekt.audio import RATE, Signal
from affekt.encoders.frames import Waves
from affekt.errors import ModelError
from affekt.inference.onnx import judged, logits, opened
from affekt.nn.recogniser import Recogniser

TOLERANCE = 1e-4  # of float32: the largest difference, of the largest logit
LENGTHS = (0.2, 0.37, 1.0, 2.5, 6.1)  # seconds of the made-up sounds
PITCH = 120.0  # Hz
SOUNDS, RECORDINGS = "made-up sounds", "recordings"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far the logits of a graph are from those of PyTorch."""

    precision: str  # of the graph: fp32 or int8
    signals: str  # which
    n: int
    largest: float  # difference of two logits
    relative: float  # the same, or that in a batch if it is larger, of the largest logit
    same_label: float  # share of the signals
    batch: float | None = None  # the largest difference between alone and in a padded batch


def sounds() -> list[Signal]:
    """Made-up signals (S,) of several lengths: a voice that glides, in noise; always the same."""
    rng = np.random.default_rng(0)
    made = []
    for n, seconds in enumerate(LENGTHS):
        time = np.arange(round(seconds * RATE)) / RATE
        phase = 2 * np.pi * PITCH * (1 + 0.4 * n) * (time + 0.1 * time**2)
        voice = sum(np.sin(k * phase) / k for k in range(1, 12)) * (1 + np.sin(9 * time)) / 8
        made.append((voice + 0.02 * rng.standard_normal(len(time))).astype(np.float32))
    return made


@torch.inference_mode()
def of_torch(model: Recogniser, signals: Sequence[Signal]) -> np.ndarray:
    """Logits (N, K) of a recogniser on the CPU, each signal alone."""
    rows = []
    for signal in signals:
        wave = torch.from_numpy(np.ascontiguousarray(signal, np.float32))[None]
        rows.append(model(Waves(wave, torch.tensor([wave.shape[1]]))).logits[0].numpy())
    return np.stack(rows)


def difference(
    file: Path, wanted: np.ndarray, signals: Sequence[Signal], precision: str, what: str
) -> Difference:
    """Between a graph and what PyTorch says (N, K) of the same signals."""
    found = logits(file)(signals)
    largest = float(np.abs(found - wanted).max())
    batch = _in_a_batch(file, signals) if precision == "fp32" and what == SOUNDS else None
    return Difference(
        precision=precision,
        signals=what,
        n=len(signals),
        largest=largest,
        relative=max(largest, batch or 0.0) / float(np.abs(wanted).max()),
        same_label=float((found.argmax(axis=1) == wanted.argmax(axis=1)).mean()),
        batch=batch,
    )


def check(found: Difference) -> Difference:
    """The difference of a graph in float32 if it is no more than rounding.

    Raises:
        ModelError: it is more.
    """
    if not found.relative <= TOLERANCE:  # also where it is no number
        raise ModelError(
            f"the exported graph does not say what PyTorch says: on {found.n} {found.signals} "
            f"logits differ by {found.relative:.3g} of the largest one, and {TOLERANCE:g} would be "
            "rounding; nothing was written. Other releases of torch, onnx or onnxruntime may do"
        )
    return found


def report(found: Sequence[Difference]) -> dict[str, Any]:
    """What `parity.json` holds."""
    return {"tolerance": TOLERANCE, "differences": [asdict(one) for one in found]}


def _in_a_batch(file: Path, signals: Sequence[Signal]) -> float:
    session = opened(file, 1)
    lengths = [len(signal) for signal in signals]
    waves = np.ones((len(signals), max(lengths) + 123), np.float32)  # padding that would be heard
    for row, signal in zip(waves, signals, strict=True):
        row[: len(signal)] = signal
    alone = np.stack([judged(session, signal[None])[0] for signal in signals])
    return float(np.abs(judged(session, waves, lengths) - alone).max())
