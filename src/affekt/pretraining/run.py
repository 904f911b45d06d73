"""pretrain(recipe): speech found, codebooks made, a network trained, all in one folder."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from affekt import disk
from affekt.audio import RATE
from affekt.encoders.speech import has_bf16, processor
from affekt.environment import environment
from affekt.errors import RecipeError, RunError
from affekt.parts import build
from affekt.pretraining import folder, processes
from affekt.pretraining import log as table
from affekt.pretraining.features import FEATURES
from affekt.pretraining.front import Front
from affekt.pretraining.module import parts
from affekt.pretraining.recipe import Pretraining
from affekt.pretraining.speech import Progress, Utterances, find
from affekt.pretraining.train import Run, train

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a pre-training came to."""

    model: Path  # a checkpoint in Hugging Face's format
    steps: int
    loss: float  # mean over the last tenth of the steps
    hours: float  # of audio heard
    seconds: float
    parameters: int
    left_out: list[str]  # why recordings were not heard


def pretrain(
    recipe: Pretraining,
    speech: Sequence[Path],
    *,
    out: Path,
    progress: Progress = lambda *_: None,
) -> Result:
    """Pre-train an encoder on the recordings under the folders; the same call goes on later.

    Args:
        recipe: what to train, and how.
        speech: folders with recordings.
        out: the run's folder.
        progress: is told what is going on.

    Raises:
        AffektError: recipe, folders or `out` are not what they should be.
    """
    parameters = check(recipe)
    with folder.held(out, recipe):
        disk.write_json(out / "environment.json", environment())
        utterances = find(speech, out, shortest=min(recipe.training.pieces), progress=progress)
        _tell(utterances)
        run = Run(recipe, utterances, out)
        for targets in run.targets:
            targets.make(progress)
        if recipe.training.devices > 1:
            processes.train_on_all(run, progress)
        else:
            train(run, progress)
        rows = table.read(out / "log.csv")
        disk.write(out / "loss.svg", table.picture(rows))
    if not math.isfinite(rows[-1]["loss"]):
        raise RunError(
            f"{out}: the loss ended as {rows[-1]['loss']}: {out / 'model'} is of no use; lower "
            "training.lr and start over with --overwrite"
        )
    last = rows[-max(1, len(rows) // 10) :]
    return Result(
        model=out / "model",
        steps=len(rows),
        loss=sum(row["loss"] for row in last) / len(last),
        hours=rows[-1]["hours"],
        seconds=rows[-1]["seconds"],
        parameters=parameters,
        left_out=[*utterances.left_out.values()],
    )


def check(recipe: Pretraining) -> int:
    """Refuse a recipe that cannot run, before anything is looked at; the network's parameters."""
    front, training = Front.of(recipe.configuration), recipe.training
    shortest = min(training.pieces)
    if not front.frames(round(shortest * RATE)):
        raise RecipeError(f"training.pieces: {shortest:g} s is less than one frame of the network")
    for target in recipe.target:
        build(FEATURES, target.features, "features")
    model, _ = parts(recipe)
    device = processor()
    if training.precision == "bf16" and not has_bf16(device):
        log.info("this processor does not multiply in bf16: trained in float32")
    if device.type == "cuda" and training.devices > torch.cuda.device_count():
        raise RecipeError(
            f"training.devices = {training.devices}, but there are {torch.cuda.device_count()}"
        )
    return sum(p.numel() for p in model.parameters())


def _tell(utterances: Utterances) -> None:
    """What will be heard, and what will not."""
    log.info(
        "%s: %.2f h of speech in %d utterances; %d recordings are too short, %d sound like "
        "another one, %d cannot be read",
        ", ".join(utterances.names),
        utterances.hours,
        len(utterances),
        utterances.short,
        utterances.twice,
        len(utterances.left_out),
    )
