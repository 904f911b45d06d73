"""The network that an objective trains: a family of transformers' models.

HuBERT, unless the objective has heads that a checkpoint of another family holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model

Config = HubertConfig | Wav2Vec2Config
Network = HubertModel | Wav2Vec2Model

MASKING = ("apply_spec_augment", "mask_feature_prob")  # the objective decides on masks
ADAPTER = ("add_adapter",)  # it would leave fewer frames than the front end's, which are predicted


@dataclass(frozen=True)
class Family:
    """A network, and what a recipe may say of its configuration."""

    config: type[Config]
    network: type[Network]
    fixed: tuple[str, ...]  # fields that a recipe cannot set
    options: Mapping[str, str] = field(default_factory=dict)  # fields that are the objective's


HUBERT = Family(HubertConfig, HubertModel, MASKING)
WAV2VEC2 = Family(
    Wav2Vec2Config,
    Wav2Vec2Model,
    MASKING + ADAPTER,
    {
        "num_codevector_groups": "codebooks",
        "num_codevectors_per_group": "entries",
        "codevector_dim": "width",
        "proj_codevector_dim": "width",
        "num_negatives": "distractors",
        "contrastive_logits_temperature": "temperature",
        "diversity_loss_weight": "diversity",
    },
)
FAMILIES: dict[str, Family] = {"contrastive": WAV2VEC2}  # of objectives; all others: HUBERT
