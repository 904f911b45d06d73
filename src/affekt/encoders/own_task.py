"""The task of wav2vec 2.0, on which an encoder can go on learning while it is fine-tuned.

Tang et al. 2023 (arXiv:2311.13678), section 3.3: one forward pass with masked frames serves both
the classifier and this task. Axes: B batch, T frames.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from pydantic import BaseModel, Field
from safetensors import safe_open
from torch import Tensor

from affekt.encoders import checkpoint
from affekt.errors import EncoderError
from affekt.losses.wav2vec2 import Wav2Vec2Task
from affekt.nn.masking import spans
from affekt.nn.quantizer import Quantizer
from affekt.recipe.stage import STRICT

TEMPERATURE = 0.5  # of the choice of entries; what wav2vec 2.0 ends its pre-training with
HEADS = ("quantizer.", "project_hid.", "project_q.")


class OwnTask(BaseModel):
    """What is masked, and where the heads of the task come from.

    The paper does not say how much is masked; half of the frames in spans of 10 is what wav2vec
    2.0 was pre-trained with. Spans do not overlap, see affekt.nn.masking.
    """

    model_config = STRICT

    heads: Literal["kept", "fresh"] = "kept"  # those of the checkpoint, or random ones
    share: float = Field(default=0.5, gt=0, lt=1)  # of the frames of an utterance
    span: int = Field(default=10, ge=1)  # frames
    reduction: Literal["sum", "mean"] = "sum"  # over masked frames; a beta of 1e-3 is for sums


def made(chosen: OwnTask, model: Any, folder: Path) -> Wav2Vec2Task:
    """The task over a model of transformers, with the sizes that its config says.

    Args:
        chosen: the options.
        model: of any family over waves.
        folder: of its checkpoint.

    Raises:
        EncoderError: the checkpoint's heads are asked for and it has none, or it cannot mask.
    """
    from transformers import Wav2Vec2Config

    if getattr(model, "masked_spec_embed", None) is None:
        raise EncoderError(
            f"{folder}: has nothing that stands for a masked frame (mask_time_prob = 0 in its "
            "config.json); leave 'task' out"
        )
    config, usual = model.config, Wav2Vec2Config()

    def size(name: str) -> Any:
        return getattr(config, name, getattr(usual, name))

    quantizer = Quantizer(
        config.conv_dim[-1],
        groups=size("num_codevector_groups"),
        entries=size("num_codevectors_per_group"),
        width=size("codevector_dim"),
    )
    quantizer.temperature = TEMPERATURE
    task = Wav2Vec2Task(
        config.hidden_size,
        quantizer,
        width=size("proj_codevector_dim"),
        distractors=size("num_negatives"),
        temperature=size("contrastive_logits_temperature"),
        diversity=size("diversity_loss_weight"),
        reduction=chosen.reduction,
    )
    if chosen.heads == "kept":
        _take_over(task, folder)
    return task


def _take_over(task: Wav2Vec2Task, folder: Path) -> None:
    """The weights of the checkpoint's own heads."""
    found = {}
    for file in sorted(folder.glob(checkpoint.WEIGHTS)):
        with safe_open(file, "pt") as weights:
            names = [name for name in weights.keys() if name.startswith(HEADS)]  # noqa: SIM118
            found |= {name: weights.get_tensor(name).float() for name in names}
    if not found:
        raise EncoderError(
            f"{folder}: has no quantizer, so that its own task cannot go on; take a wav2vec 2.0 "
            'as it was pre-trained, task = { heads = "fresh" } for heads that begin with random '
            "weights, or leave 'task' out (beta = 0)"
        )
    try:
        task.load_state_dict(found)
    except RuntimeError as e:
        reason = " ".join(str(e).split()[:40])
        raise EncoderError(
            f"{folder}: its quantizer does not fit its config.json ({reason}); copy it again"
        ) from e


def hidden(chosen: OwnTask, frames: Int[Tensor, " B"], longest: int) -> Bool[Tensor, "B T"]:
    """Which frames of a padded batch are masked: of each utterance the same share."""
    rng = np.random.default_rng(int(torch.randint(2**62, ())))
    mask = torch.zeros(len(frames), longest, dtype=torch.bool)
    for row, count in zip(mask, frames.tolist(), strict=True):
        if count > chosen.span:  # shorter ones cannot be masked
            drawn = spans(rng, 1, count, share=chosen.share, span=chosen.span)
            row[:count] = torch.from_numpy(drawn[0])
    return mask.to(frames.device)
