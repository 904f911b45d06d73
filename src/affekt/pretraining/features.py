"""What codebooks are made of: frames of signals, of several kinds.

Frame j of every kind belongs to the samples from hop x j on. Axes: S samples, F frames, D channels.
"""

import threading
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from affekt.audio import RATE, Signal
from affekt.encoders.spectral import MFCC, LogMel
from affekt.encoders.speech import Precision, Speech, processor
from affekt.errors import RecipeError

HOP = RATE // 100  # samples: 10 ms, the convention of speech front ends


class _Spectral:
    """Frames of a weight-free encoder."""

    hop = HOP

    def __init__(self, encoder: LogMel) -> None:
        self._encoder = encoder

    @torch.inference_mode()
    def __call__(self, signal: Signal) -> Float[np.ndarray, "F D"]:
        wave = torch.from_numpy(np.ascontiguousarray(signal))[None]
        return self._encoder(wave, torch.tensor([len(signal)])).layers[0, 0].numpy()


def mfcc(*, coefficients: int = 13, deltas: int = 2) -> _Spectral:
    """MFCC with deltas, HuBERT's first targets (arXiv:2106.07447, section IV-B)."""
    return _Spectral(MFCC(coefficients=coefficients, deltas=deltas, hop=HOP / RATE))


def log_mel(*, bands: int = 40, deltas: int = 0) -> _Spectral:
    """Log energies in mel bands."""
    return _Spectral(LogMel(bands=bands, deltas=deltas, hop=HOP / RATE))


class Layer:
    """One layer of a speech encoder, HuBERT's later targets; 0 is what its transformer is given."""

    def __init__(
        self,
        *,
        model: str,
        layer: int,
        revision: str | None = None,
        precision: Precision = "bf16",
    ) -> None:
        self._encoder = Speech(model=model, revision=revision, precision=precision)
        refuse_layers([layer], self._encoder, model)
        self._layer = layer
        self._device = processor()
        self._encoder.to(self._device)
        self._turn = threading.Lock() if self._device.type == "cuda" else nullcontext()
        self.hop = stride(self._encoder)

    @torch.inference_mode()
    def __call__(self, signal: Signal) -> Float[np.ndarray, "F D"]:
        wave = torch.from_numpy(np.ascontiguousarray(signal))[None].to(self._device)
        lengths = torch.tensor([len(signal)], device=self._device)
        with self._turn:  # a GPU's memory holds one utterance, whatever its length
            return self._encoder(wave, lengths).layers[0, self._layer].float().cpu().numpy()


def refuse_layers(layers: list[int], encoder: Speech, model: str) -> None:
    """Refuse layers that a checkpoint has not.

    Raises:
        RecipeError: there is one, or none is named.
    """
    outside = [n for n in layers if not 0 <= n < encoder.layers]
    if outside or not layers:
        what = f"no layer {outside[0]}" if outside else "name at least one layer"
        raise RecipeError(f"{model}: {what}; it has the layers 0 to {encoder.layers - 1}")


def stride(encoder: Speech) -> int:
    """Samples from one frame of a speech encoder to the next."""
    return encoder.network.hop


FEATURES: dict[str, Any] = {
    "mfcc": mfcc,
    "log-mel": log_mel,
    "egemaps-lld": "affekt.pretraining.descriptors:Descriptors",
    "speech": Layer,
}
