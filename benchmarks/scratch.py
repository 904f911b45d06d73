"""What the benchmarks of speech encoders share: random checkpoints and a cache of their own."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers


def quiet() -> None:
    """No words of transformers between the figures, and threads that sleep, as in the command."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def utterances(what: str | None) -> int:
    """How many utterances of EmoDB the command line asks a benchmark to take; all without."""
    parser = argparse.ArgumentParser(description=(what or "").splitlines()[0])
    parser.add_argument("--utterances", type=int, default=535)
    quiet()
    return parser.parse_args().utterances


def checkpoint(folder: Path, config: Any, model: Any) -> Path:
    """A checkpoint of this shape with random weights; the folder."""
    torch.manual_seed(0)
    model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@contextmanager
def own_cache() -> Iterator[Path]:
    """A cache that is empty and goes away."""
    with TemporaryDirectory() as folder:
        before = os.environ.get("AFFEKT_CACHE")
        os.environ["AFFEKT_CACHE"] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop("AFFEKT_CACHE")
            if before is not None:
                os.environ["AFFEKT_CACHE"] = before


def told(
    what: str, found: float, *, at_least: float | None = None, below: float | None = None
) -> bool:
    """Print a figure beside what it has to be, and whether it is."""
    held = found >= at_least if at_least is not None else below is None or found < below
    limit = f"at least {at_least:g}" if at_least is not None else f"below {below:g}"
    print(f"{what}: {found:.3g} ({limit}){'' if held else '  NOT MET'}", flush=True)
    return held


def resident() -> int:
    """Bytes of this process in memory, mapped files included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
