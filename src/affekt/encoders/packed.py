"""The way through a `WaveTransformer` on a CPU without gradients: one after the other, no padding.

Modules and weights are the same, and so is what they make, but for rounding; it takes less time
(docs/results/speed.md). The convolutions go over pieces of time that stay in the CPU's cache. Where
the first is normalised over time, mean and variance of what it makes follow from those of the wave,
and are folded into its weights. All frames of a batch go through the transformer as one matrix;
attention takes the rows of an utterance at a time.
Axes: S samples, T frames of an utterance, N frames of all, C channels of a convolution, D channels
of a frame, H heads, K channels of a head.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from affekt.encoders import positions

# Measured on a Zen 4 with 1 MiB of L2 per core: docs/results/speed.md.
PIECE = 100  # frames that the convolutions make at once
ROWS = 16  # products take whole multiples of it; in bf16 odd numbers cost up to 5 % more
SCORES = 2**18  # of attention that are worked on at once, whole heads
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
    for layer in reversed(convolutions):
        field = (field - 1) * layer.conv.stride[0] + layer.conv.kernel_size[0]
    over_time = isinstance(getattr(first, "layer_norm", None), nn.GroupNorm)
    made = []
    for wave in waves:
        wave = wave - wave.mean() if over_time else wave  # no norm sees it, but bf16 does
        stack = (_normalising(first, wave) if over_time else first, *others)
        frames = (len(wave) - field) // hop + 1
        pieces = []
        for begin in range(0, frames, PIECE):
            end = min(begin + PIECE, frames)
            x = wave[None, None, begin * hop : (end - 1) * hop + field]
            for layer in stack:
                x = layer(x)
            pieces.append(x[0].T)
        made.append(torch.cat(pieces))
    return made


def _normalising(layer: Any, wave: Float[Tensor, " S"]) -> Callable[[Tensor], Tensor]:
    """A layer whose output is normalised over the whole wave, for pieces of it."""
    conv: nn.Conv1d = layer.conv
    norm: nn.GroupNorm = layer.layer_norm
    windows = wave.unfold(0, conv.kernel_size[0], conv.stride[0]).double()
    mean = windows.mean(dim=0)
    covariance = windows.T @ windows / len(windows) - mean[:, None] * mean
    weight = conv.weight[:, 0].to(dtype()).double()
    variance = ((weight @ covariance) * weight).sum(dim=1)
    scale = norm.weight / (variance + norm.eps).sqrt()
    bias = (norm.bias - scale * (weight @ mean)).float()  # its own bias is part of the mean
    weight = (scale[:, None] * weight).float()[:, None]
    return lambda x: layer.activation(functional.conv1d(x, weight, bias, conv.stride))


def layers(
    network: Any, z: Float[Tensor, "N C"], frames: Sequence[int], *, normed: bool = True
) -> Iterator[Float[Tensor, "N D"]]:
    """The input of each transformer layer and the output of the last.

    Args:
        network: the `WaveTransformer`.
        z: what the front end made of utterances, one after the other.
        frames: of each utterance.
        normed: whether the last one comes after the final norm of pre-norm models.
    """
    encoder = network.model.encoder
    count = len(z)
    if spare := -count % ROWS:  # as if there were one more utterance
        z, frames = functional.pad(z, (0, 0, 0, spare)), [*frames, spare]
    h, _ = network.projected(z)
    h = h + positions.packed(encoder.pos_conv_embed, h, frames, network.spectrum)
    h = h if network.pre_norm else encoder.layer_norm(h)
    distances = None
    if network.gated:
        distances = encoder.layers[0].attention.positions(max(frames)).to(dtype())
    yield h[:count]
    *below, last = encoder.layers
    for layer in below:
        h = _layer(network, layer, h, frames, distances)
        yield h[:count]
    h = _layer(network, last, h, frames, distances)
    yield (encoder.layer_norm(h) if network.pre_norm and normed else h)[:count]


def _layer(
    network: Any,
    layer: Any,
    h: Float[Tensor, "N D"],
    frames: Sequence[int],
    distances: Float[Tensor, "H T T"] | None,
) -> Float[Tensor, "N D"]:
    x = layer.layer_norm(h) if network.pre_norm else h
    h = h + _attention(layer.attention, x.to(dtype()), frames, distances)
    if network.pre_norm:
        h = h + layer.feed_forward(layer.final_layer_norm(h).to(dtype()))
        adapter = getattr(layer, "adapter_layer", None)
        return h if adapter is None else h + adapter(h)
    h = layer.layer_norm(h)
    return layer.final_layer_norm(h + layer.feed_forward(h.to(dtype())))


def _attention(
    module: Any,
    x: Float[Tensor, "N D"],
    frames: Sequence[int],
    distances: Float[Tensor, "H T T"] | None,
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
            bias = gates[:, rows] * distances[:, :count, :count]
        made.append(_attended(q[:, rows], k[:, rows], v[:, rows], bias))
        begin += count
    return module.out_proj(torch.cat(made, dim=1).transpose(0, 1).flatten(1))


def _attended(
    q: Float[Tensor, "H T K"],
    k: Float[Tensor, "H T K"],
    v: Float[Tensor, "H T K"],
    bias: Float[Tensor, "H T T"] | None,
) -> Float[Tensor, "H T K"]:
    """Attention; in bf16, where the fused kernel is slow, as products, a few heads at a time."""
    heads, frames, width = q.shape
    if q.dtype == torch.float32 or frames > MANY:
        mask = None if bias is None else bias[None]
        return functional.scaled_dot_product_attention(q[None], k[None], v[None], mask)[0]
    q, k = q * width**-0.5, k.transpose(1, 2)
    made = []
    step = max(1, SCORES // frames**2)
    for begin in range(0, heads, step):
        some = slice(begin, begin + step)
        scores = torch.bmm(q[some], k[some])
        scores = scores if bias is None else scores + bias[some]
        made.append(torch.bmm(scores.softmax(dim=2), v[some]))
    return torch.cat(made)
