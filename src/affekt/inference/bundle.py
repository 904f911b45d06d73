"""A model folder in Hugging Face's layout: all that a prediction needs, and what is known of it.

config.json               classes (id2label), temperature, what it says of golden.flac
recipe.toml               of its training; how the model is made
model.safetensors         the weights behind the encoder (classifier.skops of a classifier)
preprocessor_config.json  the rate of the sound
encoder/, text/           checkpoints of encoders that travel with it, see affekt.inference.packing
golden.flac               a made-up sound; loading compares what the model says of it
protocol.json             how the model was trained and tested
README.md                 the model card
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import affekt
from affekt import disk
from affekt.audio import RATE
from affekt.classical import save
from affekt.encoders import checkpoint
from affekt.errors import ModelError
from affekt.inference import card, classical, golden, packing
from affekt.inference.classical import Classical
from affekt.recipe import Recipe
from affekt.trained import Trained, assembled, opened, untrained

KIND = "affekt"  # the model_type of config.json
CONFIG, RECIPE, PROTOCOL, CARD = "config.json", "recipe.toml", "protocol.json", "README.md"
WEIGHTS, CLASSIFIER = "model.safetensors", "classifier.skops"


def is_one(folder: Path) -> bool:
    """Whether a folder is a model that `write` wrote."""
    return (folder / CONFIG).is_file() and _json(folder / CONFIG).get("model_type") == KIND


def write(folder: Path, model: Trained | Classical, protocol: Mapping[str, Any]) -> Path:
    """Write a model folder: all of it or nothing.

    Args:
        folder: its place; a model that is there is replaced.
        model: with the temperature of its logits.
        protocol: how it was trained and tested, see affekt.inference.protocol.
    """
    draft = folder.with_name(f".{folder.name}.{uuid4().hex}.part")
    draft.mkdir(parents=True)
    try:
        network = model.model if isinstance(model, Trained) else None
        recipe = packing.packed(model.recipe, network, draft)
        kept = _kept(model, packing.unpacked(recipe, draft), draft)
        _describe(draft, kept, packing.digests(recipe))
        disk.write(draft / RECIPE, recipe.toml())
        disk.write_json(draft / PROTOCOL, dict(protocol))
        disk.write(draft / CARD, card.text(_json(draft / CONFIG), recipe, protocol))
        for file in draft.rglob("*.safetensors"):
            file.chmod(0o644)  # which safetensors keeps to its owner
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def read(folder: Path) -> Trained | Classical:
    """The model in a folder, compared with what it said of its golden sound.

    Raises:
        ModelError: a file is missing or damaged, weights do not fit, or it says something else.
    """
    for name in (CONFIG, RECIPE, golden.NAME):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: no {name}; copy the model again")
    config = _json(folder / CONFIG)
    stored = Recipe.load(folder / RECIPE)
    recipe = packing.unpacked(stored, folder)
    about = _json(folder / PROTOCOL) if (folder / PROTOCOL).is_file() else {}
    try:
        own = config[KIND]
        classes = [config["id2label"][str(n)] for n in range(len(config["id2label"]))]
        packing.refuse_others(stored, own["encoders"], str(folder))
        told = {"temperature": float(own["temperature"]), "about": about}
        expected = own["golden"]
    except (KeyError, TypeError, ValueError) as e:
        raise ModelError(f"{folder / CONFIG}: no model of affekt ({e}); copy it again") from e
    if recipe.classifier is None:
        model = _network(folder / WEIGHTS, recipe, classes)
        found: Trained | Classical = Trained(model, classes, recipe, str(folder), **told)
    else:
        found = classical.load(folder / CLASSIFIER, recipe, str(folder))
        found = replace(found, **told)
    golden.check(folder, expected, _said(found, golden.read(folder)))
    return found


def _network(file: Path, recipe: Recipe, classes: Sequence[str]) -> Any:
    try:
        there, weights = opened(file)
        if there != list(classes):
            raise ValueError(f"its classes are {', '.join(there)}, config.json has others")
        return assembled(recipe, classes, weights)
    except ValueError as e:
        raise ModelError(f"{file}: {e}; copy the model again") from e


def _kept(model: Trained | Classical, recipe: Recipe, draft: Path) -> Trained | Classical:
    """The model as it will be read: its encoders frozen; its weights are written."""
    if isinstance(model, Classical):
        save(model.classifier, draft / CLASSIFIER)
        return replace(model, recipe=recipe)
    from safetensors.torch import save_file

    network = untrained(recipe, model.classes)
    network.load_state_dict(model.model.state_dict(), strict=False)
    behind = {k: v.contiguous() for k, v in network.state_dict().items() if _is_behind(k)}
    about = {"classes": "\n".join(model.classes), "format": "pt"}
    save_file(behind, draft / WEIGHTS, about)
    kept = replace(model, model=assembled(recipe, model.classes, behind), recipe=recipe)
    signal = golden.write(draft)
    golden.check(draft, _said(model, signal), _said(kept, signal))
    return kept


def _is_behind(weight: str) -> bool:
    """Whether a weight belongs to what stands behind the encoders."""
    return not weight.startswith(("encoder.", "head.prompts.text."))


def _said(model: Trained | Classical, signal: Any) -> list[float]:
    network = model.model if isinstance(model, Trained) else None
    return golden.logits(model.predictor().logits, signal, network)


def _describe(draft: Path, model: Trained | Classical, encoders: Mapping[str, str]) -> None:
    labels = list(model.classes)
    own = {
        "version": affekt.__version__,
        "temperature": model.temperature,
        "golden": _said(model, golden.write(draft)),
        "encoders": dict(encoders),
    }
    config = {
        "model_type": KIND,
        "architectures": ["Recogniser" if isinstance(model, Trained) else "Classifier"],
        "problem_type": "single_label_classification",
        "num_labels": len(labels),
        "id2label": {str(n): name for n, name in enumerate(labels)},
        "label2id": {name: n for n, name in enumerate(labels)},
        "sampling_rate": RATE,
        KIND: own,
    }
    disk.write_json(draft / CONFIG, config)
    sound = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": RATE}
    disk.write_json(draft / checkpoint.PREPROCESSOR, sound | {"feature_size": 1})


def _json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as e:
        raise ModelError(f"{file} is not JSON ({e}); copy the model again") from e
