"""The pre-training of wav2vec 2.0 beside transformers' Wav2Vec2ForPreTraining."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from affekt.encoders.speech import Speech
from affekt.errors import RecipeError
from affekt.losses.wav2vec2 import sampled
from affekt.nn.masking import spans
from affekt.pretraining import saved
from affekt.pretraining.batches import MASK, Batch, generator
from affekt.pretraining.log import read
from affekt.pretraining.module import normalised, parts
from affekt.pretraining.recipe import Pretraining
from affekt.pretraining.run import check, pretrain

K = 7
STILL = dict.fromkeys(
    ("hidden_dropout", "activation_dropout", "attention_dropout", "layerdrop"), 0.0
)
CHOSEN: dict[str, Any] = {
    "name": "contrastive",
    "codebooks": 2,
    "entries": 6,
    "width": 12,
    "distractors": K,
    "temperature": 0.2,
    "diversity": 0.3,
    "gumbel_factor": 0.8,
}
# With filters = "gabor": a front end that hears bands from the first step on.
HEARING = {
    "hidden_size": 32,
    "conv_dim": [64, 64],
    "conv_kernel": [400, 4],
    "conv_stride": [160, 4],
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
}
FACTS = {"hours": 1.0, "step": 1, "loss": 1.0, "played": 1.0}


@pytest.fixture(scope="session")
def recipe(tiny) -> Callable[..., Pretraining]:
    """A tiny recipe of it, with changes: `recipe(objective={"entries": 5}, steps=9)`."""

    def made(objective: Any = None, model: Any = None, **training: Any) -> Pretraining:
        return tiny(
            target=[],
            objective=CHOSEN | (objective or {}),
            model=STILL | (model or {}),
            filters="gabor" if model is HEARING else "random",
            training={"save_as": "fp32"} | training,
        )

    return made


@pytest.fixture
def made(recipe, tmp_path) -> list[Any]:
    """Network, objective, and transformers' model with the same weights, through the disk."""
    chosen = recipe()
    model, objective = parts(chosen)
    saved.write_model(tmp_path, model, chosen, heads=objective.kept, heard=["x"], facts=FACTS)
    return [model, objective, hf.Wav2Vec2ForPreTraining.from_pretrained(tmp_path / "model")]


def rows(run: Path) -> list[dict[str, float]]:
    """The log without what the clock says."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read(run / "log.csv")]


@pytest.mark.parametrize("training", [False, True])
def test_the_loss_and_its_gradients_are_those_of_transformers_over_the_masked_frames(
    made, training
):
    model, objective, reference = (part.train(training) for part in made)
    wave = torch.randn(4, 24_000, generator=torch.Generator().manual_seed(0))
    frames = objective.front.frames(24_000)
    drawn = spans(generator(0, 3, 1, MASK), 4, frames, share=0.5, span=10)
    mask = torch.from_numpy(drawn)
    torch.manual_seed(5)
    losses = objective(model, wave, Batch(3, wave, []), 1)
    losses.total.backward()

    torch.manual_seed(5)
    said = model(wave, mask_time_indices=mask)
    objective.task.quantizer(said.extract_features, mask)
    own = sampled(mask, K)  # the distractors that were drawn after all that
    torch.manual_seed(5)
    reference.set_gumbel_temperature(2.0 * 0.8**3)
    numbers = own + frames * torch.arange(4)[:, None, None]
    theirs = reference(wave, mask_time_indices=mask, sampled_negative_indices=numbers)
    (theirs.loss / mask.sum()).backward()

    torch.testing.assert_close(losses.total, theirs.loss / mask.sum(), rtol=1e-5, atol=1e-5)
    for name in ("contrastive", "diversity"):
        torch.testing.assert_close(losses.parts[name], theirs[f"{name}_loss"] / mask.sum())
    found = {f"wav2vec2.{n}": p for n, p in model.named_parameters()}
    found |= dict(objective.task.named_parameters())
    for name, p in reference.named_parameters():
        torch.testing.assert_close(found[name].grad, p.grad, rtol=1e-4, atol=1e-5)


def test_the_temperature_is_multiplied_in_every_step_down_to_its_end(recipe):
    _, objective = parts(recipe({"gumbel_factor": 0.8, "gumbel_end": 0.6}))
    tau = 2.0
    for step in range(10):
        assert objective.tau(step) == pytest.approx(max(tau, 0.6))
        tau *= 0.8


def test_the_folder_is_what_transformers_saves_and_affekt_reads_it(recipe, speech, tmp_path):
    chosen = recipe(steps=2)
    folder = pretrain(chosen, [speech], out=tmp_path / "run").model
    loaded, found = hf.Wav2Vec2ForPreTraining.from_pretrained(folder, output_loading_info=True)
    assert not any(found.values()), found
    state = saved.read_checkpoint(tmp_path / "run")
    assert state is not None
    model, objective = parts(chosen)
    model.load_state_dict(state["model"])
    objective.load_state_dict(state["objective"])
    for name, weight in objective.task.state_dict().items():
        assert (loaded.state_dict()[name] == weight).all()
    told = loaded.config
    assert (told.num_codevector_groups, told.num_codevectors_per_group) == (2, 6)
    assert (told.codevector_dim, told.proj_codevector_dim, told.num_negatives) == (12, 12, K)
    assert (told.contrastive_logits_temperature, told.diversity_loss_weight) == (0.2, 0.3)
    assert (told.architectures, told.heard) == (["Wav2Vec2ForPreTraining"], ["speech"])

    wave = normalised(torch.randn(2, 16_000))
    exact = model.eval()(wave, output_hidden_states=True).hidden_states
    theirs = loaded.eval().wav2vec2(wave, output_hidden_states=True).hidden_states
    torch.testing.assert_close(theirs, exact)
    encoder = Speech(model=str(folder), precision="fp32")
    ours = encoder(wave, torch.full((2,), 16_000)).layers
    torch.testing.assert_close(ours, torch.stack(exact, dim=1), atol=1e-4, rtol=1e-4)
    assert type(hf.AutoModel.from_pretrained(folder)) is hf.Wav2Vec2Model


def test_a_run_learns_and_goes_on_to_the_log_of_an_uninterrupted_one(recipe, speech, tmp_path):
    def interrupt(now: str, done: int, of: int, words: str = "") -> None:
        if now == "training" and done == 20:
            os.kill(os.getpid(), signal.SIGINT)

    sizes = {"batch_seconds": 12.0, "pieces": [2.0], "lr": 3e-3}
    chosen = recipe({"temperature": 0.1}, HEARING, steps=60, save_every=20, **sizes)
    pretrain(chosen, [speech], out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        pretrain(chosen, [speech], out=tmp_path / "run", progress=interrupt)
    left = saved.read_checkpoint(tmp_path / "run")
    assert left is not None
    assert left["step"] in (20, 21)
    pretrain(chosen, [speech], out=tmp_path / "run")
    log = rows(tmp_path / "whole")
    assert rows(tmp_path / "run") == log
    losses = [row["loss"] for row in log]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.4
    assert log[-1]["diversity"] < 0.2  # and it is no collapse, where distractors would be the truth


def test_wrong_options_are_told_in_one_message(recipe, tiny):
    def refused(match: str, *changes: Any, **training: Any) -> None:
        with pytest.raises(RecipeError, match=match):
            check(recipe(*changes, **training))

    refused("width = 13 is no multiple of codebooks = 2", {"width": 13})
    refused("'contrastive': key 'entries': .*greater than or equal to 1", {"entries": 0})
    refused("key 'temperature': .*greater than 0, but got 0", {"temperature": 0})
    refused("key 'gumbel_factor': .*less than or equal to 1", {"gumbel_factor": 1.1})
    refused("key 'codebook' is not known.* Did you mean 'codebooks'", {"codebook": 2})
    refused("'contrastive': expected 0 < share < 1", {"share": 1.0})
    refused("'contrastive': span = 1 s leaves nothing", {"span": 1.0})
    refused("one frame is masked.*; raise share or span", {"share": 0.01, "span": 0.02})
    refused("'num_negatives' is 'distractors' of .objective.", None, {"num_negatives": 5})
    refused("'add_adapter' is no field of .* Wav2Vec2Config", None, {"add_adapter": True})
    refused("'conv_pos_batch_norm' is no field", None, {"conv_pos_batch_norm": True})
    with pytest.raises(RecipeError, match=r"'contrastive' has no use for \[\[target\]\]"):
        check(tiny(objective={"name": "contrastive"}))
