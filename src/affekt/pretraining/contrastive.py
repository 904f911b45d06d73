"""Contrastive learning: which quantized frame stood where the network saw a mask?

Baevski et al. 2020, wav2vec 2.0 (arXiv:2006.11477), sections 3 and 4.2. Axes: B batch, S samples,
T frames.
"""

from typing import Annotated, Any

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from transformers import Wav2Vec2ForPreTraining

from affekt.errors import RecipeError
from affekt.losses import Losses
from affekt.losses.wav2vec2 import Wav2Vec2Task
from affekt.nn.quantizer import Quantizer
from affekt.pretraining.batches import Batch
from affekt.pretraining.masks import Masks
from affekt.pretraining.objective import Heads, Setting

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Contrastive(nn.Module):
    """The contrastive loss plus `diversity` times the diversity loss, with wav2vec 2.0's heads.

    Both are means over masked frames, so that the learning rate does not depend on the batch.
    Differs from the paper: spans do not overlap (see affekt.nn.masking), the front end learns at
    the rate of the rest, and its energy is not penalised.

    Args:
        setting: of the run.
        share: of the frames that are masked.
        span: seconds that are masked in one piece.
        codebooks: G.
        entries: V, of each codebook.
        width: channels of a quantized frame, and those in which frames are compared.
        distractors: K, of the masked frames of the same piece.
        temperature: kappa.
        diversity: alpha.
        gumbel_start: tau in the first step, the temperature at which entries are chosen.
        gumbel_end: tau at least.
        gumbel_factor: of tau from one step to the next.
    """

    masks = True

    def __init__(
        self,
        setting: Setting,
        *,
        share: float = 0.5,
        span: float = 0.2,
        codebooks: Count = 2,
        entries: Count = 320,
        width: Count = 256,
        distractors: Count = 100,
        temperature: Positive = 0.1,
        diversity: Annotated[float, Field(ge=0)] = 0.1,
        gumbel_start: Positive = 2.0,
        gumbel_end: Positive = 0.5,
        gumbel_factor: Annotated[float, Field(gt=0, le=1)] = 0.999995,
    ) -> None:
        super().__init__()
        setting.refuse_targets()
        self.hidden = Masks(setting, share=share, span=span)
        self._check(width, codebooks)
        self.front = setting.front
        self.gumbel = (gumbel_start, gumbel_end, gumbel_factor)
        network: Any = setting.recipe.configuration
        self.dropout = nn.Dropout(network.feat_quantizer_dropout)
        self.task = Wav2Vec2Task(
            setting.dim,
            Quantizer(network.conv_dim[-1], groups=codebooks, entries=entries, width=width),
            width=width,
            distractors=distractors,
            temperature=temperature,
            diversity=diversity,
            reduction="mean",
        )

    def _check(self, width: int, codebooks: int) -> None:
        if width % codebooks:
            raise RecipeError(
                f"objective 'contrastive': width = {width} is no multiple of "
                f"codebooks = {codebooks}, each of which fills as many channels of it"
            )
        fewest = int(self.hidden(0, 0, rows=1, frames=self.hidden.shortest).sum())
        if fewest < 2:
            raise RecipeError(
                "objective 'contrastive': of the shortest of training.pieces one frame is masked, "
                "and there is none to tell it from; raise share or span"
            )

    def forward(self, model: Any, wave: Float[Tensor, "B S"], batch: Batch, rank: int) -> Losses:
        """The loss of a batch; every device masks other frames."""
        frames = self.front.frames(wave.shape[1])
        mask = self.hidden(batch.step, rank, rows=len(wave), frames=frames).to(wave.device)
        said = model(wave, mask_time_indices=mask)
        self.task.quantizer.temperature = self.tau(batch.step)
        return self.task(said.last_hidden_state, self.dropout(said.extract_features), mask)

    def tau(self, step: int) -> float:
        """Gumbel's temperature in step 0, 1, ...; section 4.2."""
        start, end, factor = self.gumbel
        return max(start * factor**step, end)

    @property
    def kept(self) -> Heads:
        """The heads, as transformers' Wav2Vec2ForPreTraining has them."""
        task, quantizer = self.task, self.task.quantizer
        fields = {
            "num_codevector_groups": quantizer.groups,
            "num_codevectors_per_group": quantizer.codevectors.shape[1] // quantizer.groups,
            "codevector_dim": task.project_q.in_features,
            "proj_codevector_dim": task.project_q.out_features,
            "num_negatives": task.distractors,
            "contrastive_logits_temperature": task.temperature,
            "diversity_loss_weight": task.diversity,
        }
        return Heads(Wav2Vec2ForPreTraining, task.state_dict(), fields)
