"""Layers of a network that only judges, in bf16 on a CPU, as oneDNN multiplies fastest.

torch keeps weights plain: oneDNN brings them into blocks at every call, and bias and GELU take
passes of their own.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.activations import GELUActivation

# Frames, for which the blocks of a convolution are chosen: a Zen 4 wants the same from 3 to 6,400.
# Where others are wanted, oneDNN brings them over at every call.
LIKELY = 1000


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


def _fixed(tensor: Tensor) -> nn.Parameter:
    """A weight that is counted with the others and never trained."""
    return nn.Parameter(tensor, requires_grad=False)


def _rounded(bias: Tensor | None) -> nn.Parameter | None:
    return None if bias is None else _fixed(bias.detach().to(torch.bfloat16))


def exchange(model: nn.Module) -> None:
    """Put `Linear` wherever a model has torch's, and `Convolution` where GELU follows at once.

    They take over the GELU of a feed-forward part of HuBERT and its like, and of its front end.
    The first convolution stays, which packed.py folds a norm into.
    """
    # Not to hold the plain weights until the last is exchanged.
    for module in [part for part in model.modules() if not isinstance(part, nn.Linear)]:
        conv = getattr(module, "conv", None)
        if isinstance(conv, nn.Conv1d) and _gelu_follows(conv, module):
            module.conv = Convolution(conv)
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
