"""Distillation: several layers of a larger encoder from the last layer of a small one.

Chang et al. 2022, DistilHuBERT (arXiv:2110.01900), section 2.2. Axes: B batch, S samples,
T frames, D channels.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from affekt.encoders.speech import Speech
from affekt.errors import RecipeError
from affekt.losses import Losses
from affekt.pretraining.batches import Batch
from affekt.pretraining.features import refuse_layers, stride
from affekt.pretraining.objective import Setting


def distance(
    student: Float[Tensor, "B T D"], teacher: Float[Tensor, "B T D"], cosine: float
) -> tuple[Tensor, Tensor]:
    """The two terms of eq. (1), each the mean over frames: L1, and `cosine` x -log sigmoid(cos)."""
    similarity = nn.functional.cosine_similarity(student, teacher, dim=2)
    l1 = (student - teacher).abs().mean()
    return l1, -cosine * nn.functional.logsigmoid(similarity).mean()


class Distillation(nn.Module):
    """The mean over layers of the distance to them, each from a linear head of its own.

    Differs from DistilHuBERT: the student begins with random weights, where theirs takes over the
    teacher's front end and first layers.

    Args:
        setting: of the run.
        teacher: a checkpoint of any family that `encoder = { name = "speech" }` reads; frozen.
        layers: of the teacher; 0 is the input of its transformer.
        revision: of a teacher on the hub.
        cosine: weight of the cosine's term, lambda.
    """

    masks = False
    kept = None

    def __init__(
        self,
        setting: Setting,
        *,
        teacher: str,
        layers: list[int],
        revision: str | None = None,
        cosine: float = 1.0,
    ) -> None:
        super().__init__()
        setting.refuse_targets()
        if cosine < 0:
            raise RecipeError(f"objective 'distillation': cosine must be 0 or more, not {cosine:g}")
        precision = setting.recipe.training.precision
        found = Speech(model=teacher, revision=revision, precision=precision)
        refuse_layers(layers, found, teacher)
        self.layers = layers
        self.cosine = cosine
        self.ratio = setting.front.stride / stride(found)
        self.heads = nn.ModuleList(nn.Linear(setting.dim, found.dim) for _ in layers)
        self._teacher = [found]  # in a list: its weights are no part of what is trained and saved

    def forward(self, model: Any, wave: Float[Tensor, "B S"], batch: Batch, rank: int) -> Losses:
        """The loss of a batch; the teacher hears the audio as it is in the files."""
        h = model(wave).last_hidden_state
        truth = self._taught(batch.wave, h.shape[1])
        parts: dict[str, Tensor] = {}
        for n, (layer, head) in enumerate(zip(self.layers, self.heads, strict=True)):
            terms = distance(head(h).float(), truth[:, n], self.cosine)
            parts |= dict(zip((f"L1 {layer}", f"cosine {layer}"), terms, strict=True))
        return Losses(torch.stack([*parts.values()]).sum() / len(self.layers), parts)

    @torch.no_grad()
    def _taught(self, wave: Float[Tensor, "B S"], frames: int) -> Float[Tensor, "B L T D"]:
        """The teacher's layers, at each frame of the student those nearest in time."""
        teacher = self._teacher[0].to(wave.device)
        lengths = torch.full((len(wave),), wave.shape[1], device=wave.device)
        layers = teacher(wave, lengths).layers[:, self.layers].float()
        middle = ((torch.arange(frames, device=wave.device) + 0.5) * self.ratio).long()
        return layers[:, :, middle.clamp(max=layers.shape[2] - 1)]
