"""A model folder in Hugging Face's layout: all that a prediction needs, and what is known of it.

config.json               classes (id2label), temperature, what it says of golden.flac
recipe.toml               of its training; how the model is made
model.safetensors         the weights behind the encoder (classifier.npz of a classifier)
preprocessor_config.json  the rate of the sound
encoder/, text/           checkpoints of encoders that travel with it, see affekt.inference.packing
golden.flac               a made-up sound; loading compares what the model says of it
protocol.json             how the model was trained and tested
README.md                 the model card
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import affekt
from affekt import disk
from affekt.audio import RATE
from affekt.errors import ModelError
from affekt.inference import card, classical, golden, packing
from affekt.recipe import Recipe

KIND = "affekt"  # the model_type of config.json
CONFIG, RECIPE, PROTOCOL, CARD = "config.json", "recipe.toml", "protocol.json", "README.md"
SOUND = "preprocessor_config.json"
WEIGHTS, CLASSIFIER = "model.safetensors", "classifier.npz"
# A Trained network, or a Classical one, which is handled without torch.
Model = Any


def is_one(folder: Path) -> bool:
    """Whether a folder is a model that `write` wrote."""
    config = folder / CONFIG
    return config.is_file() and disk.read_json(config, ModelError).get("model_type") == KIND


def write(folder: Path, model: Model, protocol: Mapping[str, Any]) -> Path:
    """Write a model folder: all of it or nothing.

    Args:
        folder: its place; a model that is there is replaced.
        model: with the temperature of its logits.
        protocol: how it was trained and tested, see affekt.inference.protocol.
    """
    folder = refuse_taken(folder)
    with disk.drafted_folder(folder) as draft:
        recipe = packing.packed(model.recipe, getattr(model, "model", None), draft)
        kept = _kept(model, packing.unpacked(recipe, draft), draft)
        _describe(draft, kept, packing.digests(recipe))
        disk.write(draft / RECIPE, recipe.toml())
        disk.write_json(draft / PROTOCOL, dict(protocol))
        disk.write(
            draft / CARD, card.text(disk.read_json(draft / CONFIG, ModelError), recipe, protocol)
        )
        for file in draft.rglob("*.safetensors"):
            file.chmod(0o644)  # which safetensors keeps to its owner
    return folder


def refuse_taken(folder: Path) -> Path:
    """The folder's whole path, where a model may be written.

    Raises:
        ModelError: it holds something else, which would be lost.
    """
    folder = folder.expanduser().resolve()
    if folder.exists():
        free = folder.is_dir() and (is_one(folder) or not any(folder.iterdir()))
        if not free:
            raise ModelError(f"{folder} holds something else; name another folder with --out")
    return folder


def read(folder: Path) -> Model:
    """The model in a folder, compared with what it said of its golden sound.

    Raises:
        ModelError: a file is missing or damaged, weights do not fit, or it says something else.
    """
    for name in (CONFIG, RECIPE, golden.NAME):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: no {name}; copy the model again")
    config = disk.read_json(folder / CONFIG, ModelError)
    stored = Recipe.load(folder / RECIPE)
    recipe = packing.unpacked(stored, folder)
    told = folder / PROTOCOL
    about = disk.read_json(told, ModelError) if told.is_file() else {}
    try:
        own = config[KIND]
        classes = [config["id2label"][str(n)] for n in range(len(config["id2label"]))]
        packing.refuse_others(stored, own["encoders"], str(folder))
        told = {"temperature": float(own["temperature"]), "about": about}
        if not 0 < told["temperature"] < float("inf"):
            raise ValueError(f"a temperature of {own['temperature']}")
        expected = own["golden"]
    except (KeyError, TypeError, ValueError) as e:
        raise ModelError(f"{folder / CONFIG}: no model of affekt ({e}); copy it again") from e
    if recipe.classifier is None:
        from affekt.inference import networks

        model = networks.read(folder / WEIGHTS, recipe, classes)
    else:
        model = classical.load(folder / CLASSIFIER, recipe)
    model = replace(model, name=str(folder), **told)
    golden.check(folder, expected, golden.said(model, golden.read(folder)))
    return model


def _kept(model: Model, recipe: Recipe, draft: Path) -> Model:
    """The model as it will be read; what it learnt is written."""
    if recipe.classifier is not None:
        model.examples.save(draft / CLASSIFIER)
        return replace(model, recipe=recipe)
    from affekt.inference import networks

    return networks.kept(model, recipe, draft / WEIGHTS)


def _describe(draft: Path, model: Model, encoders: Mapping[str, str]) -> None:
    labels = list(model.classes)
    own = {
        "version": affekt.__version__,
        "temperature": model.temperature,
        "golden": golden.said(model, golden.write(draft)),
        "encoders": dict(encoders),
    }
    config = {
        "model_type": KIND,
        "architectures": ["Classifier" if model.recipe.classifier else "Recogniser"],
        "problem_type": "single_label_classification",
        "num_labels": len(labels),
        "id2label": {str(n): name for n, name in enumerate(labels)},
        "label2id": {name: n for n, name in enumerate(labels)},
        "sampling_rate": RATE,
        KIND: own,
    }
    disk.write_json(draft / CONFIG, config)
    sound = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": RATE}
    disk.write_json(draft / SOUND, sound | {"feature_size": 1})
