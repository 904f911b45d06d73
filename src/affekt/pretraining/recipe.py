"""What `affekt pretrain` does, as one TOML file that says only what differs from the defaults.

recipe = Pretraining.load("pretraining/small", ["training.steps=100"])
"""

import tomllib
from collections.abc import Iterable
from inspect import get_annotations
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator

from affekt.audio import SHORTEST
from affekt.errors import RecipeError, nearest
from affekt.parts import Section, explain
from affekt.pretraining.family import FAMILIES, HUBERT, Config, Family
from affekt.recipe.changes import change
from affekt.recipe.places import locate
from affekt.recipe.stage import STRICT

MOST_CLUSTERS = 2**16  # a label is kept in two bytes
LONGEST_PIECE = 30.0  # seconds; parts of a longer recording may be no longer
FREE = ("save_every", "devices")  # keys of [training] that a resumed run may change


Share = Annotated[float, Field(ge=0, lt=1)]


class Target(BaseModel):
    """What masked prediction predicts: the nearest of `clusters` centres of some features."""

    model_config = STRICT

    features: Section
    channels: list[Annotated[int, Field(ge=0)]] = []  # of the features, only these; none: all
    window: float = Field(default=0.0, ge=0)  # seconds; running mean and std over so long
    clusters: int = Field(default=256, ge=2, le=MOST_CLUSTERS)
    weight: float = Field(default=1.0, gt=0)
    sample: int = Field(default=200_000, ge=1)  # frames that the centres are found on, at most


class Training(BaseModel):
    """The optimisation: AdamW, the learning rate up linearly in `warmup` steps, then down to 0."""

    model_config = STRICT

    steps: int = Field(ge=1)
    batch_seconds: float = Field(default=72.0, gt=0)  # of audio in a step, all devices together
    pieces: list[Annotated[float, Field(ge=SHORTEST, le=LONGEST_PIECE)]] = Field(
        default=[1.0, 1.5, 2.0, 3.0, 4.0], min_length=1
    )  # seconds; a step chooses one, and shorter recordings than all of them are left out
    lr: float = Field(default=1e-3, gt=0)
    betas: tuple[Share, Share] = (0.9, 0.98)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: int = Field(default=500, ge=0)  # steps
    clip: float = Field(default=1.0, ge=0)  # of the gradient's norm; 0: none
    precision: Literal["bf16", "fp32"] = "bf16"
    save_every: int = Field(default=200, ge=1)  # steps
    save_as: Literal["bf16", "fp32"] = "bf16"  # the weights in OUT/model
    seed: int = Field(default=0, ge=0, lt=2**32)
    devices: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _pieces_fit(self) -> "Training":
        longest = max(self.pieces)
        if self.batch_seconds < longest * self.devices:
            raise ValueError(
                f"'batch_seconds' ({self.batch_seconds:g}) does not hold one of the longest "
                f"'pieces' ({longest:g} s) for each of {self.devices} device(s)"
            )
        return self


class Pretraining(BaseModel):
    """A pre-training: the network, what it learns from, and how long."""

    model_config = STRICT

    title: str = ""
    model: dict[str, Any] = {}  # fields of its configuration in transformers
    target: list[Target] = []
    filters: Literal["random", "gabor"] = "random"  # of the first convolution, at the start
    objective: Section = Section(name="masked-prediction")
    training: Training

    @classmethod
    def load(cls, path: str | Path, changes: Iterable[str] = ()) -> "Pretraining":
        """The recipe in `path`, a file or the name of a bundled one, with `key=value` changes.

        Raises:
            RecipeError: no such file, not TOML, an unknown key, or a wrong value.
        """
        file = locate(path, pretraining=True)
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise RecipeError(f"{file}: not valid TOML: {e}") from None
        for setting in changes:
            change(values, setting)
        return cls.parse(values, str(path))

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "recipe") -> "Pretraining":
        """The recipe of a dictionary; `where` names it in messages."""
        _refuse_unknown(values, where)
        try:
            recipe = cls.model_validate(values)
        except ValidationError as e:
            raise RecipeError(f"{where}: {explain(e)}") from None
        config(recipe.model, recipe.family)
        return recipe

    @property
    def family(self) -> Family:
        """That of the network, which follows from the objective."""
        return FAMILIES.get(self.objective.name, HUBERT)

    @property
    def configuration(self) -> Config:
        """The network's."""
        return config(self.model, self.family)

    def toml(self) -> str:
        """The whole recipe, defaults filled in; of the network, what differs from them."""
        return tomli_w.dumps(self.model_dump(mode="json"))

    def bound(self) -> dict[str, Any]:
        """What a run that is taken up again must have in common with its beginning."""
        return self.model_dump(mode="json", exclude={"title": True, "training": set(FREE)})


def config(fields: dict[str, Any], family: Family = HUBERT) -> Config:
    """The network's configuration, checked by transformers.

    Raises:
        RecipeError: a field is not known, or its value is not of its kind.
    """
    from huggingface_hub.errors import StrictDataclassError

    kind = family.config
    known = set(get_annotations(kind)) - {"model_type", *family.fixed, *family.options}
    for key in fields:
        if key in family.options:
            raise RecipeError(f"[model]: '{key}' is '{family.options[key]}' of [objective]")
        if key not in known:
            raise RecipeError(
                f"[model]: '{key}' is no field of transformers' {kind.__name__}; see its "
                f"documentation.{nearest(key, known)}"
            )
    try:
        made = kind(**fields)
    except (StrictDataclassError, ValueError, TypeError) as e:
        raise RecipeError(f"[model]: {' '.join(str(e).split())}") from None
    for key in ("hidden_size", "num_attention_heads", "conv_dim", "conv_kernel", "conv_stride"):
        if np.min(getattr(made, key)) < 1:
            raise RecipeError(f"[model]: {key} must be 1 or more, but is {getattr(made, key)}")
    return made


def _refuse_unknown(values: dict[str, Any], where: str) -> None:
    targets = values.get("target", [])
    if not isinstance(targets, list) or not all(isinstance(t, dict) for t in targets):
        raise RecipeError(f"{where}: 'target' is a list: write [[target]], with two brackets")
    holders: list[tuple[str, Any, type[BaseModel]]] = [("recipe", values, Pretraining)]
    holders += [("training", values.get("training"), Training)]
    holders += [(f"target.{n}", t, Target) for n, t in enumerate(targets)]
    for holder, section, schema in holders:
        for key in section if isinstance(section, dict) else ():
            if key not in schema.model_fields:
                known = list(schema.model_fields)
                raise RecipeError(
                    f"{where} [{holder}]: key '{key}' is not known; choose from "
                    f"{', '.join(known)}.{nearest(key, known)}"
                )
