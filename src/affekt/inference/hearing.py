"""Logits of many signals by a network: like lengths together, every core or the GPU busy.

What is said of a signal depends on nothing else. Axes: B batch, N signals, K classes.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from affekt import audio
from affekt.audio import RATE, Signal
from affekt.batches import sorted_batches, waves
from affekt.encoders.frames import Waves
from affekt.encoders.speech import processor
from affekt.threads import cores, in_turn, one_thread_each

Network = Callable[[Waves], Float[Tensor, "B K"]]
ON_GPU = 64  # signals in a batch
SECONDS_ON_GPU = 320.0  # of a batch, with its padding
# On a CPU a core takes batches of its own. A large network gains little from more sound at once,
# which takes memory; a small one is kept from waiting for Python.
ON_CPU = 16
SECONDS_ON_CPU = 48.0  # of a small network
SECONDS_OF_LARGE = 8.0
LEAST_OF_LARGE = 4.0  # seconds; alone, 1 s takes as long as 1.5 s in a batch of so much
SMALL = 20_000_000  # weights


class Hearing:
    """A network that hears signals at 16 kHz.

    Args:
        network: from a padded batch of signals to logits; it lies where `processor` says.
        steps: of the audio, before the network, as in training.
        weights: how many the network has.
    """

    def __init__(
        self, network: Network, *, steps: Sequence[audio.Step] = (), weights: int = 0
    ) -> None:
        self.network = network
        self.steps = steps
        self.device = processor()
        self.large = weights >= SMALL

    @torch.inference_mode()
    def __call__(self, signals: Sequence[Signal]) -> np.ndarray:
        """Logits (N, K) in the order of the signals."""
        ready = [
            torch.from_numpy(np.ascontiguousarray(audio.prepared(s, self.steps))) for s in signals
        ]
        lengths = [len(signal) for signal in ready]
        on_cpu = self.device.type == "cpu"
        if on_cpu and self.large:
            batches = _shares(lengths)
        else:
            size, seconds = (ON_CPU, SECONDS_ON_CPU) if on_cpu else (ON_GPU, SECONDS_ON_GPU)
            batches = sorted_batches(lengths, size, round(seconds * RATE))
        batches.sort(key=lambda batch: -sum(lengths[n] for n in batch))  # the most work first

        def hear(numbers: list[int]) -> Float[Tensor, "B K"]:
            with torch.inference_mode():  # a state of each thread
                return self.network(waves([ready[n] for n in numbers]).to(self.device))

        several = on_cpu and len(batches) > 1 and cores() > 1
        with one_thread_each() if several else nullcontext():
            made = list(in_turn(hear, batches, workers=cores() if several else 1))
        order = [n for batch in batches for n in batch]
        rows = torch.cat(made).double().cpu().numpy()
        return rows[np.argsort(order)]


def _shares(lengths: Sequence[int]) -> list[list[int]]:
    """Batches of like length for a large network.

    They get shorter towards the end, so that no core waits long for another.
    """
    order = sorted(range(len(lengths)), key=lambda n: -lengths[n])
    left = sum(lengths)
    least = min(LEAST_OF_LARGE * RATE, left / cores())
    made, begin = [], 0
    while begin < len(order):
        # While one core takes a batch, each other may take two: at least so much is left for them.
        share = min(SECONDS_OF_LARGE * RATE, max(least, left / (2 * cores() - 1)))
        ends = accumulate(lengths[n] for n in order[begin : begin + ON_CPU])
        count = max(1, sum(end <= share for end in ends))
        made.append(order[begin : begin + count])
        begin += count
        left -= sum(lengths[n] for n in made[-1])
    return made
