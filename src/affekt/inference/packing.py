"""The encoders of a model folder: copied into it as checkpoints, or named with a key of weights.

One that is frozen and comes with affekt, a package or the hub is there wherever affekt is; one
that was trained, or that lies in a folder of this machine, has to travel.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affekt.encoders import ENCODERS
from affekt.errors import ModelError
from affekt.parts import Section, options
from affekt.recipe import Recipe

ENCODER, TEXT = "encoder", "text"  # folders within a model's


def packed(recipe: Recipe, model: Any, folder: Path) -> Recipe:
    """The recipe as the folder keeps it, its trained or local encoders written there.

    Args:
        recipe: of the training.
        model: the network with its encoders; none of a classifier.
        folder: of the model.
    """
    corpora = [section.model_copy(update={"folder": None}) for section in recipe.corpus]
    changed: dict[str, Any] = {"corpus": corpora}
    if recipe.encoder.name == "speech":
        changed["encoder"] = _speech(recipe.encoder, model, folder / ENCODER)
    if recipe.head.name == "clap":
        changed["head"] = _head(recipe.head, model, folder / TEXT)
    return recipe.model_copy(update=changed)


def unpacked(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the places of the encoders that lie in the folder."""
    changed: dict[str, Any] = {}
    if recipe.encoder.options.get("model") == ENCODER:
        changed["encoder"] = _with(recipe.encoder, model=str(folder / ENCODER))
    text = recipe.head.options.get("text")
    if recipe.head.name == "clap" and text and text["model"] == TEXT:
        changed["head"] = _with(recipe.head, text={**text, "model": str(folder / TEXT)})
    return recipe.model_copy(update=changed)


def digests(recipe: Recipe) -> dict[str, str]:
    """Keys of the weights of the encoders that a packed recipe only names."""
    found = {}
    if recipe.encoder.name == "speech" and recipe.encoder.options.get("model") != ENCODER:
        from affekt.encoders import checkpoint

        chosen = options(ENCODERS, recipe.encoder, "encoder")
        found[ENCODER] = checkpoint.digest(checkpoint.locate(chosen["model"], chosen["revision"]))
    if recipe.head.name == "clap":
        from affekt.encoders import checkpoint
        from affekt.encoders import text as texts
        from affekt.nn.heads import HEADS

        text = options(HEADS, recipe.head, "head")["text"]
        if text.model != TEXT:
            found[TEXT] = checkpoint.digest(texts.locate(text.model, text.revision))
    return found


def refuse_others(recipe: Recipe, expected: Mapping[str, str], name: str) -> None:
    """Refuse encoders that are not those that a model was made with.

    Raises:
        ModelError: a checkpoint has other weights or another config.
    """
    for kind, digest in digests(recipe).items():
        if expected.get(kind) != digest:
            section = recipe.encoder.options if kind == ENCODER else recipe.head.options["text"]
            raise ModelError(
                f"{name}: was made with another version of the {kind} {section.get('model')}; "
                "take its revision of then, or the model of another run"
            )


def _speech(section: Section, model: Any, folder: Path) -> Section:
    from safetensors.torch import save_file

    from affekt.encoders import checkpoint

    chosen = options(ENCODERS, section, "encoder")
    at = checkpoint.locate(chosen["model"], chosen["revision"])
    kept = {k: v for k, v in section.options.items() if k in ("precision", "normalise")}
    if chosen["trainable"] == "none" and not Path(chosen["model"]).expanduser().is_dir():
        revision = {"revision": chosen["revision"]} if chosen["revision"] else {}
        return _section(section.name, model=chosen["model"], **revision, **kept)
    folder.mkdir()
    for name in (checkpoint.CONFIG, checkpoint.PREPROCESSOR, checkpoint.PROCESSOR):
        if (at / name).is_file():
            shutil.copyfile(at / name, folder / name)
    if chosen["trainable"] == "none" or model is None:
        for file in [*at.glob(checkpoint.WEIGHTS), *at.glob(f"{checkpoint.WEIGHTS}.index.json")]:
            shutil.copyfile(file, folder / file.name)
    else:
        prefix = "encoder." if checkpoint.settings(at)[0]["model_type"] == "whisper" else ""
        weights = model.encoder.network.model.state_dict().items()
        tensors = {prefix + name: tensor.contiguous().cpu() for name, tensor in weights}
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return _section(section.name, model=ENCODER, **kept)


def _head(section: Section, model: Any, folder: Path) -> Section:
    from safetensors.torch import save_file

    from affekt.encoders import checkpoint
    from affekt.encoders import text as texts
    from affekt.nn.heads import HEADS

    chosen = options(HEADS, section, "head")["text"]
    text = chosen.model_dump() | {"trainable": "none"}
    own = Path(chosen.model).expanduser().is_dir()
    if chosen.trainable == "none" and not own:
        return _with(section, text=_without_none(text))
    at = texts.locate(chosen.model, chosen.revision)
    folder.mkdir()
    for pattern in (checkpoint.CONFIG, *texts.TOKENIZER):
        for file in at.glob(pattern):
            shutil.copyfile(file, folder / file.name)
    trained = model.head.prompts.text
    if trained is None:
        for file in at.glob(checkpoint.WEIGHTS):
            shutil.copyfile(file, folder / file.name)
    else:
        tensors = {k: v.contiguous().cpu() for k, v in trained.model.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return _with(section, text=_without_none(text | {"model": TEXT, "revision": None}))


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _section(name: str, **values: Any) -> Section:
    return Section.model_validate({"name": name} | values)


def _with(section: Section, **values: Any) -> Section:
    return _section(section.name, **(section.options | values))
