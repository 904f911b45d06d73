"""Linear layers of a network that only judges, in bf16 on a CPU, as oneDNN multiplies fastest.

torch keeps weights plain: oneDNN brings them into blocks at every call, and bias and GELU take
passes of their own.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.activations import GELUActivation


def available() -> bool:
    """Whether this torch and this processor can."""
    mkldnn = torch.backends.mkldnn
    return mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Blocked(nn.Module):
    """An `nn.Linear` with its weights in blocks; they cannot be trained, saved, copied or moved.

    Args:
        linear: whose weights they are.
        gelu: whether GELU comes after it.
    """

    def __init__(self, linear: nn.Linear, *, gelu: bool = False) -> None:
        super().__init__()
        plain = linear.weight.detach().to(torch.bfloat16)
        blocks = torch.ops.mkldnn._reorder_linear_weight(plain)
        self.weight = nn.Parameter(blocks, requires_grad=False)
        self.bias = None
        if linear.bias is not None:
            self.bias = nn.Parameter(linear.bias.detach().to(torch.bfloat16), requires_grad=False)
        self.then = "gelu" if gelu else "none"

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """The product in bf16; sums, bias and GELU are in float32 until it is rounded."""
        x = x.to(torch.bfloat16)
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.then, [], "none")


def exchange(model: nn.Module) -> None:
    """Put `Blocked` wherever a model has torch's.

    It takes over the GELU of a feed-forward part of HuBERT and its like.
    """
    # Not to hold the plain weights until the last is exchanged.
    for module in [part for part in model.modules() if not isinstance(part, nn.Linear)]:
        dense = getattr(module, "intermediate_dense", None)
        activation = getattr(module, "intermediate_act_fn", None)
        gelu = isinstance(dense, nn.Linear) and isinstance(activation, GELUActivation)
        for name, part in module.named_children():
            if isinstance(part, nn.Linear):
                setattr(module, name, Blocked(part, gelu=gelu and part is dense))
        if gelu:
            module.intermediate_act_fn = nn.Identity()
