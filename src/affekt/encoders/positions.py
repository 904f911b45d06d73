"""The convolutions that encode positions in HuBERT, WavLM, wav2vec 2.0 and data2vec-audio.

Axes: B batch, T frames of an utterance, N frames of all, D channels, F frequencies, G groups,
I and O channels of a group.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor, nn
from torch.nn import functional

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


def packed(
    embed: Any,
    h: Float[Tensor, "N D"],
    frames: Sequence[int],
    spectrum: Complex[Tensor, "F G I O"] | None,
) -> Float[Tensor, "N D"]:
    """What is added to utterances that follow one another, with so many frames each.

    Args:
        embed: as transformers has it.
        h: what the transformer is given.
        frames: of each utterance.
        spectrum: of the one convolution there is; without it, it goes over time.
    """
    if spectrum is None:
        parts = h.split(list(frames))
        return torch.cat([encoded(embed, part[None], None)[0] for part in parts])
    h = _normalised(embed, h.T[None])[0].T
    return embed.activation(_by_fft(h, frames, embed.conv, spectrum))


def spectrum(conv: nn.Conv1d) -> Complex[Tensor, "F G I O"] | None:
    """What `packed` multiplies by in place of a convolution over time; none if it is short."""
    (size,), groups = conv.kernel_size, conv.groups
    if size < SHORT:
        return None
    weight = conv.weight.detach().float().unflatten(0, (groups, -1))  # (G, O, I, taps)
    return torch.fft.rfft(weight, n=2 * size).conj().permute(3, 0, 2, 1).contiguous()


def _by_fft(
    h: Float[Tensor, "N D"],
    frames: Sequence[int],
    conv: nn.Conv1d,
    spectrum: Complex[Tensor, "F G I O"],
) -> Float[Tensor, "N D"]:
    """The convolution, in pieces that overlap: each gives one more frame than there are taps."""
    (size,) = conv.kernel_size
    before = size // 2  # zeros, as transformers pads
    length, hop = 2 * size, size + 1
    counts = [-(-count // hop) for count in frames]  # pieces
    windows = torch.cat(
        [
            functional.pad(part.T, (before, n * hop + size - 1 - before - len(part)))
            .unfold(1, length, hop)
            .transpose(0, 1)
            for part, n in zip(h.split(list(frames)), counts, strict=True)
        ]
    )  # (pieces, D, 2 taps)
    seen = torch.fft.rfft(windows).unflatten(1, (conv.groups, -1)).permute(3, 1, 0, 2)
    made = (seen.contiguous() @ spectrum).permute(2, 1, 3, 0).flatten(1, 2)
    pieces = torch.fft.irfft(made, n=length)[..., :hop].transpose(1, 2)  # (pieces, hop, D)
    rows = [part.flatten(0, 1)[:n] for part, n in zip(pieces.split(counts), frames, strict=True)]
    made = torch.cat(rows)
    return made if conv.bias is None else made + conv.bias.float()
