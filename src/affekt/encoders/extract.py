"""Frames of many utterances from an encoder that is not trained. Axes: L layers, T, D."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from affekt import audio
from affekt.encoders import ENCODERS
from affekt.encoders.opensmile import OpenSmile, functionals
from affekt.errors import AudioError
from affekt.parts import Section, build
from affekt.types import Utterance

Clip = Float[Tensor, "L _ D"]  # of any number of frames
Tick = Callable[[int], None]


def extract(
    section: Section, utterances: Sequence[Utterance], steps: Sequence[audio.Step], tick: Tick
) -> tuple[dict[str, Clip], dict[str, str]]:
    """Frames by `Utterance.key`, and {key: reason} of the utterances that have none.

    Functionals are a clip of one frame. Random steps take their fixed, test-time form.
    """
    encoder = build(ENCODERS, section, "encoder")
    if isinstance(encoder, OpenSmile):
        rows, reasons = functionals(
            utterances, features=encoder.features, steps=steps, progress=tick
        )
        made = zip(utterances, torch.from_numpy(rows), strict=True)
        return {u.key: row[None, None] for u, row in made if u.key not in reasons}, reasons
    clips: dict[str, Clip] = {}
    reasons = {}
    for u in utterances:
        try:
            signal = audio.read(u.audio, start=u.start, end=u.end)
            clips[u.key] = encode(encoder, audio.prepare(signal, steps))
        except AudioError as e:
            reasons[u.key] = str(e)
        tick(1)
    return clips, reasons


@torch.inference_mode()
def encode(encoder: nn.Module, signal: audio.Signal) -> Clip:
    """The frames of one signal."""
    wav = torch.from_numpy(np.ascontiguousarray(signal))[None]
    return encoder(wav, torch.tensor([wav.shape[1]])).layers[0]


def is_random(steps: Sequence[audio.Step]) -> bool:
    """Whether a step falls differently every time in training."""
    return any(getattr(step, "where", None) == "random" for step in steps)


class Live(Mapping[str, Clip]):
    """Frames made anew at every look, so that random steps fall differently in every epoch."""

    def __init__(
        self,
        section: Section,
        utterances: Sequence[Utterance],
        steps: Sequence[audio.Step],
        *,
        seed: int,
        then: Callable[[Clip], Clip],
    ) -> None:
        self.encoder = build(ENCODERS, section, "encoder")
        self.utterances = {u.key: u for u in utterances}
        self.steps = steps
        self.rng = np.random.default_rng(seed)
        self.then = then

    def __getitem__(self, key: str) -> Clip:
        u = self.utterances[key]
        signal = audio.read(u.audio, start=u.start, end=u.end)
        return self.then(encode(self.encoder, audio.prepare(signal, self.steps, self.rng)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)
