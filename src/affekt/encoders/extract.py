"""What a network is given of many utterances. Axes: L layers, T frames, D channels, S samples."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from affekt import audio
from affekt.encoders import ENCODERS
from affekt.encoders.opensmile import OpenSmile, functionals
from affekt.errors import AudioError, RecipeError
from affekt.parts import Section, build, options
from affekt.types import Utterance

Clip = Float[Tensor, "L _ D"]  # of any number of frames
Wave = Float[Tensor, " _"]
Tick = Callable[[int], None]


def extract(
    section: Section, utterances: Sequence[Utterance], steps: Sequence[audio.Step], tick: Tick
) -> tuple[Mapping[str, Clip | Wave], dict[str, str]]:
    """Frames by `Utterance.key`, and {key: reason} of the utterances that have none.

    Functionals are a clip of one frame. Random steps take their fixed, test-time form. Frames of
    a speech encoder lie in the cache, those of the others are made in no time and held in memory.
    An encoder that is trained makes its own: then it is what its frozen front end gives, from the
    cache too, or signals where the front end is trained, meets random steps or is Whisper's.
    """
    if section.name == "speech":
        return _speech(options(ENCODERS, section, "encoder"), utterances, steps, tick)
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


def _speech(
    chosen: Mapping[str, Any],
    utterances: Sequence[Utterance],
    steps: Sequence[audio.Step],
    tick: Tick,
) -> tuple[Mapping[str, Clip | Wave], dict[str, str]]:
    from affekt.encoders import speech
    from affekt.encoders.cached import CachedFrames
    from affekt.signals import Signals, is_random

    front = chosen["trainable"] == "transformer" and not is_random(steps)
    if chosen["trainable"] != "none" and not (front and speech.convolves(chosen)):
        signals = Signals(utterances, steps)
        return signals, signals.unusable(tick)
    frames = CachedFrames(chosen, utterances, steps, front=front)
    return frames, frames.fill(tick)


@torch.inference_mode()
def encode(encoder: nn.Module, signal: audio.Signal) -> Clip:
    """The frames of one signal."""
    wav = torch.from_numpy(np.ascontiguousarray(signal))[None]
    return encoder(wav, torch.tensor([wav.shape[1]])).layers[0]


def summaries(
    clips: Mapping[str, Clip], keys: Sequence[str], layers: Sequence[int]
) -> dict[str, np.ndarray]:
    """Mean and standard deviation over time of some layers, all if none: (layers x 2 x D,) each.

    Raises:
        RecipeError: the frames have no such layer.
    """
    made = {}
    for key in keys:
        clip = clips[key]
        if layers and max(layers) >= len(clip):
            raise RecipeError(
                f"functionals.layers: no layer {max(layers)}; the encoder has 0 to {len(clip) - 1}"
            )
        chosen = (clip[list(layers)] if layers else clip).float()
        deviation = chosen.std(dim=1, correction=0)
        made[key] = torch.stack([chosen.mean(dim=1), deviation], dim=1).flatten().numpy()
    return made
