"""Speech encoders from checkpoints: HuBERT, WavLM, wav2vec 2.0 / XLSR, data2vec-audio, Whisper.

Layer 0 is the input of the first transformer layer, the top layer comes after the final norm:
s3prl's convention, L + 1 layers in all. Axes: B batch, S samples, L layers, T frames, D channels.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import metadata
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from affekt.audio import RATE
from affekt.cache.space import Storage
from affekt.encoders import checkpoint, own_task
from affekt.encoders.frames import Convolved, Frames, valid
from affekt.encoders.own_task import OwnTask
from affekt.errors import EncoderError
from affekt.losses import Losses
from affekt.parts import Positive

VERSION = 6  # of the way from a wave to frames; cached frames are made anew when it goes up

SMALL = "affekt/small"  # comes with affekt; docs/results/bundled-encoder.md

Precision = Literal["bf16", "fp32"]


class Speech(nn.Module):
    """A checkpoint as an encoder.

    Args:
        model: a folder, the name of an encoder that comes with affekt, or the id of a checkpoint
            on the hub.
        revision: of the hub's; a branch, tag or commit.
        trainable: what is fine-tuned: nothing, the transformer, or the front end as well.
        lr_factor: of the encoder's learning rate to that of everything behind it.
        precision: "bf16" where the processor computes in it, else float32.
        normalise: each utterance to zero mean and unit variance; as the preprocessor says if
            not given. Whisper has its own front end and takes none.
        spec_augment: mask stretches of time in training, as the model's config says.
        task: what the encoder goes on learning of wav2vec 2.0's task; its loss comes with the
            frames in training. Without it: nothing.
        gradient_checkpointing: compute layers anew for their gradients, in place of keeping them:
            less memory, about a third more time.
        storage: how frames lie in the cache; "int8" takes half the room.
    """

    standardise = False  # layer norms have brought the channels to one scale

    def __init__(
        self,
        *,
        model: str = SMALL,
        revision: str | None = None,
        trainable: Literal["none", "transformer", "all"] = "none",
        lr_factor: Positive = 1.0,
        precision: Precision = "bf16",
        normalise: bool | None = None,
        spec_augment: bool = False,
        task: OwnTask | None = None,
        gradient_checkpointing: bool = False,
        storage: Storage = "bf16",
    ) -> None:
        super().__init__()
        folder = checkpoint.locate(model, revision)
        config, preprocessor = checkpoint.settings(folder)
        _check_rate(model, preprocessor)
        if spec_augment and (trainable == "none" or config["model_type"] == "whisper"):
            raise EncoderError(
                f"{model}: spec_augment masks frames while an encoder is trained; set trainable, "
                "or leave it out (Whisper has none)"
            )
        if task and (trainable == "none" or spec_augment or config["model_type"] == "whisper"):
            raise EncoderError(
                f"{model}: task is what an encoder goes on learning while it is trained; set "
                "trainable, leave spec_augment out (it masks frames of its own), or leave 'task' "
                "out (Whisper has none)"
            )
        loaded: Any = checkpoint.load(folder, masking=spec_augment or task is not None)
        loaded.config.apply_spec_augment = spec_augment
        if gradient_checkpointing:
            checkpoint.recompute(loaded)
        self.network: Any
        if config["model_type"] == "whisper":
            if normalise is not None:
                raise EncoderError(
                    f"{model}: Whisper has a front end of its own; leave 'normalise' out"
                )
            self.network = _whisper(loaded, preprocessor)
        else:
            self.network = _wave(loaded, preprocessor, normalise)
        self.layers: int = self.network.layers
        self.dim: int = self.network.dim
        self.masking = task
        self.task = own_task.made(task, loaded, folder) if task else None
        self.trainable = trainable
        self.lr_factor = lr_factor
        self.precision: Precision = precision
        self.storage: Storage = storage
        self._freeze()

    def _freeze(self) -> None:
        if self.trainable == "none":
            self.requires_grad_(False)
            self.network.settle()
        if self.trainable == "transformer":
            for part in self.network.front():
                part.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Speech":
        """What is frozen stays as it is when judged: no dropout, no masking."""
        super().train(mode and self.trainable != "none")
        if self.trainable == "transformer":
            for part in self.network.front():
                part.eval()
        return self

    def forward(self, wav: Float[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> Frames:
        """All layers of a padded batch; `lengths` counts samples. Padding frames are zero."""
        wav = wav[:, : int(lengths.max())]
        with self._computing(wav.device):
            frames = self.network.frames(lengths)
            if self.task is None:  # also Whisper, which has no front end of its own
                return _padded(self.network(wav, lengths), frames)
            return self._onward(self.network.convolved(wav, lengths), frames)

    def onward(self, convolved: Convolved) -> Frames:
        """All layers of what the front end made of a batch before, see `convolve`."""
        with self._computing(convolved.frames.device):
            return self._onward(convolved.frames.float(), convolved.lengths)

    def convolve(self, wav: Float[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> Convolved:
        """What the front end makes of a padded batch; `lengths` counts samples. Not of Whisper."""
        with self._computing(wav.device):
            made = self.network.convolved(wav[:, : int(lengths.max())], lengths)
            return Convolved(made, self.network.frames(lengths))

    def _onward(self, z: Float[Tensor, "B T C"], frames: Int[Tensor, " B"]) -> Frames:
        """All layers, and in training the loss of the encoder's own task."""
        if self.masking is None or self.task is None or not self.training:
            return _padded(self.network.onward(z, frames), frames)
        hidden = own_task.hidden(self.masking, frames, z.shape[1])
        layers, latent = self.network.masked(z, frames, hidden)
        return _padded(layers, frames, self.task(layers[-1], latent, hidden))

    def narrow(self) -> None:
        """Keep weights as they are multiplied; afterwards it can only judge, see `narrow`."""
        self.network.finish()
        if narrow(self, self.precision, next(self.parameters()).device):
            checkpoint.let_go(self)

    @contextmanager
    def _computing(self, device: torch.device) -> Iterator[None]:
        gradient = nullcontext() if self.trainable != "none" else torch.no_grad()
        with gradient, computing(self.precision, device):
            yield


def _padded(
    heard: list[Float[Tensor, "B _ D"]], frames: Int[Tensor, " B"], task: Losses | None = None
) -> Frames:
    longest = int(frames.max())
    mask = valid(frames, longest)
    layers = torch.stack([h[:, :longest] for h in heard], dim=1)
    return Frames(layers.masked_fill(~mask[:, None, :, None], 0.0), mask, task)


def identity(chosen: Mapping[str, Any], device: torch.device) -> str:
    """A key of everything that the frames of an utterance depend on, but for the utterance.

    Args:
        chosen: the options of `Speech`, all of them.
        device: that computes.
    """
    folder = checkpoint.locate(chosen["model"], chosen["revision"])
    precision, normalise = chosen["precision"], chosen["normalise"]
    computed = "bf16" if precision == "bf16" and has_bf16(device) else "fp32"
    preprocessor = checkpoint.settings(folder)[1]
    scaled = preprocessor.get("do_normalize", True) if normalise is None else normalise
    library = metadata.version("transformers").partition(".")[0]
    return f"{checkpoint.digest(folder)}-{scaled}-{computed}-{device.type}-{library}-{VERSION}"


def convolves(chosen: Mapping[str, Any]) -> bool:
    """Whether an encoder of these options has a front end whose work can be done before."""
    config, _ = checkpoint.settings(checkpoint.locate(chosen["model"], chosen["revision"]))
    return config["model_type"] != "whisper"


def _check_rate(model: str, preprocessor: Mapping[str, Any]) -> None:
    rate = preprocessor.get("sampling_rate", RATE)
    if rate != RATE:
        raise EncoderError(f"{model}: made for {rate} Hz, affekt reads {RATE} Hz; take another")


def _whisper(loaded: Any, preprocessor: dict[str, Any]) -> nn.Module:
    from affekt.encoders.whisper import WhisperEncoder

    return WhisperEncoder(loaded, preprocessor)


def _wave(loaded: Any, preprocessor: Mapping[str, Any], normalise: bool | None) -> nn.Module:
    from affekt.encoders.wave import WaveTransformer

    if normalise is None:
        normalise = bool(preprocessor.get("do_normalize", True))
    return WaveTransformer(loaded, normalise=normalise)


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Matrix products in bf16 if that is asked for and the processor has it, else in float32."""
    if precision == "bf16" and has_bf16(device):
        return torch.autocast(device.type, torch.bfloat16)
    if device.type == "cuda":  # convolutions would take TF32
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return nullcontext()


def narrow(model: nn.Module, precision: Precision, device: torch.device) -> bool:
    """Keep in bf16 the weights that are always multiplied so, where a model only judges.

    Whether it does: where bf16 is asked for and the device multiplies in it.

    `computing` rounds the others, at every call anew. On a CPU layers become those of
    nn/blocked.py: such a model can be neither saved nor copied nor moved.
    """
    if precision != "bf16" or not has_bf16(device):
        return False
    if device.type == "cpu":
        from affekt.nn import blocked

        if blocked.available():
            blocked.exchange(model)
    for part in model.modules():
        if isinstance(part, nn.Linear | nn.Conv1d):
            part.to(torch.bfloat16)
        if isinstance(part, nn.Conv1d) and device.type == "cpu":  # channels last: packed.py
            part.weight.data = part.weight.mT.contiguous().mT
    return True


def processor() -> torch.device:
    """What encodes: a GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies in bf16; a processor without gets slower by it, not faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
