"""The encoder that comes with affekt, on the real speech that does."""

import json

import numpy as np
import pytest
import torch
import transformers
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import affekt
from affekt import audio
from affekt.encoders import checkpoint
from affekt.encoders.speech import Speech
from affekt.errors import EncoderError
from affekt.recipe import Recipe

FOLDER = checkpoint.locate("affekt/small", None)


@pytest.fixture(scope="module")
def small() -> Speech:
    return Speech(precision="fp32")


@pytest.fixture(scope="module")
def waves(emodb_folder) -> dict[str, torch.Tensor]:
    said = [u for u in affekt.read("emodb", emodb_folder) if u.emotion in ("angry", "sad")]
    return {u.key: torch.from_numpy(audio.read(u.audio)) for u in said}


def test_it_is_small_enough_to_travel_in_the_package():
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) < 12_000_000


def test_it_heard_neither_of_the_corpora_that_test_it():
    heard = json.loads((FOLDER / "config.json").read_text())["heard"]
    assert heard
    assert not {"emodb", "ravdess"} & set(heard)


def test_transformers_loads_every_weight_and_gives_the_same_layers(small, waves):
    model, found = transformers.HubertModel.from_pretrained(
        FOLDER, output_loading_info=True, dtype="float32"
    )
    assert not any(found.values())
    wave = next(iter(waves.values()))
    extract = transformers.AutoFeatureExtractor.from_pretrained(FOLDER)
    ready = extract(wave.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        theirs = model.eval()(ready, output_hidden_states=True)
    ours = small(wave[None], torch.tensor([len(wave)])).layers[0]
    assert len(ours) == len(theirs.hidden_states)
    torch.testing.assert_close(ours[-1], theirs.last_hidden_state[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours[3], theirs.hidden_states[3][0], atol=1e-4, rtol=1e-4)


def test_its_frames_tell_anger_from_sadness_of_speakers_it_never_heard(small, waves, emodb_folder):
    def vector(key: str) -> np.ndarray:
        frames = small(waves[key][None], torch.tensor([len(waves[key])])).layers[0, 4]
        return torch.cat([frames.mean(dim=0), frames.std(dim=0)]).numpy()

    said = [u for u in affekt.read("emodb", emodb_folder) if u.key in waves][::2]
    x = np.stack([vector(u.key) for u in said])
    y = np.array([u.emotion for u in said])
    test = np.array([u.speaker in ("03", "08", "09", "10") for u in said])
    scale = StandardScaler().fit(x[~test])
    judge = SVC(kernel="linear", C=0.01).fit(scale.transform(x[~test]), y[~test])
    assert judge.score(scale.transform(x[test]), y[test]) > 0.95


def test_it_is_the_encoder_of_a_recipe_that_names_none():
    recipe = Recipe.parse(
        {
            "corpus": {"name": "emodb"},
            "protocol": {"name": "leave-one-speaker-out"},
            "pooling": {"name": "mean"},
            "stage": [{"epochs": 1}],
        }
    )
    assert recipe.encoder.options["model"] == "affekt/small"


def test_an_encoder_that_does_not_come_with_affekt_is_told():
    with pytest.raises(EncoderError, match=r"'affekt/smoll' is not known.* Did you mean.*small"):
        checkpoint.locate("affekt/smoll", None)
