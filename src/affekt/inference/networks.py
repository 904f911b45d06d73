"""The network of a model folder: its encoders frozen, its weights in one file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file

from affekt.errors import ModelError
from affekt.inference import golden
from affekt.recipe import Recipe
from affekt.trained import Trained, assembled, opened, untrained


def kept(trained: Trained, recipe: Recipe, file: Path) -> Trained:
    """The network as it will be read, its weights behind the encoders written to `file`.

    Raises:
        ModelError: it says something else than the trained one.
    """
    network = untrained(recipe, trained.classes)
    network.load_state_dict(trained.model.state_dict(), strict=False)
    weights = {k: v.contiguous() for k, v in network.state_dict().items() if _is_behind(k)}
    save_file(weights, file, {"classes": "\n".join(trained.classes), "format": "pt"})
    model = assembled(recipe, trained.classes, weights)
    made = replace(trained, model=model, recipe=recipe)
    signal = golden.write(file.parent)
    golden.check(file.parent, golden.said(trained, signal), golden.said(made, signal))
    return made


def read(file: Path, recipe: Recipe, classes: Sequence[str]) -> Trained:
    """The network of a recipe with the weights in a file.

    Raises:
        ModelError: the file is damaged, or does not fit.
    """
    try:
        there, weights = opened(file)
        if there != list(classes):
            raise ValueError(f"its classes are {', '.join(there)}, config.json has others")
        model = assembled(recipe, classes, weights)
    except ValueError as e:
        raise ModelError(f"{file}: {e}; copy the model again") from e
    return Trained(model, list(classes), recipe, str(file.parent))


def _is_behind(weight: str) -> bool:
    """Whether a weight belongs to what stands behind the encoders."""
    return not weight.startswith(("encoder.", "head.prompts.text."))
