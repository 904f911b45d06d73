"""affekt: speech emotion recognition. Train, compare and deploy emotion recognisers.

>>> import affekt
>>> recipe = affekt.Recipe.load("demo/poolings/mean", ["stage.0.epochs=5"])
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affekt.corpora import read
    from affekt.experiment import run
    from affekt.inference.predictor import Predictor
    from affekt.recipe import Recipe

__version__ = version("affekt")
__all__ = ["Predictor", "Recipe", "__version__", "read", "run"]

_PLACES = {
    "Predictor": "affekt.inference.predictor",
    "Recipe": "affekt.recipe",
    "read": "affekt.corpora",
    "run": "affekt.experiment",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that `affekt --help` is quick."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'affekt' has no attribute '{name}'")
