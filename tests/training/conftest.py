from pathlib import Path

import pytest


@pytest.fixture
def data(trees, tmp_path) -> dict[str, Path]:
    return {
        "emodb": trees.emodb(tmp_path / "emodb"),
        "ravdess": trees.ravdess(tmp_path / "ravdess"),
    }
