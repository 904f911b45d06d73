"""Low-level descriptors of eGeMAPS (Eyben et al. 2016), as features that codebooks are made of.

openSMILE hands every frame to Python, so that threads would wait for each other: processes do it.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import cache, cached_property
from multiprocessing import get_context
from typing import Any

import numpy as np
from jaxtyping import Float

from affekt.audio import RATE, Signal
from affekt.encoders.opensmile import LOUDEST
from affekt.errors import optional
from affekt.threads import cores


class Descriptors:
    """The 25 low-level descriptors: pitch, loudness, voice quality, formants. Thread-safe."""

    hop = RATE // 100  # samples: 10 ms

    def __init__(self) -> None:
        optional("opensmile", "opensmile")

    def __call__(self, signal: Signal) -> Float[np.ndarray, "F D"]:
        return self._pool.submit(describe, signal).result()

    @cached_property
    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(cores(), mp_context=get_context("spawn"))


def describe(signal: Signal) -> Float[np.ndarray, "F D"]:
    """The descriptors of a signal, in this process."""
    return _smile()(signal.clip(-1.0, LOUDEST), RATE)[0].T.astype(np.float32)


@cache
def _smile() -> Any:
    opensmile = optional("opensmile", "opensmile")
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
    )
