"""Checkpoints of speech encoders in Hugging Face's format: found, loaded, refused if not whole.

A checkpoint is a folder with `config.json`, `preprocessor_config.json` (or a processor's) and
safetensors, one that comes with affekt (`affekt/small`), or the id of one on the hub. Pickled
weights are never read: they may run any code.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import file_digest
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn
from xxhash import xxh3_128

from affekt import disk
from affekt.errors import EncoderError, choose, nearest

BUNDLED = "affekt/"  # how the names of those that come with affekt begin
HERE = Path(__file__).parent.parent / "weights"
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
PROCESSOR = "processor_config.json"  # of transformers 5, with the preprocessor inside
WEIGHTS = "*.safetensors"

# The model of each `model_type`: its module in transformers, and its class.
FAMILIES: dict[str, tuple[str, str]] = {
    "hubert": ("hubert", "HubertModel"),
    "wavlm": ("wavlm", "WavLMModel"),
    "wav2vec2": ("wav2vec2", "Wav2Vec2Model"),
    "data2vec-audio": ("data2vec", "Data2VecAudioModel"),
    "whisper": ("whisper", "WhisperModel"),
}
# What stands on top of an encoder, in pre-training or for another task, and is not needed here.
HEADS = ("quantizer.", "project_q.", "project_hid.", "final_proj.", "lm_head.", "projector.")
HEADS += ("classifier.", "layer_weights", "label_embs_concat", "proj_out.", "decoder.", "adapter.")
HEADS += ("tdnn.", "objective.", "feature_extractor.weight", "feature_extractor.bias")  # x-vectors
# Learned, but used only where SpecAugment masks frames; some checkpoints come without.
SPARE = ("masked_spec_embed",)


def locate(
    model: str,
    revision: str | None,
    needs: Sequence[tuple[str, ...]] = ((CONFIG,), (PREPROCESSOR, PROCESSOR)),
    kind: str = "speech",
    also: Sequence[str] = (),
) -> Path:
    """The folder of a checkpoint: a folder, the name of a bundled one, or an id on the hub.

    HF_HUB_OFFLINE, HF_HOME and HF_ENDPOINT are honoured.

    Args:
        model: what is asked for.
        revision: of the hub's.
        needs: files without which it is none; of each of these one.
        kind: of encoder, for messages.
        also: patterns of files that are downloaded beside config, preprocessor and weights.

    Raises:
        EncoderError: there is none, or it lacks a file.
    """
    folder = Path(model).expanduser()
    if model.startswith(BUNDLED) and not folder.is_dir():
        there = {BUNDLED + path.name: path for path in sorted(HERE.iterdir()) if path.is_dir()}
        folder = choose(there, model, "bundled encoder", EncoderError)
    if folder.is_file():
        raise EncoderError(f"{model} is a file; give the folder of the checkpoint")
    looks_like_one = model.startswith((".", "/", "~")) or model.count("/") > 1
    if not folder.is_dir() and looks_like_one:
        beside = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise EncoderError(f"{model}: no such folder.{nearest(folder.name, beside)}")
    if not folder.is_dir():
        folder = _downloaded(model, revision, also)
    elif revision is not None:
        raise EncoderError(f"{model} is a folder, which has no revision '{revision}'; leave it out")
    for names in needs:
        if not any((folder / name).is_file() for name in names):
            raise EncoderError(
                f"{folder}: no {' and no '.join(names)}; is it a checkpoint of a {kind} encoder?"
            )
    if not any(folder.glob(WEIGHTS)):
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        found = f"only {', '.join(pickled)}" if pickled else "no weights"
        raise EncoderError(
            f"{model}: {found}, but no safetensors, and affekt never unpickles weights; load the "
            "model with transformers once and save it with save_pretrained (docs/encoders.md), or "
            "name a revision on the hub that has them"
        )
    return folder


def _downloaded(model: str, revision: str | None, also: Sequence[str]) -> Path:
    import huggingface_hub as hub

    try:
        wanted = [CONFIG, PREPROCESSOR, PROCESSOR, WEIGHTS, f"{WEIGHTS}.index.json", *also]
        return Path(hub.snapshot_download(model, revision=revision, allow_patterns=wanted))
    except (OSError, ValueError) as e:
        called = f"'{model}' (revision {revision})" if revision else f"'{model}'"
        reason = str(e).splitlines()[0].rstrip(".")
        if isinstance(e, FileNotFoundError):
            reason = "it cannot be reached, or HF_HUB_OFFLINE is set, or has none of this name"
        raise EncoderError(
            f"no checkpoint {called}: not a folder, and not to be had from the hub ({reason}); "
            "download it on a machine with a connection, or name another one"
        ) from e


def settings(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config of a checkpoint and that of its preprocessor."""
    config = disk.read_json(folder / CONFIG, EncoderError)
    if (folder / PREPROCESSOR).is_file():
        return config, disk.read_json(folder / PREPROCESSOR, EncoderError)
    processor = disk.read_json(folder / PROCESSOR, EncoderError)
    return config, processor.get("feature_extractor", {})


def load(folder: Path, *, masking: bool = False) -> nn.Module:
    """The model of a checkpoint in float32, every weight of its encoder from the file.

    Args:
        folder: of the checkpoint.
        masking: whether frames will be masked, which takes one more weight.

    Raises:
        EncoderError: another kind of model, or weights are missing, left over or of another shape.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    kind = str(settings(folder)[0].get("model_type"))
    module, name = choose(FAMILIES, kind, f"{folder}: model_type", EncoderError)
    logging.set_verbosity_error()  # what it would report, the lines below refuse
    logging.disable_progress_bar()
    model_class = getattr(import_module(f"transformers.models.{module}"), name)
    try:
        model, found = model_class.from_pretrained(
            folder,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told of below
            dtype="float32",
        )
    except (SafetensorError, RuntimeError, ValueError, OSError) as e:
        reason = str(e).splitlines()[0]
        raise EncoderError(f"{folder}: cannot be loaded ({reason}); copy it again") from e
    spare = () if masking else SPARE
    missing = [key for key in found["missing_keys"] if not (key.endswith(spare) or _on_top(key))]
    left = [key for key in found["unexpected_keys"] if not _on_top(key)]
    shapes = [str(key[0]) for key in found["mismatched_keys"]]
    for keys, what, so in (
        (missing, "missing", "the encoder would be random there"),
        (left, "unexpected", "the encoder that was trained is another one than its config says"),
        (shapes, "of another shape", "the encoder would be random there"),
    ):
        if keys:
            raise EncoderError(
                f"{folder}: {len(keys)} weights are {what}: {', '.join(sorted(keys)[:5])}"
                f"{', ...' if len(keys) > 5 else ''}; {so}, "
                "so take a checkpoint whose weights fit its config.json"
            )
    return model


def let_go(model: nn.Module) -> None:
    """Copy what a model still has in its file, which stays in memory whole for as long."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_cpu and not tensor.is_mkldnn:
            tensor.data = tensor.data.clone()


def _on_top(key: str) -> bool:
    """Whether a weight belongs to a head: 'wav2vec2.encoder.x' does not, 'quantizer.x' does."""
    return key.startswith(HEADS) or key.startswith(tuple(f"model.{head}" for head in HEADS))


def digest(folder: Path) -> str:
    """A key of everything that a checkpoint's frames depend on."""
    whole = xxh3_128()
    names = (CONFIG, PREPROCESSOR, PROCESSOR)
    there = [folder / name for name in names if (folder / name).is_file()]
    for path in sorted([*there, *folder.glob(WEIGHTS)]):
        state = path.stat()
        whole.update(_file_digest(path, state.st_size, state.st_mtime_ns))
    return whole.hexdigest()


@cache
def _file_digest(path: Path, size: int, modified: int) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, xxh3_128).digest()


def recompute(model: Any) -> None:
    """Let layers in training compute what their gradients need anew, in place of keeping it."""
    enable = getattr(model, "activation_checkpointing_enable", None)  # its name since 5.23
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
