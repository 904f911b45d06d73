import json

import pytest
import torch

from affekt.encoders import checkpoint as module
from affekt.errors import EncoderError


@pytest.fixture
def own(checkpoints, tmp_path):
    """A checkpoint that a test may spoil."""
    return checkpoints.save(tmp_path / "wavlm", "wavlm")


def test_heads_of_pretraining_and_of_other_tasks_are_left_behind(checkpoint):
    for name in ("hubert", "wav2vec2", "data2vec-audio", "whisper"):
        module.load(checkpoint(name))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop("encoder.layers.1.attention.q_proj.weight"), "1 weights are missing"),
        (lambda w: w.update({"encoder.layers.9.x": torch.zeros(1)}), "unexpected: encoder.lay"),
        (
            lambda w: w.update({"encoder.layer_norm.bias": torch.zeros(3)}),
            "encoder.layer_norm.bias",
        ),
    ],
    ids=["missing", "unexpected", "another shape"],
)
def test_weights_that_do_not_fit_are_refused_by_name(own, checkpoints, change, told):
    checkpoints.rewrite(own, change)
    with pytest.raises(EncoderError, match=told):
        module.load(own)


def test_a_mask_embedding_may_be_missing(own, checkpoints):
    checkpoints.rewrite(own, lambda w: w.pop("masked_spec_embed"))
    module.load(own)
    with pytest.raises(EncoderError, match="missing: masked_spec_embed"):
        module.load(own, masking=True)


def test_the_preprocessor_may_stand_in_a_processor(own):
    inner = json.loads((own / "preprocessor_config.json").read_text())
    (own / "preprocessor_config.json").unlink()
    (own / "processor_config.json").write_text(json.dumps({"feature_extractor": inner}))
    assert module.locate(str(own), None) == own
    assert module.settings(own)[1] == inner


def test_heads_of_speaker_models_are_left_behind(own, checkpoints):
    names = ("tdnn.0.kernel.weight", "objective.weight", "feature_extractor.bias")
    checkpoints.rewrite(own, lambda w: w.update({name: torch.zeros(2) for name in names}))
    assert module.load(own).config.model_type == "wavlm"


def test_a_whisper_without_its_decoder_is_enough(checkpoints, tmp_path):
    folder = checkpoints.save(tmp_path / "whisper", "whisper")

    def drop(weights):
        for name in [name for name in weights if "decoder" in name]:
            weights.pop(name)

    checkpoints.rewrite(folder, drop)
    assert len(module.load(folder).encoder.layers) == 3


def test_a_cut_file_is_refused(own):
    file = own / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(EncoderError, match="cannot be loaded"):
        module.load(own)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_folder_without_its_settings_is_no_checkpoint(own, name):
    (own / name).unlink()
    with pytest.raises(EncoderError, match=name):
        module.locate(str(own), None)


def test_pickles_are_never_read(own):
    (own / "model.safetensors").rename(own / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="only pytorch_model.bin, but no safetensors"):
        module.locate(str(own), None)


def test_another_kind_of_model_is_refused_by_its_name(own):
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(EncoderError, match="model_type 'bert' is not known; choose from hubert"):
        module.load(own)


@pytest.mark.parametrize("name", ["nobody/nothing", "no such/thing at all"])
def test_what_is_neither_a_folder_nor_on_the_hub_is_told_in_one_message(name):
    with pytest.raises(EncoderError, match="not a folder, and not to be had from the hub"):
        module.locate(name, None)


def test_a_folder_has_no_revision(own):
    with pytest.raises(EncoderError, match="no revision 'main'"):
        module.locate(str(own), "main")


def test_the_digest_changes_with_any_byte(own, checkpoints):
    before = module.digest(own)
    assert module.digest(own) == before
    checkpoints.rewrite(own, lambda w: w["encoder.layer_norm.bias"].add_(1e-6))
    assert module.digest(own) != before


def test_what_looks_like_a_path_is_not_asked_of_the_hub(own):
    with pytest.raises(EncoderError, match="no such folder. Did you mean 'wavlm'"):
        module.locate(str(own.with_name("wavml")), None)
    with pytest.raises(EncoderError, match="is a file; give the folder"):
        module.locate(str(own / "model.safetensors"), None)
