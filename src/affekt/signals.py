"""Signals of utterances, read anew at every look. Axis: S samples."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from affekt import audio
from affekt.errors import AudioError
from affekt.types import Utterance


class Signals(Mapping[str, Float[Tensor, " _"]]):
    """Signals by `Utterance.key`, for encoders that are trained or meet random crops.

    Args:
        utterances: whose signals.
        steps: what is done to each.
        seed: random steps fall differently at every look; without one they take their fixed form.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        steps: Sequence[audio.Step],
        *,
        seed: int | None = None,
    ) -> None:
        self.utterances = {u.key: u for u in utterances}
        self.steps = steps
        self.rng = None if seed is None else np.random.default_rng(seed)

    def __getitem__(self, key: str) -> Float[Tensor, " S"]:
        return signal(self.utterances[key], self.steps, self.rng)

    def __iter__(self) -> Iterator[str]:
        return iter(self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)

    def lengths(self, keys: Iterable[str]) -> list[int]:
        """How many samples each of these has, or more where silence is trimmed."""
        found = (audio.seconds(self.utterances[key], self.steps) for key in keys)
        return [round(seconds * audio.RATE) for seconds in found]

    def unusable(self, tick: Callable[[int], None]) -> dict[str, str]:
        """{key: reason} of the signals that cannot be had; every one is read."""
        reasons = {}
        for key in self:
            try:
                self[key]
            except AudioError as e:
                reasons[key] = str(e)
            tick(1)
        return reasons


def signal(
    u: Utterance, steps: Sequence[audio.Step], rng: np.random.Generator | None = None
) -> Float[Tensor, " S"]:
    """The signal of one utterance after all steps.

    Raises:
        AudioError: it cannot be read, or the steps leave too little of it.
    """
    made = audio.prepare(audio.read(u.audio, start=u.start, end=u.end), steps, rng)
    if len(made) < audio.SHORTEST * audio.RATE:
        raise AudioError(
            f"{u.audio}: {len(made) / audio.RATE:.2f} s left after the audio steps, too "
            f"short; affekt needs {audio.SHORTEST} s, so leave it out of the corpus"
        )
    return torch.from_numpy(np.ascontiguousarray(made))


def is_random(steps: Sequence[audio.Step]) -> bool:
    """Whether a step falls differently every time in training."""
    return any(getattr(step, "where", None) == "random" for step in steps)
