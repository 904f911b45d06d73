"""What a pre-training can learn, by name.

An objective is a module made from a `Setting` and its options. `objective(model, wave, batch,
rank)` gives Losses; `masks` says whether it hides frames.
"""

from dataclasses import dataclass

from affekt.pretraining.front import Front
from affekt.pretraining.recipe import Pretraining

OBJECTIVES: dict[str, str] = {
    "masked-prediction": "affekt.pretraining.masked_prediction:MaskedPrediction",
    "distillation": "affekt.pretraining.distillation:Distillation",
}


@dataclass(frozen=True)
class Setting:
    """What an objective is told of the run that it is part of."""

    recipe: Pretraining
    front: Front
    dim: int  # channels of the network's frames
