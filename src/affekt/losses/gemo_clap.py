"""The objectives of Emo-CLAP, SL-GEmo-CLAP and ML-GEmo-CLAP (arXiv:2306.07848), eqs. (4) to (7).

A sentence is that of its clip's class. So the N x N similarities of eq. (3) are columns of the
N x K cosines to the K sentences, each of which is encoded once. Axes: N clips, K sentences.
"""

from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor, distributed

from affekt.errors import RecipeError
from affekt.losses import Losses
from affekt.losses.clap import Reduction, Target, ground_truth, mean_kl, soft_labels
from affekt.nn.recogniser import Output
from affekt.parts import Share

ALPHA = {"none": 1.0, "soft-labels": 0.8, "multi-task": 0.9}  # the paper does not say


class GEmoClap:
    """What a head called "clap" is trained with.

    Args:
        gender: "none" is Emo-CLAP, "soft-labels" SL-GEmo-CLAP, "multi-task" ML-GEmo-CLAP.
        alpha: weight of emotion in eqs. (6) and (7); with 1 all three are Emo-CLAP. The paper does
            not print it: 0.8 for soft labels and 0.9 for two tasks if not given.
        target: as of affekt.losses.clap.soft_target_kl.
        reduction: likewise.
        gather: where several processes train together, their batches are one batch: similarities
            are between all of their clips. Else each has matrices of its own.

    Raises:
        RecipeError: alpha without gender.
    """

    def __init__(
        self,
        *,
        gender: Literal["none", "soft-labels", "multi-task"] = "none",
        alpha: Share | None = None,
        target: Target = "softmax",
        reduction: Reduction = "batchmean",
        gather: bool = True,
    ) -> None:
        if gender == "none" and alpha is not None:
            raise RecipeError(
                f"objective 'clap': alpha = {alpha:g} weighs emotion against gender; give gender = "
                '"soft-labels" or "multi-task", or leave alpha out'
            )
        self.gender = gender
        self.alpha = ALPHA[gender] if alpha is None else alpha
        self._gathered = gathered if gather else _own
        self._mean_kl = partial(mean_kl, target=target, reduction=reduction)

    def __call__(
        self, output: Output, labels: Int[Tensor, " N"], genders: Int[Tensor, " N"]
    ) -> Losses:
        assert output.emotion is not None
        labels, genders = self._gathered(labels), self._gathered(genders)
        similar = output.emotion.similarities(self._gathered(output.emotion.cosines), labels)
        emotion, gender = ground_truth(labels), ground_truth(genders)
        if self.gender == "soft-labels":
            loss = self._mean_kl(*similar, soft_labels(emotion, gender, self.alpha))  # eq. (6)
            return Losses(loss, {"soft_labels": loss})
        l_e = self._mean_kl(*similar, emotion)  # eq. (4)
        if self.gender == "none":
            return Losses(l_e, {"emotion": l_e})
        if output.gender is not None:  # a head of its own, with sentences of genders
            similar = output.gender.similarities(self._gathered(output.gender.cosines), genders)
        l_g = self._mean_kl(*similar, gender)
        loss = self.alpha * l_e + (1 - self.alpha) * l_g  # eq. (7)
        return Losses(loss, {"emotion": l_e, "gender": l_g})


def gathered(own: Tensor) -> Tensor:
    """The rows of all processes, one after the other; every process must have as many.

    Each gets the gradient of what all of them make of its rows, so that the mean over processes is
    the gradient of one process with the whole batch.

    Raises:
        RecipeError: they have not.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return own
    sizes: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(sizes, len(own))
    if len({*sizes}) > 1:
        raise RecipeError(
            f"objective 'clap': processes have batches of {sizes} clips, which cannot be one; give "
            "each as many, or gather = false"
        )
    rows: Any = _Gathered.apply(own)
    return rows


def _own(own: Tensor) -> Tensor:
    return own


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        every = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(every, own.contiguous())
        return torch.cat(every)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        return gradient.chunk(distributed.get_world_size())[distributed.get_rank()]
