"""Recognisers that a run left, ready to hear recordings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from affekt import audio
from affekt.batches import UtteranceDataset, in_order
from affekt.encoders import ENCODERS
from affekt.encoders.speech import processor
from affekt.errors import AudioError, RunError, nearest
from affekt.nn.recogniser import Output, Recogniser
from affekt.nn.standardise import Standardise
from affekt.parts import build, find
from affekt.recipe import Recipe
from affekt.signals import Signals
from affekt.training.fit import recogniser
from affekt.training.sides import JUDGED_AT_ONCE
from affekt.types import Utterance

SHOWN = 5  # recordings that cannot be read


@dataclass(frozen=True)
class Trained:
    """A recogniser of one seed and fold, with its encoder."""

    model: Recogniser
    classes: list[str]
    steps: Sequence[audio.Step]  # of the audio, before the encoder
    name: str  # what it is called in messages

    @torch.inference_mode()
    def hear(self, files: Sequence[Path]) -> list[Output]:
        """What is given of each recording, in their order; each of a batch of one.

        Raises:
            AudioError: one cannot be read.
        """
        said = [
            Utterance(id=str(n), audio=p, emotion="unknown", corpus="") for n, p in enumerate(files)
        ]
        signals = Signals(said, self.steps)
        if reasons := signals.unusable(lambda _: None):
            raise AudioError("\n  ".join([*reasons.values()][:SHOWN]))
        found: dict[str, Output] = {}
        for batch in in_order(UtteranceDataset(said, signals, []), JUDGED_AT_ONCE):
            output = self.model(batch.to(processor()).inputs)
            for n, key in enumerate(batch.keys):
                row = slice(n, n + 1)
                found[key] = Output(output.pooled[row], output.embedding[row], output.logits[row])
        return [found[u.key] for u in said]


def load(
    run: Path, *, seed: int | None = None, fold: str | None = None, corpus: str | None = None
) -> Trained:
    """A recogniser of a run.

    Args:
        run: the folder that `affekt run` wrote.
        seed: one of the recipe's; the first if not given.
        fold: likewise.
        corpus: whose model, where the last stages were per corpus.

    Raises:
        RunError: there is no run, no such seed or fold, or its model is not there or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not (run / "recipe.toml").is_file():
        raise RunError(f"{run}: no run there; give the folder that affekt run wrote")
    recipe = Recipe.load(run / "recipe.toml")
    if recipe.pooling is None:
        raise RunError(f"{run}: a classifier of scikit-learn, of which no model is kept")
    folder = _folder(run, seed, fold)
    file = folder / "model" / (corpus or "") / "model.safetensors"
    if not file.is_file():
        own = sorted(path.parent.name for path in (folder / "model").glob("*/model.safetensors"))
        why = f"name a corpus, one of {', '.join(own)}" if own else "run the recipe again"
        raise RunError(f"{file}: no model there; {why}")
    try:
        with safe_open(file, "pt") as opened:
            classes = (opened.metadata() or {})["classes"].split("\n")
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError) as e:
        raise RunError(f"{file} is damaged ({e}); remove {folder} and run the recipe again") from e
    encoder: Any = build(ENCODERS, recipe.encoder, "encoder")
    standardise = None
    if getattr(find(ENCODERS, recipe.encoder.name, "encoder"), "standardise", False):
        standardise = Standardise(encoder.layers, encoder.dim)
    model = recogniser(
        recipe, encoder.layers, encoder.dim, classes, encoder=encoder, standardise=standardise
    )
    found = model.load_state_dict(weights, strict=False)
    frozen = recipe.encoder.options.get("trainable", "none") == "none"
    lacking = [k for k in found.missing_keys if not (frozen and k.startswith("encoder."))]
    if odd := [*found.unexpected_keys, *lacking]:
        raise RunError(f"{file}: {odd[0]} does not fit the run's recipe; run it again")
    steps = [build(audio.STEPS, step, "audio step") for step in recipe.audio]
    return Trained(model.eval().to(processor()), classes, steps, str(folder))


def _folder(run: Path, seed: int | None, fold: str | None) -> Path:
    """The folder of a seed and fold, the first ones if they are not named."""
    from affekt.protocols.grouping import natural

    at = run
    for kind, name in (("seed", seed), ("fold", fold)):
        there = sorted((p.name.removeprefix(f"{kind}-") for p in at.glob(f"{kind}-*")), key=natural)
        if not there:
            raise RunError(f"{at}: no {kind} is trained; run the recipe again")
        wanted = there[0] if name is None else str(name)
        if wanted not in there:
            raise RunError(
                f"{run}: no {kind} '{wanted}'; it has {', '.join(there)}.{nearest(wanted, there)}"
            )
        at = at / f"{kind}-{wanted}"
    return at
