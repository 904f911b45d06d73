"""The way through a `WaveTransformer` on a CPU without gradients: one utterance after another.

None is padded to the length of another. Modules and weights are the same, and so is what they make,
but for rounding; it takes less time (docs/results/speed.md). The convolutions go over pieces of
time that stay in the CPU's cache. Where the first is normalised over time, mean and variance of
what it makes follow from those of the wave, and are folded into its weights. All frames of a batch
go through the transformer as one matrix; attention takes the rows of an utterance at a time.
Axes: S samples, T frames of an utterance, N frames of all, C channels of a convolution, D channels
of a frame, H heads, K channels of a head.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil, prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from affekt.encoders import positions
from affekt.nn import blocked

# Measured on a Zen 4 with 1 MiB of L2 per core: docs/results/speed.md.
PIECE = 100  # frames that the convolutions make at once
GRAIN = 5  # frames; pieces are filled up to a multiple: oneDNN prepares itself for every new shape
SCORES = 2**20  # of attention at most that are worked on at once, whole heads
ROW = 32  # scores; rows are filled up to a multiple: softmax takes less time over them
MANY = 1024  # frames of an utterance; then the fused kernel, which holds no scores


def dtype() -> torch.dtype:
    """What matrices are multiplied in here."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


def convolved(
    convolutions: Iterable[Any], waves: Iterable[Float[Tensor, " _"]]
) -> list[Float[Tensor, "_ C"]]:
    """What a front end makes of each wave."""
    convolutions = list(convolutions)
    first, *others = convolutions
    hop = prod(layer.conv.stride[0] for layer in convolutions)
    field = 1  # samples that a frame depends on
    needed = 1  # that are given to make one
    for layer in reversed(convolutions):
        field = (field - 1) * layer.conv.stride[0] + layer.conv.kernel_size[0]
        needed += isinstance(layer.conv, blocked.Winograd) and needed % 2  # makes pairs
        needed = (needed - 1) * layer.conv.stride[0] + layer.conv.kernel_size[0]
    following = [_following(layer) for layer in others]
    made = []
    for wave in waves:
        if over_time(first):
            wave = wave - wave.mean()  # no norm sees it, but bf16 does
        begun = _beginning(first, wave)
        frames = (len(wave) - field) // hop + 1
        spare = -frames % GRAIN
        beyond = spare * hop + needed - field
        filled = functional.pad(wave, (0, beyond))  # after `begun` took its statistics
        pieces = []
        for begin in range(0, frames, PIECE):
            end = min(begin + PIECE, frames + spare)
            x = begun(filled[begin * hop : (end - 1) * hop + needed])
            for follow in following:
                x = follow(x)
            pieces.append(x[0, :, : end - begin].T)
        made.append(torch.cat(pieces)[:frames])
    return made


def over_time(layer: Any) -> bool:
    """Whether a layer of the front end normalises each channel over the whole wave."""
    return isinstance(getattr(layer, "layer_norm", None), nn.GroupNorm)


def _beginning(layer: Any, wave: Float[Tensor, " S"]) -> Callable[[Tensor], Tensor]:
    """The first layer, from a piece of this wave to (1, C, T); in bf16 the channels lie last."""
    conv: nn.Conv1d = layer.conv
    weight, bias = _normalising(layer, wave) if over_time(layer) else (conv.weight, conv.bias)

    def begun(piece: Float[Tensor, " s"]) -> Float[Tensor, "1 C T"]:
        """What the layer makes of a piece."""
        if dtype() == torch.float32:
            x = functional.conv1d(piece[None, None], weight, bias, conv.stride)
        else:
            windows = piece.unfold(0, conv.kernel_size[0], conv.stride[0])
            x = functional.linear(windows, weight[:, 0], bias).T[None]
        return _ended(layer, x)

    return begun


def _following(layer: Any) -> Callable[[Float[Tensor, "1 C T"]], Float[Tensor, "1 C t"]]:
    """A layer after the first, its weights laid out as oneDNN multiplies fastest."""
    if isinstance(layer.conv, blocked.Convolution | blocked.Winograd):
        return layer.conv
    conv: nn.Conv1d = layer.conv
    layout = torch.contiguous_format if dtype() == torch.float32 else torch.channels_last
    weight = conv.weight.to(dtype())[:, :, None].contiguous(memory_format=layout)
    stride = (1, conv.stride[0])

    def followed(x: Float[Tensor, "1 C T"]) -> Float[Tensor, "1 C t"]:
        """What the layer makes of what the one before made."""
        x = x[:, :, None].contiguous(memory_format=layout)
        return _ended(layer, functional.conv2d(x, weight, conv.bias, stride)[:, :, 0])

    return followed


def _normalising(
    layer: Any, wave: Float[Tensor, " S"]
) -> tuple[Float[Tensor, "C 1 taps"], Float[Tensor, " C"]]:
    """Weight and bias with what the norm over the whole wave does within."""
    conv: nn.Conv1d = layer.conv
    norm: nn.GroupNorm = layer.layer_norm
    windows = wave.unfold(0, conv.kernel_size[0], conv.stride[0]).double()
    mean = windows.mean(dim=0)
    covariance = windows.T @ windows / len(windows) - mean[:, None] * mean
    weight = conv.weight[:, 0].to(dtype()).double()
    variance = ((weight @ covariance) * weight).sum(dim=1)
    scale = norm.weight / (variance + norm.eps).sqrt()
    bias = norm.bias - scale * (weight @ mean)  # its own bias is part of the mean
    return (scale[:, None] * weight).float()[:, None], bias.float()


def _ended(layer: Any, x: Float[Tensor, "1 C T"]) -> Float[Tensor, "1 C T"]:
    """After the convolution: the norm over channels of those that have one, the activation."""
    if isinstance(norm := getattr(layer, "layer_norm", None), nn.LayerNorm):
        x = norm(x.mT).mT
    if x.mT.is_contiguous():  # over a view GELU would take twice as long
        return layer.activation(x.mT).mT
    return layer.activation(x)


def layers(
    network: Any, z: Float[Tensor, "N C"], frames: Sequence[int], *, normed: bool = True
) -> Iterator[Float[Tensor, "N D"]]:
    """The input of each transformer layer and the output of the last.

    Each may be written over once the next is asked for.

    Args:
        network: the `WaveTransformer`.
        z: what the front end made of utterances, one after the other.
        frames: of each utterance.
        normed: whether the last one comes after the final norm of pre-norm models.
    """
    encoder = network.model.encoder
    h, _ = network.projected(z)
    h = h + positions.packed(encoder.pos_conv_embed, h, frames, network.spectrum)
    h = h if network.pre_norm else encoder.layer_norm(h)
    distances = None
    if network.gated:
        longest = max(frames) + -max(frames) % ROW  # as full rows of scores are
        line = encoder.layers[0].attention.distances(longest).to(dtype()).contiguous()
        # What `positions` gives, in a tenth of the time, but in a way that cannot be exported.
        distances = line.unfold(1, longest, 1).flip(1)
    yield h
    *below, last = encoder.layers
    for layer in below:
        h = _layer(network, layer, h, frames, distances)
        yield h
    h = _layer(network, last, h, frames, distances)
    yield encoder.layer_norm(h) if network.pre_norm and normed else h


def _layer(
    network: Any,
    layer: Any,
    h: Float[Tensor, "N D"],
    frames: Sequence[int],
    distances: Float[Tensor, "H full full"] | None,
) -> Float[Tensor, "N D"]:
    """A layer's output; `h` is written over, which takes less time than a new sum."""
    x = layer.layer_norm(h) if network.pre_norm else h
    h += _attention(layer.attention, x.to(dtype()), frames, distances)
    if network.pre_norm:
        h += layer.feed_forward(layer.final_layer_norm(h).to(dtype()))
        adapter = getattr(layer, "adapter_layer", None)
        if adapter is not None:
            h += adapter(h)
        return h
    h = layer.layer_norm(h)
    h += layer.feed_forward(h.to(dtype()))
    return layer.final_layer_norm(h)


def _attention(
    module: Any,
    x: Float[Tensor, "N D"],
    frames: Sequence[int],
    distances: Float[Tensor, "H full full"] | None,
) -> Float[Tensor, "N D"]:
    """Each utterance's frames attend to one another."""
    q, k, v = (
        project(x).unflatten(1, (module.num_heads, -1)).transpose(0, 1)
        for project in (module.q_proj, module.k_proj, module.v_proj)
    )  # (H, N, K)
    gates = None if distances is None else module.gates(x[None])[0].to(x.dtype)  # (H, N, 1)
    made, begin = [], 0
    for count in frames:
        rows = slice(begin, begin + count)
        bias = None
        if gates is not None and distances is not None:
            bias = gates[:, rows], distances[:, :count]
        made.append(_attended(q[:, rows], k[:, rows], v[:, rows], bias).transpose(0, 1))
        begin += count
    return module.out_proj(torch.cat(made).flatten(1))


def _attended(
    q: Float[Tensor, "H T K"],
    k: Float[Tensor, "H T K"],
    v: Float[Tensor, "H T K"],
    bias: tuple[Float[Tensor, "H T 1"], Float[Tensor, "H T full"]] | None,
) -> Float[Tensor, "H T K"]:
    """Attention; in bf16, where the fused kernel is slow, as products, a few heads at a time.

    The product of the two in `bias` is added to the scores.
    """
    heads, frames, width = q.shape
    if q.dtype == torch.float32 or frames > MANY:
        mask = None if bias is None else (bias[0] * bias[1][:, :, :frames])[None]
        return functional.scaled_dot_product_attention(q[None], k[None], v[None], mask)[0]
    spare = -frames % ROW
    q = q.contiguous() * width**-0.5
    k, v = (functional.pad(x, (0, 0, 0, spare)).contiguous() for x in (k, v))
    k = k.transpose(1, 2)
    made = torch.empty_like(q)
    steps = ceil(heads * frames * (frames + spare) / SCORES)
    step = ceil(heads / steps)
    for begin in range(0, heads, step):
        some = slice(begin, begin + step)
        scores = torch.bmm(q[some], k[some])
        if bias is not None:
            scores.addcmul_(bias[0][some], bias[1][some, :, : frames + spare])
        scores[:, :, frames:] = -torch.inf
        torch.softmax(scores, dim=2, out=scores)  # each row is read before it is written
        torch.bmm(scores, v[some], out=made[some])
    return made
