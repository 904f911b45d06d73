"""Whisper's encoder: log-mel frames of a fixed window, then a transformer.

Radford et al. 2022 (arXiv:2212.04356), section 2.2. The model was trained on windows of 30 s
filled up with silence, and is used so: each utterance has windows of its own, whose frames are
cut where the utterance ends. Axes: B batch, S samples, W windows, V frames of a window, T frames,
D channels.
"""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor

from affekt.audio import RATE


class WhisperEncoder(nn.Module):
    """All layers of a Whisper encoder; the decoder is dropped.

    Args:
        model: as transformers loads it.
        preprocessor: what `preprocessor_config.json` holds.
    """

    def __init__(self, model: Any, preprocessor: dict[str, Any]) -> None:
        super().__init__()
        self.model = model.encoder
        self.model.embed_positions.requires_grad_(False)  # sinusoids, not learned
        self.mel = WhisperFeatureExtractor(**preprocessor)
        # Two mel frames, each a hop of samples, make one frame of the transformer.
        self.hop = self.mel.hop_length * self.model.conv2.stride[0]
        self.window = self.model.max_source_positions  # frames
        self.layers = len(self.model.layers) + 1
        self.dim = self.model.config.d_model

    def front(self) -> list[nn.Module]:
        """What comes before the transformer."""
        return [self.model.conv1, self.model.conv2]

    def settle(self) -> None:
        """Nothing depends on weights alone here."""

    def finish(self) -> None:
        """Nor anything for judging."""

    def cost(self, seconds: float) -> float:
        """How much sound is computed for so much: whole windows."""
        window = self.window * self.hop / RATE
        return math.ceil(seconds / window) * window

    def frames(self, lengths: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """How many frames so many samples give: one for each begun 20 ms."""
        return -(-lengths // self.hop)

    def forward(
        self, wav: Float[Tensor, "B S"], lengths: Int[Tensor, " B"]
    ) -> list[Float[Tensor, "B T D"]]:
        """The input of each transformer layer and the output of the last, after the final norm."""
        size = self.window * self.hop
        counts = [-(-n // size) for n in lengths.tolist()]  # windows of each utterance
        windows = [
            row[first : min(first + size, n)].cpu().numpy()
            for row, n in zip(wav, lengths.tolist(), strict=True)
            for first in range(0, n, size)
        ]
        with torch.autocast(wav.device.type, enabled=False):  # a spectrum needs float32
            mel = self.mel(windows, sampling_rate=RATE, return_tensors="pt").input_features
        return [self._joined(h, counts) for h in self._transformed(mel.to(wav.device))]

    def _transformed(self, mel: Float[Tensor, "W F T2"]) -> list[Float[Tensor, "W V D"]]:
        encoder = self.model
        h = nn.functional.gelu(encoder.conv2(nn.functional.gelu(encoder.conv1(mel))))
        # What the layers add to stays in float32, also under bf16.
        h = h.transpose(1, 2).float() + encoder.embed_positions.weight
        h = nn.functional.dropout(h, p=encoder.dropout, training=self.training)
        layers = [h]
        for layer in encoder.layers:
            h = layer(h, None)
            layers.append(h)
        layers[-1] = encoder.layer_norm(h)
        return layers

    def _joined(self, h: Float[Tensor, "W V D"], counts: list[int]) -> Float[Tensor, "B T D"]:
        """The windows of each utterance one after the other, padded to the most windows."""
        clips = [part.flatten(0, 1) for part in h.split(counts)]
        return nn.utils.rnn.pad_sequence(clips, batch_first=True)
