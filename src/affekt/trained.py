"""Recognisers that a run left, ready to hear recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from affekt import audio
from affekt.batches import UtteranceDataset, in_order
from affekt.encoders import ENCODERS
from affekt.encoders.speech import Speech, processor
from affekt.errors import AudioError, RecipeError, RunError, nearest
from affekt.inference.hearing import Hearing
from affekt.inference.predictor import Predictor
from affekt.nn.assembly import recogniser
from affekt.nn.recogniser import Output, Recogniser
from affekt.nn.standardise import Standardise
from affekt.parts import build, options
from affekt.recipe import Recipe
from affekt.recipe.places import locate
from affekt.run_folder import place_of
from affekt.signals import Signals
from affekt.training.sides import JUDGED_AT_ONCE
from affekt.types import Utterance


@dataclass(frozen=True)
class Trained:
    """A recogniser of one seed and fold, with its encoder."""

    model: Recogniser
    classes: list[str]
    recipe: Recipe
    name: str  # what it is called in messages
    temperature: float = 1.0  # that logits are divided by
    about: Mapping[str, Any] = field(default_factory=dict)  # how it was trained and tested

    @property
    def steps(self) -> list[audio.Step]:
        """What is done to the audio before the encoder."""
        return [build(audio.STEPS, step, "audio step") for step in self.recipe.audio]

    def narrow(self) -> "Trained":
        """The same, its encoder's weights kept as they are multiplied: it can only judge."""
        if isinstance(self.model.encoder, Speech):
            self.model.encoder.narrow()
        return self

    def predictor(self) -> Predictor:
        """The same as one that is asked for any audio."""
        weights = sum(p.numel() for p in self.model.parameters())
        hearing = Hearing(lambda waves: self.model(waves).logits, steps=self.steps, weights=weights)
        return Predictor(
            labels=self.classes,
            logits=hearing,
            name=self.name,
            temperature=self.temperature,
            about=self.about,
        )

    @torch.inference_mode()
    def hear(self, files: Sequence[Path]) -> list[Output]:
        """What is given of each recording, in their order; each of a batch of one.

        Raises:
            AudioError: some cannot be read; every one is tried before any work is done.
        """
        said = utterances(files)
        signals = Signals(said, self.steps)
        if reasons := signals.unusable(lambda _: None):
            raise AudioError("\n  ".join(reasons.values()))
        found: dict[str, Output] = {}
        for batch in in_order(UtteranceDataset(said, signals, []), JUDGED_AT_ONCE):
            output = self.model(batch.to(processor()).inputs)
            for n, key in enumerate(batch.keys):
                row = slice(n, n + 1)
                found[key] = Output(output.pooled[row], output.embedding[row], output.logits[row])
        return [found[u.key] for u in said]


def utterances(files: Sequence[Path]) -> list[Utterance]:
    """Recordings of nobody knows what, in their order."""
    return [
        Utterance(id=str(n), audio=p, emotion="unknown", corpus="") for n, p in enumerate(files)
    ]


def load(
    folder: str | Path,
    *,
    seed: int | None = None,
    fold: str | None = None,
    corpus: str | None = None,
) -> Trained:
    """A recogniser of a run, or the one of a model folder.

    Args:
        folder: that `affekt run` wrote, or a model folder.
        seed: of a run, one of the recipe's; the lowest if not given.
        fold: likewise, the first by name.
        corpus: whose model, where the last stages were per corpus.

    Raises:
        RunError: there is no run, no such seed or fold, or its model is not there or damaged.
        ModelError: a model folder is not whole.
    """
    from affekt.inference import bundle

    folder = Path(folder)
    if bundle.is_one(folder):
        if seed is not None or fold is not None or corpus is not None:
            raise RunError(f"{folder}: one model, of no seed, fold or corpus; leave them out")
        found = bundle.read(folder)
        if not isinstance(found, Trained):
            raise RunError(f"{folder}: a classifier of scikit-learn, which embeds nothing")
        return found
    if not (folder / "recipe.toml").is_file():
        raise RunError(f"{folder}: {_no_run(folder)}")
    recipe = Recipe.load(folder / "recipe.toml")
    if recipe.pooling is None:
        raise RunError(f"{folder}: a classifier of scikit-learn; give its model folder")
    place = place_of(folder, seed, fold)
    file = _weights(folder, place, corpus)
    try:
        classes, weights = opened(file)
        model = assembled(recipe, classes, weights)
    except ValueError as e:
        raise RunError(f"{file}: {e}; remove {place} and run the recipe again") from e
    return Trained(model, classes, recipe, str(place))


def _no_run(folder: Path) -> str:
    """Why a folder is no run, as far as can be seen."""
    for above in folder.resolve().parents:
        if (above / "recipe.toml").is_file() and any(above.glob("seed-*")):
            return f"lies within a run; give {above}, and which model with --seed and --fold"
    if any(folder.glob("seed-*")):
        return "a run without its recipe.toml; copy it there again, or run the recipe again"
    try:
        locate(folder)
    except RecipeError as e:
        if "table of recipes" not in str(e):
            return "no run there; give the folder that affekt run wrote"
    return "a recipe, not a run; give the folder that affekt run wrote of it"


def _weights(run: Path, place: Path, corpus: str | None) -> Path:
    """The file of a model in the folder of a seed and fold."""
    own = sorted(path.parent.name for path in (place / "model").glob("*/model.safetensors"))
    file = place / "model" / "model.safetensors"
    if file.is_file() and corpus is not None:
        raise RunError(f"{run} has one model for all its corpora; leave --corpus out")
    if own and corpus is None:
        known = " or ".join(f"--corpus {name}" for name in own)
        raise RunError(f"{run} has a model for each corpus; give {known}")
    if own and corpus not in own:
        there = f"it has {', '.join(own)}.{nearest(str(corpus), own)}"
        raise RunError(f"{run}: no model of '{corpus}'; {there}")
    if own:
        return place / "model" / str(corpus) / "model.safetensors"
    if not file.is_file():
        raise RunError(f"{file}: no model there; run the recipe again")
    return file


def opened(file: Path) -> tuple[list[str], dict[str, torch.Tensor]]:
    """The classes and weights in a file.

    Raises:
        ValueError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as content:
            classes = (content.metadata() or {})["classes"].split("\n")
            return classes, {n: content.get_tensor(n) for n in content.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, OSError) as e:
        raise ValueError(f"is damaged ({e})") from e


def assembled(
    recipe: Recipe, classes: Sequence[str], weights: Mapping[str, torch.Tensor]
) -> Recogniser:
    """The network of a recipe with its encoder and these weights, as it is judged.

    Raises:
        ValueError: a weight is missing, left over, or of another shape.
    """
    model = untrained(recipe, classes)
    there = {name: tensor.shape for name, tensor in model.state_dict().items()}
    odd = [name for name, w in weights.items() if there.get(name) != w.shape]
    frozen = recipe.encoder.options.get("trainable", "none") == "none"
    odd += [n for n in there if n not in weights and not (frozen and n.startswith("encoder."))]
    if odd:
        raise ValueError(f"{odd[0]} is missing, left over or of another shape than the recipe's")
    model.load_state_dict(dict(weights), strict=False)
    return model.eval().to(processor())


def untrained(recipe: Recipe, classes: Sequence[str]) -> Recogniser:
    """The network of a recipe with its encoder."""
    if recipe.encoder.name == "opensmile":
        from affekt.encoders.functionals import Functionals

        encoder: Any = Functionals(**options(ENCODERS, recipe.encoder, "encoder"))
    else:
        encoder = build(ENCODERS, recipe.encoder, "encoder")
    scales = getattr(encoder, "standardise", False)
    standardise = Standardise(encoder.layers, encoder.dim) if scales else None
    return recogniser(
        recipe, encoder.layers, encoder.dim, classes, encoder=encoder, standardise=standardise
    )
