"""HuBERT, WavLM, wav2vec 2.0 and data2vec-audio: convolutions over the wave, then a transformer.

The modules and their weights are those of transformers. The way through them stands here, so
that every layer comes out and an utterance gives the same frames alone and in a padded batch:
padding enters neither a statistic of the first convolution, nor the convolutions that encode
positions, nor the attention. transformers lets it into the first two. Where a CPU judges and is
not trained, there is a faster way without any padding: packed.py.
Axes: B batch, S samples, T frames, C channels of a convolution, D channels of a frame.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import pad_sequence
from transformers import AttentionInterface

from affekt.encoders import packed, positions
from affekt.encoders.frames import valid
from affekt.encoders.wavlm_attention import FusedAttention
from affekt.nn import dropout
from affekt.nn.blocked import Convolution, Winograd

VARIANCE_FLOOR = 1e-7  # under the root, where a wave is normalised; that of the preprocessor

WIDE = 512  # channels of a frame; below, many small steps cost more than padding

TOGETHER = 8  # utterances that go through the transformer at once, where lengths differ

Mask = Bool[Tensor, "B T"] | None  # None: no frame is padding


def _attend(
    module: nn.Module, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, **given: Any
) -> tuple[Tensor, None]:
    """Attention as transformers asks for it; no weights."""
    attended = dropout.attention(q, k, v, mask, given["dropout"])
    return attended.transpose(1, 2).contiguous(), None


ATTENTION = "affekt"
AttentionInterface.register(ATTENTION, _attend)


class WaveTransformer(nn.Module):
    """All layers of a model of these families.

    Args:
        model: as transformers loads it.
        normalise: whether each utterance is brought to zero mean and unit variance first.
    """

    def __init__(self, model: Any, *, normalise: bool) -> None:
        super().__init__()
        self.model = model
        self.normalise = normalise
        self.pre_norm = getattr(model.config, "do_stable_layer_norm", False)
        self.gated = model.config.model_type == "wavlm"
        self.layers = len(model.encoder.layers) + 1
        self.dim = model.config.hidden_size
        self.width = model.config.conv_dim[-1]  # C, of the last convolution
        self.hop = prod(model.config.conv_stride)  # samples from one frame to the next
        self.spectrum: positions.Spectrum | None = None
        dropout.exchange(model)
        model.config._attn_implementation = ATTENTION
        if self.gated:
            for layer in model.encoder.layers:
                layer.attention = FusedAttention(layer.attention)

    def front(self) -> list[nn.Module]:
        """What comes before the transformer."""
        return [self.model.feature_extractor, self.model.feature_projection]

    def settle(self) -> None:
        """Work out once what depends on weights alone, if they are never trained."""
        for module in self.model.encoder.pos_conv_embed.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")

    def finish(self) -> None:
        """The same, and what only judging is faster by. Weights must not change afterwards."""
        self.settle()
        if self.gated:
            for layer in self.model.encoder.layers:
                layer.attention.sum_projections()
        embed = self.model.encoder.pos_conv_embed
        if self.dim >= WIDE and next(embed.parameters()).device.type == "cpu":
            self.spectrum = positions.spectrum(embed)

    def cost(self, seconds: float) -> float:
        """How much sound is computed for so much."""
        return seconds

    def frames(self, lengths: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """How many frames so many samples give."""
        for layer in self.model.feature_extractor.conv_layers:
            lengths = frames_of(lengths, layer.conv)
        return lengths

    def forward(
        self, wav: Float[Tensor, "B S"], lengths: Int[Tensor, " B"]
    ) -> list[Float[Tensor, "B T D"]]:
        """The input of each transformer layer and the output of the last, after the final norm."""
        return self.onward(self.convolved(wav, lengths), self.frames(lengths))

    def convolved(
        self, wav: Float[Tensor, "B S"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B T C"]:
        """What the convolutions make of waves; `lengths` counts samples."""
        wav = prepared(wav, lengths, normalise=self.normalise)
        layers = self.model.feature_extractor.conv_layers
        if self._packs(wav):
            cut = (row[:n] for row, n in zip(wav, lengths.tolist(), strict=True))
            return pad_sequence(packed.convolved(layers, cut), batch_first=True)
        return convolve(layers, wav, lengths).transpose(1, 2)

    def top(self, z: Float[Tensor, "B T C"], frames: Int[Tensor, " B"]) -> Float[Tensor, "B T D"]:
        """The last of those layers alone, none of the others kept."""
        if not self._packs(z):
            return _last(self.layered(z, frames))
        counts = frames.tolist()
        return _padded(_last(self._packed(z, counts)), counts)

    def onward(
        self, z: Float[Tensor, "B T C"], frames: Int[Tensor, " B"]
    ) -> list[Float[Tensor, "B T D"]]:
        """The layers of what was `convolved`; `frames` says how many of each are valid.

        Where there is padding, and it would cost a CPU more than a tenth, utterances of like length
        go through together, a few at a time: batches drawn at random train 1.6 times as fast.
        """
        order = frames.argsort()
        parts = [(rows, int(frames[rows].max())) for rows in order.split(TOGETHER)]
        size = sum(len(rows) * longest for rows, longest in parts)
        if z.device.type != "cpu" or self._packs(z) or size > 0.9 * z.shape[0] * z.shape[1]:
            return list(self.layered(z, frames))
        made = []
        for rows, longest in parts:
            layers = self.layered(z[rows, :longest], frames[rows])
            padding = (0, 0, 0, z.shape[1] - longest)
            made.append([nn.functional.pad(h, padding) for h in layers])
        back = order.argsort()
        return [torch.cat(parts)[back] for parts in zip(*made, strict=True)]

    def layered(
        self, z: Float[Tensor, "B T C"], frames: Int[Tensor, " B"], *, normed: bool = True
    ) -> Iterator[Float[Tensor, "B T D"]]:
        """One layer after the other of what was `convolved`; `normed` as for `layers_of`."""
        if not self._packs(z):
            h, _ = self.projected(z)
            yield from self.layers_of(h, mask_of(frames, h.shape[1]), normed=normed)
            return
        counts = frames.tolist()
        for h in self._packed(z, counts, normed=normed):
            yield _padded(h, counts)

    def _packed(
        self, z: Float[Tensor, "B T C"], frames: list[int], *, normed: bool = True
    ) -> Iterator[Float[Tensor, "N D"]]:
        """The same without padding; each may be written over once the next is asked for."""
        rows = torch.cat([row[:n] for row, n in zip(z, frames, strict=True)])
        return packed.layers(self, rows, frames, normed=normed)

    def _packs(self, x: Tensor) -> bool:
        """Whether there is a faster way than with padding."""
        plain = x.device.type == "cpu" and not (torch.is_grad_enabled() or self.model.training)
        return plain and self.dim >= WIDE

    def masked(
        self, z: Float[Tensor, "B T C"], frames: Int[Tensor, " B"], hidden: Bool[Tensor, "B T"]
    ) -> tuple[list[Float[Tensor, "B T D"]], Float[Tensor, "B T C"]]:
        """The same layers where the frames in `hidden` are masked, and what stood there.

        That is the front end's output, normalised as the projection sees it.
        """
        h, latent = self.projected(z)
        h = torch.where(hidden[..., None], self.model.masked_spec_embed.to(h.dtype), h)
        return list(self.layers_of(h, mask_of(frames, h.shape[1]))), latent

    def projected(
        self, z: Float[Tensor, "*B T C"]
    ) -> tuple[Float[Tensor, "*B T D"], Float[Tensor, "*B T C"]]:
        """What the transformer is given, and what the projection makes it of, normalised."""
        projection = self.model.feature_projection
        norm = getattr(projection, "layer_norm", nn.Identity())  # some HuBERT models have none
        latent = norm(z)
        h = projection.dropout(projection.projection(latent))
        return h.float(), latent  # what the layers add to stays in float32, also under bf16

    def layers_of(
        self, h: Float[Tensor, "B T D"], mask: Mask, *, normed: bool = True
    ) -> Iterator[Float[Tensor, "B T D"]]:
        """One layer after the other of what was `projected`.

        Args:
            h: what the transformer is given.
            mask: of frames that are no padding.
            normed: whether the last one comes after the final norm of pre-norm models.
        """
        encoder = self.model.encoder
        config = self.model.config
        masking = self.model.training and config.apply_spec_augment
        if masking and h.shape[1] > config.mask_time_length:  # shorter ones cannot be masked
            h = self.model._mask_hidden_states(h, attention_mask=mask)
        h = h + positions.encoded(encoder.pos_conv_embed, h, mask)
        h = encoder.dropout(h if self.pre_norm else encoder.layer_norm(h))
        extra: dict[str, Any] = {"attention_mask": mask}
        if self.gated:
            extra["position_bias"] = encoder.layers[0].attention.positions(h.shape[1])
        elif mask is not None:
            extra["attention_mask"] = mask[:, None, None].expand(-1, -1, h.shape[1], -1)
        *below, last = encoder.layers
        yield h
        for layer in below:
            h = _hidden(layer(h, **extra))
            yield h
        h = _hidden(last(h, **extra))
        yield encoder.layer_norm(h) if self.pre_norm and normed else h


def mask_of(frames: Int[Tensor, " B"], longest: int) -> Mask:
    """True on the frames that are valid, or nothing where all are."""
    return None if bool((frames == longest).all()) else valid(frames, longest)


def _last(layers: Iterator[Tensor]) -> Tensor:
    return deque(layers, maxlen=1)[0]


def _padded(h: Float[Tensor, "N D"], frames: list[int]) -> Float[Tensor, "B T D"]:
    """One utterance in each row; a copy even of one alone, since `h` may be written over."""
    return pad_sequence(list(h.split(frames)), batch_first=True)


def _hidden(made: Tensor | tuple[Tensor, ...]) -> Tensor:
    """What a layer gives; WavLM's hand on the bias as well."""
    return made[0] if isinstance(made, tuple) else made


def convolve(
    convolutions: Iterable[Any], wav: Float[Tensor, "B S"], lengths: Int[Tensor, " B"]
) -> Float[Tensor, "B C T"]:
    """The front end. Where it normalises over time, padding stays out of the statistics."""
    x = wav[:, None]
    for layer in convolutions:
        lengths = frames_of(lengths, layer.conv)
        if packed.over_time(layer) and not _alike(lengths):
            x = normalised(layer.conv(x), lengths, layer.layer_norm)
            x = layer.activation(x)
        else:
            x = layer(x)
    return x


def normalised(
    x: Float[Tensor, "B C T"], frames: Int[Tensor, " B"], norm: nn.GroupNorm
) -> Float[Tensor, "B C T"]:
    """Each channel normalised over the valid frames of an utterance; padding becomes zero."""
    made = torch.empty_like(x)
    for n, count in enumerate(frames.tolist()):
        made[n, :, :count] = norm(x[n : n + 1, :, :count])[0]
        made[n, :, count:] = 0.0
    return made


def prepared(
    wav: Float[Tensor, "B S"], lengths: Int[Tensor, " B"], *, normalise: bool
) -> Float[Tensor, "B S"]:
    """The wave with zeros in padding, normalised over what is not padding if asked to."""
    mask = valid(lengths, wav.shape[1])
    wav = wav.masked_fill(~mask, 0.0)
    if not normalise:
        return wav
    wav = wav - wav.sum(dim=1, keepdim=True) / lengths[:, None]
    wav = wav.masked_fill(~mask, 0.0)
    variance = wav.square().sum(dim=1, keepdim=True) / lengths[:, None]
    return wav / (variance + VARIANCE_FLOOR).sqrt()


def frames_of(
    lengths: Int[Tensor, " B"], conv: nn.Conv1d | Convolution | Winograd
) -> Int[Tensor, " B"]:
    """How many frames a convolution makes of so many."""
    return (lengths - conv.kernel_size[0]) // conv.stride[0] + 1


def _alike(lengths: Int[Tensor, " B"]) -> bool:
    return bool((lengths == lengths[0]).all())
