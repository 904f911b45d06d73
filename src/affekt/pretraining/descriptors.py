"""Low-level descriptors of eGeMAPS (Eyben et al. 2016), as features that codebooks are made of.

openSMILE hands every frame to Python, so that threads would wait for each other: processes do it.
"""

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context, parent_process
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
        # No process begins before there is something to describe.
        self._pool = ProcessPoolExecutor(
            cores(), mp_context=get_context("spawn"), initializer=_for_another
        )

    def __call__(self, wave: Signal) -> Float[np.ndarray, "F D"]:
        return self._pool.submit(describe, wave).result()


def _for_another() -> None:
    """Leave Ctrl-C to the process that asks, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asking = parent_process()

    def end() -> None:
        if asking:
            asking.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def describe(wave: Signal) -> Float[np.ndarray, "F D"]:
    """The descriptors of a signal, in this process."""
    return _smile()(wave.clip(-1.0, LOUDEST), RATE)[0].T.astype(np.float32)


@cache
def _smile() -> Any:
    opensmile = optional("opensmile", "opensmile")
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
    )
