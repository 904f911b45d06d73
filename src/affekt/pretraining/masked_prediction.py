"""Masked prediction: the labels of frames that the network does not see.

Hsu et al. 2021, HuBERT (arXiv:2106.07447), section II-B; several codebooks at once as in section
II-C. Axes: B batch, S samples, T frames, D channels, M masked or visible frames, K centres.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from affekt.errors import RecipeError
from affekt.losses import Losses
from affekt.pretraining.batches import Batch
from affekt.pretraining.masks import Masks
from affekt.pretraining.objective import Setting
from affekt.pretraining.targets import name_of


class MaskedPrediction(nn.Module):
    """Cross-entropy of every codebook on masked frames, averaged by the targets' weights.

    Differs from HuBERT, eq. (3): a head is linear over all centres, where theirs compares a
    projection with a learned embedding of each by a cosine. The front end learns at the rate of
    the rest and its energy is not penalised, as both are in HuBERT's pre-training.

    Args:
        setting: of the run.
        share: of the frames that are masked.
        span: seconds that are masked in one piece.
        unmasked: weight of the same loss on the frames that are visible.
    """

    masks = True
    kept = None

    def __init__(
        self, setting: Setting, *, share: float = 0.65, span: float = 0.2, unmasked: float = 0.0
    ) -> None:
        super().__init__()
        targets = setting.recipe.target
        if unmasked < 0:
            raise RecipeError(
                f"objective 'masked-prediction': unmasked must be 0 or more, not {unmasked:g}"
            )
        if not targets:
            raise RecipeError("objective 'masked-prediction' needs at least one [[target]]")
        self.hidden = Masks(setting, share=share, span=span)
        self.unmasked = unmasked
        self.names = [name_of(t, n) for n, t in enumerate(targets)]
        self.weights = [t.weight / sum(t.weight for t in targets) for t in targets]
        self.heads = nn.ModuleList(nn.Linear(setting.dim, t.clusters) for t in targets)

    def forward(self, model: Any, wave: Float[Tensor, "B S"], batch: Batch, rank: int) -> Losses:
        """The loss of a batch; every device masks other frames."""
        rows, frames = batch.labels[0].shape
        mask = self.hidden(batch.step, rank, rows=rows, frames=frames).to(wave.device)
        h = model(wave, mask_time_indices=mask).last_hidden_state
        masked, parts = self._judged(h[mask], [labels[mask] for labels in batch.labels])
        if not self.unmasked:
            return Losses(masked, parts)
        seen, _ = self._judged(h[~mask], [labels[~mask] for labels in batch.labels])
        return Losses(masked + self.unmasked * seen, parts | {"unmasked": seen})

    def _judged(
        self, h: Float[Tensor, "M D"], labels: list[Int[Tensor, " M"]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over codebooks, and loss and accuracy of each."""
        total, parts = h.new_zeros((), dtype=torch.float32), dict[str, Tensor]()
        for name, weight, head, truth in zip(
            self.names, self.weights, self.heads, labels, strict=True
        ):
            logits = head(h).float()
            loss = nn.functional.cross_entropy(logits, truth)
            total = total + weight * loss
            parts[f"loss {name}"] = loss
            parts[f"accuracy {name}"] = (logits.argmax(dim=1) == truth).float().mean()
        return total, parts
