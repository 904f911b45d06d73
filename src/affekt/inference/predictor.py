"""One call for every kind of model: any audio in, emotions out.

    predictor = affekt.Predictor.load()
    predictor("call.wav")           [{"label": "neutral", "score": 0.81}, ...]

Axes: N signals, S samples of each, K classes.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from affekt.audio import RATE, SILENT, Signal
from affekt.errors import AffektError, AudioError
from affekt.inference.given import Given, label, signal
from affekt.threads import in_turn
from affekt.types import Segment

log = logging.getLogger(__name__)

Logits = Callable[[Sequence[Signal]], np.ndarray]  # (N, K) of N signals at 16 kHz
Activation = Literal["softmax", "sigmoid", "none"]
TOGETHER = 64  # recordings that are held at once, so that like lengths meet,
SECONDS = 600.0  # but not more of sound
UNCERTAIN = "uncertain"  # the label of what is less sure than a caller wants
HEARD = "the recording"  # what a model calls a signal that it cannot judge
DEFAULT = "affekt/emodb"  # comes with affekt


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained model, whatever it is made of.

    Args:
        labels: of the classes, in the order of the columns of `logits`.
        logits: of signals at 16 kHz; what is said of one does not depend on the others.
        name: what the model is called in messages.
        temperature: that logits are divided by, fitted on dev data (Guo et al. 2017).
        activation: from logits to scores.
        about: the model's own words: how it was trained and tested.
    """

    labels: Sequence[str]
    logits: Logits = field(repr=False)
    name: str
    temperature: float = 1.0
    activation: Activation = "softmax"
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT,
        *,
        revision: str | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> "Predictor":
        """The model in a folder, on the hub, or one that comes with affekt.

        Args:
            model: what `affekt run` wrote, or a model folder in it; what `affekt export` wrote; a
                checkpoint of transformers for the classification of audio; or an id on the hub.
            revision: on the hub.
            precision: of a checkpoint of transformers: "bf16", where the processor computes in it,
                is twice as fast, and scores differ in the third digit. A model of
                affekt has that of its recipe.

        Raises:
            AffektError: there is no model, or it is not whole.
        """
        from affekt.inference import models

        return models.load(str(model), revision, precision)

    def __call__(
        self, given: Given | list[Given], *, top_k: int | None = None
    ) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
        """Labels and scores of a recording, the highest score first; of a list, a list of them.

        Args:
            given: a path, bytes, an open file, (samples, rate), or {"array", "sampling_rate"}.
            top_k: so many labels; all without.

        Raises:
            AudioError: a recording cannot be read.
        """
        if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
            raise AffektError(f"top_k of {top_k}; give a whole number from 1")
        if not isinstance(given, list):
            return self([given], top_k=top_k)[0]  # pyright: ignore[reportReturnType]
        rows = []
        for _, found in self.each(given):
            if isinstance(found, AudioError):
                raise found
            ranked = sorted(found.scores.items(), key=lambda pair: -pair[1])[:top_k]
            rows.append([{"label": name, "score": score} for name, score in ranked])
        return rows

    def each(
        self,
        given: Iterable[Given],
        *,
        min_confidence: float = 0.0,
        longest: float | None = None,
    ) -> Iterator[tuple[str, Segment | AudioError]]:
        """What is said of each recording as a whole, or why nothing can be; in their order.

        There may be no end of recordings: some are decoded while others are judged.

        Args:
            given: recordings.
            min_confidence: under this score a label is `UNCERTAIN`.
            longest: seconds of a recording; longer ones are refused.
        """

        def read(one: Given) -> tuple[str, Signal | AudioError]:
            try:
                return label(one), signal(one, longest=longest)
            except AudioError as e:
                return label(one), e

        with closing(in_turn(read, given)) as stream:
            for chunk in _chunks(stream):
                signals = [found for _, found in chunk if not isinstance(found, AudioError)]
                rows = iter(self.rows(signals))
                for name, found in chunk:
                    if isinstance(found, AudioError):
                        yield name, found
                    elif isinstance(row := next(rows), AudioError):
                        yield name, AudioError(str(row).replace(HEARD, name))
                    else:
                        if np.abs(found).max() < SILENT:
                            log.warning("%s: silence throughout; its scores mean nothing", name)
                        yield name, self.segment(0.0, len(found) / RATE, row, min_confidence)

    def rows(self, signals: Sequence[Signal]) -> list[np.ndarray | AudioError]:
        """Scores (K,) of each signal, or why a model has none for it, such as of silence."""
        try:
            return list(self.scores(signals))
        except AudioError as e:
            if len(signals) == 1:
                return [e]
            return [row for signal in signals for row in self.rows([signal])]

    def scores(self, signals: Sequence[Signal]) -> np.ndarray:
        """(N, K) of signals at 16 kHz: probabilities, unless the model was made for other ones."""
        if not len(signals):
            return np.zeros((0, len(self.labels)))
        logits = np.asarray(self.logits(signals), np.float64) / self.temperature
        if not np.isfinite(logits).all():
            raise AffektError(f"{self.name}: gives scores that are no numbers; take another model")
        if self.activation == "none":
            return logits
        if self.activation == "sigmoid":
            return 1.0 / (1.0 + np.exp(-logits))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def segment(
        self, start: float, end: float, scores: np.ndarray, min_confidence: float = 0.0
    ) -> Segment:
        """A stretch from `start` to `end` (seconds) with the scores (K,) of its classes."""
        best = int(scores.argmax())
        sure = float(scores[best]) >= min_confidence
        return Segment(
            start=start,
            end=end,
            label=self.labels[best] if sure else UNCERTAIN,
            score=float(scores[best]),
            scores=dict(zip(self.labels, map(float, scores), strict=True)),
        )


Read = tuple[str, Signal | AudioError]


def _chunks(stream: Iterable[Read]) -> Iterator[list[Read]]:
    """Recordings that are judged together."""
    chunk: list[Read] = []
    seconds = 0.0
    for name, found in stream:
        chunk.append((name, found))
        seconds += 0.0 if isinstance(found, AudioError) else len(found) / RATE
        if len(chunk) == TOGETHER or seconds > SECONDS:
            yield chunk
            chunk, seconds = [], 0.0
    if chunk:
        yield chunk
