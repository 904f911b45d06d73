"""The task of wav2vec 2.0: which quantized frame stood where the network saw a mask?

Baevski et al. 2020 (arXiv:2006.11477), section 3.2; in fine-tuning: Tang et al. 2023
(arXiv:2311.13678), eqs. (1) to (3). Axes: B batch, T frames, D channels of the network, C of its
front end, K distractors, N masked frames.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from affekt.losses import Losses
from affekt.nn.quantizer import Quantizer


class Wav2Vec2Task(nn.Module):
    """The contrastive loss and 0.1 times the diversity loss, with the heads that they need.

    Differs from eq. (2): transformers' and fairseq's diversity, the share of entries that is out
    of use, times the number of masked frames.

    Args:
        dim: D.
        front: C.
        quantizer: of the front end's frames.
        width: channels in which frames are compared.
        distractors: K.
        temperature: kappa.
        diversity: weight of the second loss.
        reduction: over masked frames. Those who pre-train take the sum.
    """

    def __init__(
        self,
        dim: int,
        quantizer: Quantizer,
        *,
        width: int = 256,
        distractors: int = 100,
        temperature: float = 0.1,
        diversity: float = 0.1,
        reduction: Literal["sum", "mean"] = "sum",
    ) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.project_hid = nn.Linear(dim, width)
        self.project_q = nn.Linear(quantizer.codevectors.shape[2] * quantizer.groups, width)
        self.distractors = distractors
        self.temperature = temperature
        self.diversity = diversity
        self.reduction = reduction

    def forward(
        self,
        context: Float[Tensor, "B T D"],
        latent: Float[Tensor, "B T C"],
        mask: Bool[Tensor, "B T"],
        negatives: Int[Tensor, "B T K"] | None = None,
    ) -> Losses:
        """The loss of a batch, in float32; zero where nothing is masked.

        Args:
            context: c, what the transformer makes of a masked input.
            latent: z, the normalised output of the front end, unmasked.
            mask: the frames that were masked.
            negatives: for each frame the numbers of its distractors; drawn if not given.
        """
        if not mask.any():  # of nothing there is no mean
            zero = context.sum() * 0.0
            return Losses(zero, {"contrastive": zero, "diversity": zero})
        with torch.autocast(context.device.type, enabled=False):
            return self._judged(context.float(), latent.float(), mask, negatives)

    def _judged(
        self,
        context: Float[Tensor, "B T D"],
        latent: Float[Tensor, "B T C"],
        mask: Bool[Tensor, "B T"],
        negatives: Int[Tensor, "B T K"] | None,
    ) -> Losses:
        quantized = self.quantizer(latent, mask)
        if negatives is None:
            negatives = sampled(mask, self.distractors)
        q = nn.functional.normalize(self.project_q(quantized.frames), dim=2)
        c = nn.functional.normalize(self.project_hid(context), dim=2)
        similar = (c @ q.transpose(1, 2)) / self.temperature  # (B, T, T)
        same = (quantized.entries[:, :, None] == quantized.entries[:, None]).all(dim=3)
        wrong = similar.masked_fill(same, -torch.inf).gather(2, negatives)
        right = similar.diagonal(dim1=1, dim2=2)[:, :, None]
        heard = mask & (mask.sum(dim=1, keepdim=True) > 1)  # a single one has no distractors
        logits = torch.cat([right, wrong], dim=2)[heard]  # (N, 1 + K)
        truth = logits.new_zeros(len(logits), dtype=torch.long)
        contrastive = nn.functional.cross_entropy(logits, truth, reduction="sum")  # eq. (1)
        entries = self.quantizer.codevectors.shape[1]
        diversity = (entries - quantized.perplexity) / entries * mask.sum()
        frames = mask.sum().clamp(min=1) if self.reduction == "mean" else 1
        parts = {"contrastive": contrastive / frames, "diversity": diversity / frames}
        return Losses(parts["contrastive"] + self.diversity * parts["diversity"], parts)  # eq. (3)


def sampled(mask: Bool[Tensor, "B T"], count: int) -> Int[Tensor, "B T K"]:
    """For each masked frame others of its utterance that are masked too, at random.

    For frames that are not masked, any numbers.
    """
    masked = mask.sum(dim=1)[:, None, None]
    rank = (mask.cumsum(dim=1) - 1)[:, :, None]
    drawn = torch.rand(*mask.shape, count, device=mask.device)
    others = (drawn * (masked - 1).clamp(min=1)).long()
    others = others + (others >= rank)
    places = mask.int().argsort(dim=1, descending=True, stable=True)  # masked frames first
    return (
        places[:, None].expand(-1, mask.shape[1], -1).gather(2, others.clamp(max=mask.shape[1] - 1))
    )
