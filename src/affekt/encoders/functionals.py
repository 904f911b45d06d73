"""openSMILE's functionals as an encoder of signals: one frame of each. Axes: B batch, S samples."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from affekt.encoders.frames import Frames
from affekt.encoders.opensmile import SIZES, FeatureSet, of_signal, smile


class Functionals(nn.Module):
    """A feature set, computed anew; `affekt.encoders.opensmile.functionals` has those of corpora.

    Args:
        features: the feature set.
    """

    layers = 1
    standardise = False  # as of OpenSmile, whose networks are trained on functionals as they are

    def __init__(self, *, features: FeatureSet = "eGeMAPSv02") -> None:
        super().__init__()
        self.dim = SIZES[features]
        self.smile = smile(features)

    def forward(self, wav: Float[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> Frames:
        """One frame per signal; `lengths` counts samples.

        Raises:
            AudioError: a signal is silent or too short.
        """
        signals = [row[:n].cpu().numpy() for row, n in zip(wav, lengths.tolist(), strict=True)]
        rows = np.stack([of_signal(self.smile, signal, "the recording") for signal in signals])
        frames = torch.from_numpy(rows).to(wav.device)[:, None, None]
        return Frames(frames, torch.ones(len(rows), 1, dtype=torch.bool, device=wav.device))
