"""Classifiers of scikit-learn as predictors. Axes: N signals, K classes, D features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from affekt import audio, classical
from affekt.audio import Signal
from affekt.classical import Classifier, Examples
from affekt.encoders import ENCODERS, opensmile
from affekt.inference.predictor import Predictor
from affekt.labels import order
from affekt.parts import build, options
from affekt.recipe import Recipe

LEAST = 0.5e-6  # of a probability whose logarithm is taken, as where temperatures are fitted


@dataclass(frozen=True)
class Classical:
    """A classifier with what it learns from, and what it is given."""

    examples: Examples
    recipe: Recipe
    name: str
    temperature: float = 1.0
    about: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def classifier(self) -> Classifier:
        """Fitted when it is first asked for."""
        assert self.recipe.classifier is not None
        return self.examples.fit(self.recipe.classifier)

    @property
    def classes(self) -> list[str]:
        """In the order of scores."""
        return order(self.classifier.classes)

    def narrow(self) -> "Classical":
        """The same; its encoder is made anew."""
        return self

    def predictor(self) -> Predictor:
        """The same as one that is asked for any audio."""
        steps = [build(audio.STEPS, step, "audio step") for step in self.recipe.audio]
        columns = [self.classifier.classes.index(name) for name in self.classes]
        vector = self._vector()

        def logits(signals: Sequence[Signal]) -> np.ndarray:
            rows = [vector(audio.prepared(signal, steps)) for signal in signals]
            table = self.classifier.probabilities(np.stack(rows).astype(np.float64))
            return np.log(np.maximum(table[:, columns], LEAST))

        return Predictor(
            labels=self.classes,
            logits=logits,
            name=self.name,
            temperature=self.temperature,
            about=self.about,
        )

    def _vector(self) -> Callable[[Signal], np.ndarray]:
        """What makes the features (D,) of a signal."""
        section = self.recipe.encoder
        if section.name == "opensmile":
            make = opensmile.smile(options(ENCODERS, section, "encoder")["features"])
            return lambda signal: opensmile.of_signal(make, signal, "the recording")
        from affekt.encoders.extract import encode, summaries

        encoder = build(ENCODERS, section, "encoder")
        layers = self.recipe.functionals.layers
        return lambda signal: summaries({"": encode(encoder, signal)}, [""], layers)[""]


def load(file: Path, recipe: Recipe) -> Classical:
    """The classifier in a file.

    Raises:
        ModelError: it is damaged.
    """
    return Classical(classical.load(file), recipe, str(file))
