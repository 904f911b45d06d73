"""Of a fold's sides what a stage is given: which utterances, and as what.

Axes: L layers, T frames, D channels, R pooled channels.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from affekt.batches import UtteranceDataset, in_order
from affekt.encoders.speech import processor
from affekt.nn.recogniser import Recogniser
from affekt.recipe import Stage
from affekt.recipe.stage import Part
from affekt.types import Fold, Utterance

JUDGED_AT_ONCE = 64  # utterances
Inputs = Mapping[str, Any]  # by Utterance.key


def corpora(fold: Fold) -> list[str]:
    """The corpora that are tested, or trained on where nothing is tested."""
    return list(dict.fromkeys(u.corpus for u in fold.test or fold.train))


def of_stage(
    utterances: Sequence[Utterance], stage: Stage, corpus: str | None = None
) -> list[Utterance]:
    """Those of the corpora that a stage is trained on, of the one if it is trained per corpus."""
    wanted = [corpus] if corpus is not None else stage.train_on
    return [u for u in utterances if not wanted or u.corpus in wanted]


def seen(
    model: Recogniser,
    inputs: Inputs,
    utterances: Sequence[Utterance],
    *,
    trains: Sequence[Part],
    scales: nn.Module,
    drawn: bool,
) -> Inputs:
    """Inputs as far as what is trained does not change them: made once, not once per step.

    Without an encoder in the model they are frames, which are standardised; with one they are what
    it takes, and become frames unless it is trained. Frames become pooled vectors where pooling
    them always gives the same.

    Args:
        model: with the encoder, if inputs are what an encoder takes.
        inputs: of these utterances, and maybe of others.
        utterances: which will be asked for.
        trains: the parts of the model that change.
        scales: what standardises frames, where they are.
        drawn: whether signals are drawn anew in training, so that nothing can be made before.
    """
    once = [*dict.fromkeys(utterances)]
    if drawn or (model.encoder is not None and "encoder" in trains):
        return inputs
    if model.encoder is not None:
        inputs = _heard(model, inputs, once)
    elif not isinstance(scales, nn.Identity):
        inputs = {u.key: scales(inputs[u.key]) for u in once}
    if once and model.pools_the_same(trains, len(inputs[once[0].key])):
        return _pooled(model, inputs, once)
    return inputs


@torch.no_grad()
def _heard(
    model: Recogniser, inputs: Inputs, utterances: Sequence[Utterance]
) -> dict[str, Float[Tensor, "L T D"]]:
    """The layers that are looked at, in bfloat16 as the cache has them."""
    found: dict[str, Float[Tensor, "L T D"]] = {}
    for keys, given in _once(model, inputs, utterances):
        frames = model.heard(given)
        layers = model.mix.needed(frames.layers).bfloat16().cpu()
        counts = frames.mask.sum(dim=1).tolist()
        for key, clip, count in zip(keys, layers, counts, strict=True):
            found[key] = clip[:, :count].clone()  # without the padding
    return found


@torch.no_grad()
def _pooled(
    model: Recogniser, inputs: Inputs, utterances: Sequence[Utterance]
) -> dict[str, Float[Tensor, " R"]]:
    """What the head is given of each utterance."""
    found: dict[str, Float[Tensor, " R"]] = {}
    for keys, frames in _once(model, inputs, utterances):
        found |= dict(zip(keys, model.pooled(frames).cpu(), strict=True))
    return found


def _once(
    model: Recogniser, inputs: Inputs, utterances: Sequence[Utterance]
) -> Iterator[tuple[list[str], Any]]:
    """Batches of all utterances where `model` is, which is then as it is judged."""
    model.eval().to(processor())
    with torch.random.fork_rng(devices=[]):  # a loader draws a number: training would draw others
        for batch in in_order(UtteranceDataset(utterances, inputs, []), JUDGED_AT_ONCE):
            yield batch.keys, batch.to(processor()).inputs
