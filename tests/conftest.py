"""Where tests find corpora: bundled, private, and made of noise."""

import importlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

# Models of a few weights: threads would only wait for each other. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["AFFEKT_JOBS"] = "1"  # a process of its own for a few weights would only be begun
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the hub

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def trees() -> ModuleType:
    """The generators of tests/trees.py."""
    return importlib.import_module("trees")


@pytest.fixture(scope="session")
def checkpoints() -> ModuleType:
    """The generators of tests/checkpoints.py."""
    return importlib.import_module("checkpoints")


@pytest.fixture(scope="session")
def checkpoint(checkpoints, tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a family's tiny checkpoint, made once; not to be changed."""
    return cache(lambda name: checkpoints.save(tmp_path_factory.mktemp(name), name))


@pytest.fixture(scope="session")
def roberta(checkpoints, tmp_path_factory) -> Path:
    """The folder of a tiny text encoder; not to be changed."""
    return checkpoints.save_text(tmp_path_factory.mktemp("roberta"))


@pytest.fixture(scope="session")
def emodb_folder() -> Path:
    """EmoDB as it comes with the repository."""
    return REPOSITORY / "data/emodb"


@pytest.fixture(scope="session")
def corpora_folder() -> Path:
    """A folder with ravdess/ and nemo/, from AFFEKT_CORPORA or beside the repository."""
    named = os.environ.get("AFFEKT_CORPORA")
    folder = Path(named) if named else REPOSITORY.parent / "shared/corpora"
    missing = [name for name in ("ravdess", "nemo") if not (folder / name).is_dir()]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)} under {folder}; set AFFEKT_CORPORA")
    return folder


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache for one test."""
    monkeypatch.setenv("AFFEKT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def emodb_of_noise(trees, tmp_path) -> Path:
    """EmoDB's tree with 4 speakers and 32 short recordings of noise."""
    return trees.emodb(tmp_path / "emodb")


@pytest.fixture
def affekt(monkeypatch, capsys):
    """Runs the command line in this process: (exit code, standard output, standard error)."""

    def call(*words: object) -> tuple[int, str, str]:
        from affekt import cli

        monkeypatch.setattr(sys, "argv", ["affekt", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as e:
            code = int(e.code or 0)
        out, err = capsys.readouterr()
        return code, " ".join(out.split()), " ".join(err.split())

    return call
