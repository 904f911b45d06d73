"""What a pre-training can learn, by name.

An objective is a module made from a `Setting` and its options. `objective(model, wave, batch,
rank)` gives Losses; `masks` says whether it hides frames, `kept` what of it the checkpoint holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from affekt.errors import RecipeError
from affekt.pretraining.front import Front
from affekt.pretraining.recipe import Pretraining

OBJECTIVES: dict[str, str] = {
    "masked-prediction": "affekt.pretraining.masked_prediction:MaskedPrediction",
    "distillation": "affekt.pretraining.distillation:Distillation",
    "contrastive": "affekt.pretraining.contrastive:Contrastive",
}


@dataclass(frozen=True)
class Setting:
    """What an objective is told of the run that it is part of."""

    recipe: Pretraining
    front: Front
    dim: int  # channels of the network's frames

    def refuse_targets(self) -> None:
        """Refuse [[target]], for objectives that predict none.

        Raises:
            RecipeError: the recipe has one.
        """
        if self.recipe.target:
            name = self.recipe.objective.name
            raise RecipeError(f"objective '{name}' has no use for [[target]]; leave it out")


@dataclass(frozen=True)
class Heads:
    """What a checkpoint holds on top of the network."""

    model: type[PreTrainedModel]  # transformers' class that has both
    weights: Mapping[str, Tensor]  # by the names that they have there
    fields: Mapping[str, Any]  # of the configuration
