"""Which frames of a step are hidden. Axes: B batch, T frames."""

import torch
from jaxtyping import Bool
from torch import Tensor

from affekt.audio import RATE
from affekt.errors import RecipeError
from affekt.nn.masking import spans
from affekt.pretraining.batches import MASK, generator
from affekt.pretraining.objective import Setting


class Masks:
    """Draws the mask of a step, of spans, the same for the same seed, step and rank.

    Args:
        setting: of the run.
        share: of the frames that are masked.
        span: seconds that are masked in one piece.

    Raises:
        RecipeError: nothing, or everything, would be masked.
    """

    def __init__(self, setting: Setting, *, share: float, span: float) -> None:
        where = f"objective '{setting.recipe.objective.name}'"
        if not 0 < share < 1 or span <= 0:
            raise RecipeError(
                f"{where}: expected 0 < share < 1, span > 0, "
                f"but got share = {share:g}, span = {span:g}"
            )
        self.share = share
        self.span = max(1, round(span * RATE / setting.front.stride))  # frames
        self.seed = setting.recipe.training.seed
        shortest = min(setting.recipe.training.pieces)
        self.shortest = setting.front.frames(round(shortest * RATE))  # frames
        if self.span >= self.shortest:
            raise RecipeError(
                f"{where}: span = {span:g} s leaves nothing of the shortest "
                f"of training.pieces, {shortest:g} s; lower the one or raise the other"
            )

    def __call__(self, step: int, rank: int, *, rows: int, frames: int) -> Bool[Tensor, "B T"]:
        """The mask of one step on one device."""
        rng = generator(self.seed, step, rank, MASK)
        return torch.from_numpy(spans(rng, rows, frames, share=self.share, span=self.span))
