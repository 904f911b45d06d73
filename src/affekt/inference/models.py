"""Which kind of model a name stands for."""

from affekt.errors import ModelError
from affekt.inference.predictor import Predictor


def load(model: str, revision: str | None = None) -> Predictor:
    """The predictor of a folder, an id on the hub, or a name; see Predictor.load."""
    raise ModelError(f"{model} (revision {revision}): not written yet")
