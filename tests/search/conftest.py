"""A tiny recipe over EmoDB's tree of noise, and a space that it can take."""

from collections.abc import Callable
from typing import Any

import pytest

from affekt.recipe import Recipe
from affekt.search.space import Space

TOY: dict[str, Any] = {
    "title": "toy",
    "corpus": {"name": "emodb", "labels": "4-class"},
    "protocol": {"name": "leave-one-speaker-out", "dev": "next-speaker"},
    "folds": ["03", "08"],
    "encoder": {"name": "log-mel", "bands": 8},
    "pooling": {"name": "mean", "dim": 4},
    "stage": [{"epochs": 2, "optimizer": {"name": "adam", "lr": 0.01}}],
}
KEYS: dict[str, Any] = {
    "stage.0.optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "pooling.dim": {"low": 2, "high": 8, "step": 2},
    "pooling.name": ["mean", "mean-std"],
}


@pytest.fixture
def toy() -> Callable[..., Recipe]:
    """The recipe with some keys changed; None takes one away."""
    return lambda **changes: Recipe.parse(
        {key: value for key, value in (TOY | changes).items() if value is not None}
    )


@pytest.fixture
def space() -> Space:
    return Space.parse(KEYS)
