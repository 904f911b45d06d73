"""What is minimised."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Losses:
    """What is minimised, and the named parts of it as in the paper."""

    total: Tensor
    parts: dict[str, Tensor]


OBJECTIVES: dict[str, str] = {
    "classification": "affekt.losses.classification:Classification",
    "clap": "affekt.losses.gemo_clap:GEmoClap",
    "supervised-contrastive": "affekt.losses.supervised_contrastive:SupervisedContrastive",
}
