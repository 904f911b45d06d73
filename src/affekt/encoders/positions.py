"""The convolutions that encode positions in HuBERT, WavLM, wav2vec 2.0 and data2vec-audio.

Axes: B batch, T frames of an utterance, N frames of all, D channels, F frequencies, G groups,
I and O channels of a group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from affekt.encoders.frames import valid

SHORT = 64  # taps; such convolutions are faster as they are


def encoded(
    embed: Any, h: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None
) -> Float[Tensor, "B T D"]:
    """What is added to a padded batch; every convolution sees zeros in padding."""
    x = h.transpose(1, 2)
    if hasattr(embed, "layers"):  # data2vec-audio: several, one after the other
        for layer in embed.layers:
            x = layer(_silenced(x, mask))
        return x.transpose(1, 2)
    x = _normalised(embed, x)
    return embed.activation(embed.padding(embed.conv(_silenced(x, mask)))).transpose(1, 2)


def _silenced(
    x: Float[Tensor, "B D T"], mask: Bool[Tensor, "B T"] | None
) -> Float[Tensor, "B D T"]:
    return x if mask is None else x.masked_fill(~mask[:, None], 0.0)


def _normalised(embed: Any, x: Float[Tensor, "*B D T"]) -> Float[Tensor, "*B D T"]:
    """As some HuBERT models have it."""
    return x if getattr(embed, "batch_norm", None) is None else embed.batch_norm(x)


@dataclass(frozen=True)
class Spectrum:
    """A convolution over time, by frequencies; it does not follow later changes of weights."""

    weight: Complex[Tensor, "F G I O"]
    bias: Float[Tensor, " D"] | None
    taps: int

    def __call__(self, h: Float[Tensor, "N D"], frames: Sequence[int]) -> Float[Tensor, "N D"]:
        """What it makes of utterances that follow one another, a frame for each of theirs.

        In pieces that overlap: each gives one more frame than there are taps.
        """
        length, hop, before = 2 * self.taps, self.taps + 1, self.taps // 2
        counts = [-(-count // hop) for count in frames]  # pieces
        windows = torch.cat(
            [
                functional.pad(part.T, (before, n * hop + self.taps - 1 - before - len(part)))
                .unfold(1, length, hop)
                .transpose(0, 1)
                for part, n in zip(h.split(list(frames)), counts, strict=True)
            ]
        )  # (pieces, D, 2 taps)
        by_group = torch.fft.rfft(windows).unflatten(1, (self.weight.shape[1], -1))
        made = by_group.permute(3, 1, 0, 2).contiguous() @ self.weight  # (F, G, pieces, O)
        pieces = torch.fft.irfft(made.permute(2, 1, 3, 0).flatten(1, 2), n=length)
        pieces = pieces[..., :hop].transpose(1, 2)  # (pieces, hop, D)
        rows = [
            part.flatten(0, 1)[:n] for part, n in zip(pieces.split(counts), frames, strict=True)
        ]
        return torch.cat(rows) if self.bias is None else torch.cat(rows) + self.bias


def spectrum(embed: Any) -> Spectrum | None:
    """That of the one convolution there is; none of several, or of a short one."""
    conv: nn.Conv1d | None = getattr(embed, "conv", None)
    if conv is None or conv.kernel_size[0] < SHORT:
        return None
    taps = conv.kernel_size[0]
    weight = conv.weight.detach().float().unflatten(0, (conv.groups, -1))  # (G, O, I, taps)
    weight = torch.fft.rfft(weight, n=2 * taps).conj().permute(3, 0, 2, 1).contiguous()
    return Spectrum(weight, None if conv.bias is None else conv.bias.detach().float().clone(), taps)


def packed(
    embed: Any, h: Float[Tensor, "N D"], frames: Sequence[int], spectrum: Spectrum | None
) -> Float[Tensor, "N D"]:
    """What is added to utterances that follow one another, with so many frames each.

    Args:
        embed: as transformers has it.
        h: what the transformer is given.
        frames: of each utterance.
        spectrum: of the convolution; without it, it goes over time.
    """
    if spectrum is not None:
        return embed.activation(spectrum(_normalised(embed, h.T[None])[0].T, frames))
    padded = pad_sequence(list(h.split(list(frames))), batch_first=True)
    mask = valid(torch.tensor(frames), padded.shape[1])
    return encoded(embed, padded, mask)[mask]
