"""Checkpoints of transformers that classify audio, with the same scores as its pipeline.

HuBERT, WavLM, wav2vec 2.0 and data2vec-audio go through affekt's own way (encoders/wave.py), which
is faster and does not depend on batch mates; every other architecture goes through transformers,
one recording after the other. Axes: B batch, S samples, L layers, T frames, D channels, K classes.
"""

import json
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from affekt.audio import RATE, Signal
from affekt.encoders import checkpoint
from affekt.encoders.frames import Waves, valid
from affekt.encoders.speech import Precision, computing, narrow, processor
from affekt.encoders.wave import WaveTransformer
from affekt.errors import ModelError
from affekt.inference.hearing import Hearing
from affekt.inference.predictor import Activation, Predictor

OWN_WAY = ("hubert", "wavlm", "wav2vec2", "data2vec-audio")  # model_types
ACTIVATIONS: dict[str, Activation] = {
    "regression": "none",
    "multi_label_classification": "sigmoid",
}
CLASSIFIES = ("ForSequenceClassification", "ForAudioClassification")


def load(folder: Path, *, precision: Precision = "bf16") -> Predictor:
    """The predictor of a checkpoint.

    Args:
        folder: of the checkpoint.
        precision: "bf16" where the processor computes in it, else float32.

    Raises:
        ModelError: it is no such checkpoint, weights are missing or left over, or it was made for
            another rate.
    """
    model, extractor = _loaded(folder)
    if extractor.sampling_rate != RATE:
        raise ModelError(f"{folder}: made for {extractor.sampling_rate} Hz, affekt hears {RATE} Hz")
    config = model.config
    names = [config.id2label[n] for n in range(config.num_labels)]
    device = processor()
    model.eval().requires_grad_(False).to(device)
    if config.model_type in OWN_WAY and not getattr(config, "add_adapter", False):
        classify = Classification(model, extractor.do_normalize, precision)
        if narrow(classify.network, precision, device):
            checkpoint.let_go(model)
        hear: Any = Hearing(classify, weights=model.num_parameters())
    else:
        hear = _Whole(model, extractor, precision)
    return Predictor(
        labels=names,
        logits=hear,
        name=str(folder),
        activation=ACTIVATIONS.get(str(config.problem_type), "softmax"),
        about={"model_type": config.model_type},
    )


class Classification:
    """A speech encoder, its layers mixed, their mean over time projected and classified.

    Args:
        model: as transformers loads it.
        normalise: each recording to zero mean and unit variance.
        precision: of matrix products.
    """

    def __init__(self, model: Any, normalise: bool, precision: Precision) -> None:
        model.base_model.config.apply_spec_augment = False  # data2vec-audio says nothing of it
        self.network = WaveTransformer(model.base_model, normalise=normalise)
        self.network.finish()
        self.model = model
        self.precision: Precision = precision

    def __call__(self, waves: Waves) -> Float[Tensor, "B K"]:
        """Logits of a padded batch."""
        # The mean of what is projected is what is projected of the mean.
        return self.model.classifier(self.model.projector(self.mean(waves)))

    def mean(self, waves: Waves) -> Float[Tensor, "B D"]:
        """The mixed layers of a padded batch, averaged over time."""
        with computing(self.precision, waves.wav.device):
            frames = self.network.frames(waves.lengths)
            h = self._mixed(self.network.convolved(waves.wav, waves.lengths), frames)
        mask = valid(frames, h.shape[1])[..., None]
        return (h.float() * mask).sum(dim=1) / frames[:, None]

    def _mixed(self, z: Float[Tensor, "B T _"], frames: Tensor) -> Float[Tensor, "B T D"]:
        if not self.model.config.use_weighted_layer_sum:
            return self.network.top(z, frames)
        # transformers' hidden states: the last one comes before the final norm.
        layers = self.network.layered(z, frames, normed=False)
        gamma = self.model.layer_weights.softmax(dim=0)
        weighted = (weight * layer.float() for weight, layer in zip(gamma, layers, strict=True))
        return reduce(torch.add, weighted)


class _Whole:
    """Any architecture, as transformers runs it; one recording after the other."""

    def __init__(self, model: Any, extractor: Any, precision: Precision) -> None:
        self.model = model
        self.extractor = extractor
        self.precision: Precision = precision

    @torch.inference_mode()
    def __call__(self, signals: Sequence[Signal]) -> np.ndarray:
        """Logits (N, K)."""
        return np.concatenate([self._one(signal) for signal in signals])

    def _one(self, signal: Signal) -> np.ndarray:
        given = self.extractor(signal, sampling_rate=RATE, return_tensors="pt")
        device = next(self.model.parameters()).device
        with computing(self.precision, device):
            return self.model(**given.to(device)).logits.double().cpu().numpy()


def _loaded(folder: Path) -> tuple[Any, Any]:
    """Model and feature extractor, every weight from the file."""
    from safetensors import SafetensorError
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification
    from transformers.utils import logging

    kinds = json.loads((folder / checkpoint.CONFIG).read_text("utf-8")).get("architectures") or []
    if not any(kind.endswith(CLASSIFIES) for kind in kinds):
        raise ModelError(
            f"{folder}: a {', '.join(kinds) or 'model of no architecture'}, which classifies no "
            f"audio; take a checkpoint with a head ({' or '.join(CLASSIFIES)}), or train one: "
            "affekt run RECIPE --encoder CHECKPOINT"
        )
    logging.set_verbosity_error()  # what it would report, the lines below refuse
    logging.disable_progress_bar()
    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        model, found = AutoModelForAudioClassification.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told of below
            dtype="float32",
        )
    except (SafetensorError, RuntimeError, ValueError, OSError, KeyError) as e:
        reason = str(e).splitlines()[0]
        raise ModelError(f"{folder}: cannot be loaded ({reason}); copy it again") from e
    missing = [key for key in found["missing_keys"] if not key.endswith(checkpoint.SPARE)]
    shapes = [str(key[0]) for key in found["mismatched_keys"]]
    for keys, what in (
        (missing, "missing, so that they would be random"),
        (shapes, "of another shape than config.json says, so that they would be random"),
        (list(found["unexpected_keys"]), "left over: another model was trained"),
    ):
        if keys:
            named = ", ".join(sorted(keys)[:5]) + (", ..." if len(keys) > 5 else "")
            raise ModelError(f"{folder}: {len(keys)} weights are {what}: {named}; copy it again")
    return model, extractor
