"""The network that a recipe describes."""

from collections.abc import Sequence

from torch import nn

from affekt.nn.heads import HEADS
from affekt.nn.mixing import MIXES
from affekt.nn.pooling import POOLINGS
from affekt.nn.recogniser import Recogniser
from affekt.parts import build
from affekt.recipe import Recipe


def recogniser(
    recipe: Recipe, layers: int, dim: int, classes: Sequence[str], **front: nn.Module | None
) -> Recogniser:
    """The untrained network that a recipe describes; `front` as in Recogniser."""
    assert recipe.pooling is not None
    pooling = build(POOLINGS, recipe.pooling, "pooling", dim)
    head = build(HEADS, recipe.head, "head", pooling.output_dim, classes)
    return Recogniser(build(MIXES, recipe.mix, "mix", layers), pooling, head, **front)
