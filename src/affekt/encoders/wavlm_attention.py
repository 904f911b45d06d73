"""WavLM's attention in one fused kernel: the gated relative position bias becomes the mask.

Chen et al. 2021 (arXiv:2110.13900), section III-B. The same weights as in transformers, whose
form transposes to (T, B, C) and keeps all attention weights; under bf16 on a CPU it is many
times slower. Axes: B batch, T frames, C channels, H heads, K channels of a head.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from affekt.nn.dropout import attention

GATES = 2  # of a frame in each head


class FusedAttention(WavLMAttention):
    """A `WavLMAttention` with another way through.

    Its weights have the same names, and are the same until `sum_projections`.

    `position_bias` (H, T, T) is that of the first layer, which makes it.
    """

    def __init__(self, attention: WavLMAttention) -> None:
        nn.Module.__init__(self)
        self.__dict__ |= attention.__dict__

    def distances(self, frames: int) -> Float[Tensor, "H _"]:
        """The bias of each distance, 1 - T to T - 1. Only the first layer has them."""
        distances = torch.arange(1 - frames, frames, device=self.rel_attn_embed.weight.device)
        return self.rel_attn_embed(self._relative_positions_bucket(distances)).T

    def positions(self, frames: int) -> Float[Tensor, "H T T"]:
        """The bias of every pair of frames, before the gates; their distance alone decides."""
        line = self.distances(frames)
        steps = torch.arange(frames, device=line.device)
        places = steps - steps[:, None] + frames - 1  # row i holds the distances from frame i
        return line.index_select(1, places.flatten()).unflatten(1, (frames, frames))

    def sum_projections(self) -> None:
        """Add up those behind a gate once, in the weights, which must not change afterwards."""
        linear = self.gru_rel_pos_linear
        if isinstance(linear, nn.Linear):  # and not yet in blocks
            for weight in linear.parameters():
                weight.data = weight.data.unflatten(0, (GATES, -1)).sum(1)
            linear.out_features = GATES

    def gates(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B H T 1"]:
        """What the bias of each frame is multiplied by."""
        split = x.unflatten(2, (self.num_heads, -1))  # (B, T, H, K)
        gates = self.gru_rel_pos_linear(split)  # (B, T, H, 2 gates of 4 projections each)
        if gates.shape[3] > GATES:
            gates = gates.unflatten(3, (GATES, -1)).sum(4)
        gates = gates.sigmoid().transpose(1, 2)
        return gates[..., :1] * (gates[..., 1:] * self.gru_rel_pos_const - 1.0) + 2.0

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        hidden_states: Float[Tensor, "B T C"],
        attention_mask: Bool[Tensor, "B T"] | None = None,
        position_bias: Float[Tensor, "H T T"] | None = None,
        **_: object,
    ) -> tuple[Tensor, None, Tensor]:
        """Attended values (B, T, C); no weights; the bias for the next layer."""
        x = hidden_states
        if position_bias is None:
            position_bias = self.positions(x.shape[1])
        bias = self.gates(x) * position_bias  # (B, H, T, T)
        if attention_mask is not None:
            bias = bias.masked_fill(~attention_mask[:, None, None], -torch.inf)
        q, k, v = (
            project(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = attention(q, k, v, bias.to(q.dtype), self.dropout if self.training else 0.0)
        attended = attended.transpose(1, 2).contiguous().flatten(2)
        return self.out_proj(attended), None, position_bias
