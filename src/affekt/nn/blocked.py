"""Layers of a network that only judges, in bf16 on a CPU, as oneDNN multiplies fastest.

torch keeps weights plain: oneDNN brings them into blocks at every call, and bias and GELU take
passes of their own.
"""

from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.activations import GELUActivation

# Frames, for which the blocks of a convolution are chosen: a Zen 4 wants the same from 3 to 6,400.
# Where others are wanted, oneDNN brings them over at every call.
LIKELY = 1000
# Pairs of frames in `Winograd`. oneDNN takes 1 ms for so many and 60 for fewer (a Zen 4, 512 wide).
FEWEST = 64


def available() -> bool:
    """Whether this torch and this processor can."""
    mkldnn = torch.backends.mkldnn
    return mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Linear(nn.Module):
    """An `nn.Linear` with its weights in blocks; they cannot be trained, saved, copied or moved.

    Args:
        linear: whose weights they are.
        gelu: whether GELU comes after it.
    """

    def __init__(self, linear: nn.Linear, *, gelu: bool = False) -> None:
        super().__init__()
        plain = linear.weight.detach().to(torch.bfloat16)
        self.weight = _fixed(torch.ops.mkldnn._reorder_linear_weight(plain))
        self.bias = _rounded(linear.bias)
        self.then = "gelu" if gelu else "none"

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """The product in bf16; sums, bias and GELU are in float32 until it is rounded."""
        x = x.to(torch.bfloat16)
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.then, [], "none")


class Convolution(nn.Module):
    """An `nn.Conv1d` without padding, and the GELU after it; the same holds of its weights.

    Args:
        conv: whose weights they are.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.kernel_size, self.stride = conv.kernel_size, conv.stride
        plain = conv.weight.detach().to(torch.bfloat16)[:, :, None]
        likely = (1, conv.in_channels, 1, LIKELY)
        blocks = torch.ops.mkldnn._reorder_convolution_weight(plain, *self._how(), likely)
        self.weight = _fixed(blocks)
        self.bias = _rounded(conv.bias)

    def _how(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]:
        """Padding, stride, dilation and groups."""
        return (0, 0), (1, self.stride[0]), (1, 1), 1

    def forward(self, x: Float[Tensor, "B I T"]) -> Float[Tensor, "B O t"]:
        """What is made in bf16, the channels last in memory; rounded once, as in `Linear`."""
        x = x.to(torch.bfloat16)[:, :, None].contiguous(memory_format=torch.channels_last)
        made = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self._how(), "gelu", [], "none"
        )
        return made[:, :, 0]


class Winograd(nn.Module):
    """An `nn.Conv1d` of three taps and stride 2, and the GELU after it: five products for six.

    Of frames x0 to x4 a pair is made, a (x0 - x2) + b x1 + (a + c) x2 for a x0 + b x1 + c x2, and
    b x3 - c (x2 - x4) + (a + c) x2 for a x2 + b x3 + c x4 (F(2, 2) in Lavin and Gray 2016,
    arXiv:1509.09308). Differences, what both share and the sums are rounded to bf16: the error is
    1.5 times that of `Convolution`. The weights are as fixed as in `Linear`.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.kernel_size, self.stride = conv.kernel_size, conv.stride
        a, b, c = conv.weight.detach().unbind(2)
        shared = (a + c).to(torch.bfloat16)
        self.shared = _fixed(torch.ops.mkldnn._reorder_linear_weight(shared))
        pairs = torch.cat([torch.cat([a, b], dim=1), torch.cat([-c, b], dim=1)]).to(torch.bfloat16)
        likely = (1, 4 * conv.in_channels, 1, LIKELY)
        how = self._how()
        blocks = torch.ops.mkldnn._reorder_convolution_weight(pairs[:, :, None, None], *how, likely)
        self.weight = _fixed(blocks)
        bias = _rounded(conv.bias)
        self.bias = None if bias is None else _fixed(bias.repeat(2))

    def _how(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]:
        """Padding, stride, dilation and groups: the two of a pair."""
        return (0, 0), (1, 1), (1, 1), 2

    def forward(self, x: Float[Tensor, "B I T"]) -> Float[Tensor, "B O t"]:
        """What is made in bf16, the channels last in memory; `x` is written over."""
        made = [self._convolved(frames) for frames in x.mT]
        return (made[0][None] if len(made) == 1 else torch.stack(made)).mT

    def _convolved(self, x: Float[Tensor, "T I"]) -> Float[Tensor, "t O"]:
        count = (len(x) - 1) // 2
        pairs = max(ceil(count / 2), FEWEST)
        x = x.to(torch.bfloat16).contiguous()
        if (lacking := 4 * pairs + 1 - len(x)) > 0:
            x = nn.functional.pad(x, (0, 0, 0, lacking))
        first, middle, last = (x[n : n + 4 * pairs : 4] for n in (0, 2, 4))
        kept = middle.clone(memory_format=torch.contiguous_format)
        middle -= last
        first -= kept
        mkldnn = torch.ops.mkldnn
        shared = mkldnn._linear_pointwise(kept, self.shared, None, "none", [], "none")
        made = torch.cat([shared, shared], dim=1)
        of_pairs = x[: 4 * pairs].view(pairs, -1)  # of each the four frames that are no other's
        mkldnn._convolution_pointwise_.binary(
            *(_as_image(made), _as_image(of_pairs), self.weight, self.bias, *self._how()),
            *("add", None, None, [], None),
        )
        return torch.ops.aten.gelu_(made).view(2 * pairs, -1)[:count]


def _as_image(rows: Float[Tensor, "T C"]) -> Float[Tensor, "1 C 1 T"]:
    """One line of pixels, the channels last in memory."""
    return rows.T[None, :, None]


def _fixed(tensor: Tensor) -> nn.Parameter:
    """A weight that is counted with the others and never trained."""
    return nn.Parameter(tensor, requires_grad=False)


def _rounded(bias: Tensor | None) -> nn.Parameter | None:
    return None if bias is None else _fixed(bias.detach().to(torch.bfloat16))


def exchange(model: nn.Module) -> None:
    """Put `Linear` wherever a model has torch's, and a convolution where GELU follows at once.

    They take over the GELU of a feed-forward part of HuBERT and its like, and of its front end.
    The first convolution stays, which packed.py folds a norm into.
    """
    # Not to hold the plain weights until the last is exchanged.
    for module in [part for part in model.modules() if not isinstance(part, nn.Linear)]:
        conv = getattr(module, "conv", None)
        if isinstance(conv, nn.Conv1d) and _gelu_follows(conv, module):
            three_taps = conv.kernel_size == (3,) and conv.stride == (2,)
            module.conv = Winograd(conv) if three_taps else Convolution(conv)
            module.activation = nn.Identity()
        dense = getattr(module, "intermediate_dense", None)
        activation = getattr(module, "intermediate_act_fn", None)
        gelu = isinstance(dense, nn.Linear) and isinstance(activation, GELUActivation)
        for name, part in module.named_children():
            if isinstance(part, nn.Linear):
                setattr(module, name, Linear(part, gelu=gelu and part is dense))
        if gelu:
            module.intermediate_act_fn = nn.Identity()


def _gelu_follows(conv: nn.Conv1d, module: nn.Module) -> bool:
    """Whether it is a later layer of a front end, with nothing but the exact GELU behind it."""
    later = conv.in_channels > 1 and conv.groups == 1 and conv.padding == (0,)
    bare = not hasattr(module, "layer_norm")
    return later and bare and isinstance(getattr(module, "activation", None), GELUActivation)
