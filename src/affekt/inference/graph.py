"""A recogniser in pieces whose work does not depend on what a batch holds: what can be exported.

Each piece maps what came before it and its lengths to the same of its own; the last one gives
logits and the embedding under them. The modules are those that were trained. The ways through them
that look at the values of a batch, to spare work, are left out; padding is masked in every batch.
Axes: B batch, S samples, L layers, T frames, C channels of a convolution, D channels of a frame,
R pooled channels, K classes.
"""

from typing import Any

import torch
from torch import Tensor, nn

from affekt.encoders.frames import Frames, valid
from affekt.encoders.spectral import FFT, FLOOR, WINDOW, LogMel, delta
from affekt.encoders.speech import Speech
from affekt.encoders.wave import WaveTransformer, frames_of, prepared
from affekt.errors import ModelError
from affekt.nn.language import STEEPEST, LanguageHead
from affekt.nn.recogniser import Recogniser

Pieces = dict[str, nn.Module]
FIRST = "convolution-0"  # hears the wave itself


class Graph(nn.Module):
    """A recogniser in evaluation, from waves (B, S) and their lengths in samples.

    Raises:
        ModelError: it cannot be exported.
    """

    def __init__(self, model: Recogniser) -> None:
        super().__init__()
        self.pieces = nn.ModuleDict(_pieces(model))
        self.eval()

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K) and the embedding under them."""
        x = waveform
        for piece in self.pieces.values():
            x, lengths = piece(x, lengths)
        return x, lengths


def _pieces(model: Recogniser) -> Pieces:
    """The pieces of a recogniser, in their order.

    Raises:
        ModelError: it cannot be exported.
    """
    if model.pooling.padding == "bias":
        raise ModelError(
            'pooling with reading = "released-code" looks at padding, so what it says of a clip '
            "depends on the others of a batch; train with the strict reading to export"
        )
    encoder: Any = model.encoder
    if isinstance(encoder, Speech) and isinstance(encoder.network, WaveTransformer):
        return _of_waves(encoder.network, model)
    if isinstance(encoder, LogMel):
        return {"spectral": Spectral(encoder, Judged(model))}
    kind = type(getattr(encoder, "network", encoder)).__name__
    raise ModelError(
        f"a recogniser over {kind} cannot be exported; those over HuBERT, wav2vec 2.0, WavLM, "
        "data2vec-audio, log-mel and MFCC can"
    )


def _of_waves(network: WaveTransformer, model: Recogniser) -> Pieces:
    network.settle()
    made: Pieces = {"prepared": Prepared(network.normalise)}
    for n, layer in enumerate(network.model.feature_extractor.conv_layers):
        made[f"convolution-{n}"] = Convolution(layer)
    return made | {"transformer": Transformer(network, Judged(model))}


class Prepared(nn.Module):
    """Waves (B, S) with zeros in padding, normalised if so wished, as frames of one channel."""

    def __init__(self, normalise: bool) -> None:
        super().__init__()
        self.normalise = normalise

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, 1)"""
        return prepared(x, lengths, normalise=self.normalise)[..., None], lengths


class Convolution(nn.Module):
    """A layer of the front end, its convolution as a product of windows and one matrix.

    So it can be computed in int8 fast; onnxruntime's integer convolutions are slow.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        conv: nn.Conv1d = layer.conv
        (self.size,), (self.hop,) = conv.kernel_size, conv.stride
        has_bias = conv.bias is not None
        self.product = nn.Linear(self.size * conv.in_channels, conv.out_channels, bias=has_bias)
        with torch.no_grad():
            self.product.weight.copy_(conv.weight.transpose(1, 2).flatten(1))
            if conv.bias is not None:
                self.product.bias.copy_(conv.bias)
        self.conv = conv
        self.norm: Any = getattr(layer, "layer_norm", nn.Identity())
        self.over_time = isinstance(self.norm, nn.GroupNorm)
        self.activation = layer.activation

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """From (B, S, C) to (B, T, C)."""
        x, lengths = self.product(windows(x, self.size, self.hop)), frames_of(lengths, self.conv)
        x = normalised(x, lengths, self.norm) if self.over_time else self.norm(x)
        return self.activation(x), lengths


class Transformer(nn.Module):
    """What `WaveTransformer` makes of its front end's output, judged."""

    def __init__(self, network: WaveTransformer, judged: "Judged") -> None:
        super().__init__()
        self.network = network
        self.judged = judged

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """From (B, T, C) to logits (B, K) and the embedding."""
        mask = valid(lengths, x.shape[1])
        h, _ = self.network.projected(x)
        return self.judged(torch.stack(self.network.transformed(h, mask), dim=1), mask)


class Spectral(nn.Module):
    """`LogMel` and `MFCC`, judged; no clip is shorter than a window."""

    def __init__(self, encoder: LogMel, judged: "Judged") -> None:
        super().__init__()
        self.encoder = encoder
        self.judged = judged

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """From waves (B, S) to logits (B, K) and the embedding."""
        frames = 1 + (lengths - WINDOW).clamp(min=0) // self.encoder.hop
        cut = windows(x[..., None], WINDOW, self.encoder.hop) * self.encoder.window
        power = torch.fft.rfft(cut, n=FFT).abs().square() / WINDOW  # (B, T, F)
        x = self.encoder.channels((power @ self.encoder.filters).clamp(min=FLOOR).log())
        stack = [x]
        for _ in range(self.encoder.deltas):
            stack.append(delta(stack[-1], frames))
        return self.judged(torch.cat(stack, dim=2)[:, None], valid(frames, x.shape[1]))


class Judged(nn.Module):
    """What a recogniser makes of frames."""

    def __init__(self, model: Recogniser) -> None:
        super().__init__()
        self.mix, self.pooling, self.standardise = model.mix, model.pooling, model.standardise
        self.head = Sentences(model.head) if isinstance(model.head, LanguageHead) else model.head

    def forward(self, layers: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K) and the embedding of layers (B, L, T, D) with their mask (B, T)."""
        frames = Frames(self.standardise(layers), mask)
        h = self.pooling(self.mix(frames.layers), frames.mask)
        if isinstance(self.head, Sentences):
            return self.head(h)
        *parts, last = self.head
        for part in parts:
            h = part(h)
        return last(h), h


class Sentences(nn.Module):
    """A head of language whose sentences are those of the classes, and constant."""

    sentences: Tensor

    def __init__(self, head: LanguageHead) -> None:
        super().__init__()
        space = head.emotion
        with torch.no_grad():
            said = nn.functional.normalize(space.text(head.prompts(0, head.classes)), dim=1)
            scale = space.log_scales[0].clamp(0.0, STEEPEST).exp()
            self.register_buffer("sentences", (scale * said).T.clone())
        self.audio = space.audio

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """tau_a E_a E_t^T and E_a, as affekt.nn.language.Answer has them."""
        vectors = nn.functional.normalize(self.audio(pooled), dim=1)
        return vectors @ self.sentences, vectors


def windows(x: Tensor, size: int, hop: int) -> Tensor:
    """Windows (B, T, size x C) of x (B, S, C), each `hop` behind the one before."""
    count = (x.shape[1] - size) // hop + 1  # T
    hops = -(-size // hop)
    x = nn.functional.pad(x, (0, 0, 0, hops * hop - size))
    parts = [x[:, n * hop : (n + count) * hop].reshape(x.shape[0], count, -1) for n in range(hops)]
    return torch.cat(parts, dim=2)[..., : size * x.shape[2]]


def normalised(x: Tensor, frames: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Each channel of x (B, T, C) normalised over an utterance's valid frames; padding is zero."""
    mask = valid(frames, x.shape[1])[..., None]
    count = frames[:, None, None]
    centred = x - x.masked_fill(~mask, 0.0).sum(dim=1, keepdim=True) / count
    centred = centred.masked_fill(~mask, 0.0)
    variance = centred.square().sum(dim=1, keepdim=True) / count
    scaled = centred * (variance + norm.eps).rsqrt() * norm.weight + norm.bias
    return scaled.masked_fill(~mask, 0.0)
