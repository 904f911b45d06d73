"""A little real speech, and recipes of a few weights."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from affekt.pretraining.recipe import Pretraining

TINY: dict[str, Any] = {
    "title": "tiny",
    "model": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "conv_dim": [8, 8, 8, 8],
        "conv_kernel": [20, 8, 4, 4],
        "conv_stride": [10, 4, 4, 2],
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
    },
    "target": [{"features": {"name": "mfcc"}, "clusters": 8, "sample": 2000}],
    "training": {
        "steps": 6,
        "batch_seconds": 4.0,
        "pieces": [1.0, 1.5],
        "warmup": 3,
        "save_every": 2,
    },
}


@pytest.fixture(scope="session")
def speech(emodb_folder, tmp_path_factory) -> Path:
    """Twenty utterances of EmoDB; not to be changed."""
    folder = tmp_path_factory.mktemp("some") / "speech"
    folder.mkdir()
    for path in sorted((emodb_folder / "wav").iterdir())[:20]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def values() -> Callable[..., dict[str, Any]]:
    """What a tiny recipe holds, with changes: `values(training={"steps": 2}, objective=...)`."""

    def made(**changes: Any) -> dict[str, Any]:
        changed = deepcopy(TINY)
        for key, value in changes.items():
            both = isinstance(value, dict) and isinstance(changed.get(key), dict)
            changed[key] = changed[key] | value if both else value
        return changed

    return made


@pytest.fixture(scope="session")
def tiny(values) -> Callable[..., Pretraining]:
    """That recipe."""
    return lambda **changes: Pretraining.parse(values(**changes))
