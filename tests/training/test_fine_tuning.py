"""Encoders that are trained along, from signals to predictions."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import affekt
from affekt import Recipe
from affekt.batches import UtteranceDataset, in_order, loader
from affekt.encoders.frames import Waves
from affekt.encoders.speech import Speech
from affekt.losses.classification import Classification
from affekt.nn.heads import linear
from affekt.nn.mixing import LayerMix
from affekt.nn.pooling import mean_pooling
from affekt.nn.recogniser import Recogniser
from affekt.signals import Signals
from affekt.training.optim import adam, constant
from affekt.training.stage import StageModule

pytestmark = pytest.mark.usefixtures("own_cache")


def recipe(checkpoint, trainable="transformer", **changes) -> Recipe:
    return Recipe.parse(
        {
            "corpus": {"name": "emodb", "labels": "4-class"},
            "protocol": {"name": "leave-one-speaker-out", "dev": "next-speaker"},
            "folds": ["03"],
            "encoder": {
                "name": "speech",
                "model": str(checkpoint("hubert")),
                "trainable": trainable,
                "lr_factor": 0.4,
                "precision": "fp32",
            },
            "pooling": {"name": "mean", "dim": 8},
            "stage": [{"epochs": 2, "batch_size": 4, "optimizer": {"name": "adam", "lr": 1e-3}}],
        }
        | changes
    )


@pytest.mark.parametrize("trainable", ["transformer", "all"])
def test_what_is_trainable_is_learnt_and_saved(checkpoint, emodb_of_noise, tmp_path, trainable):
    run = affekt.run(recipe(checkpoint, trainable), data={"": emodb_of_noise}, out=tmp_path / "run")
    saved = load_file(run / "seed-0/fold-03/model/model.safetensors")
    before = Speech(model=str(checkpoint("hubert")), trainable=trainable).state_dict()
    changed = {
        name for name, weight in before.items() if not torch.equal(saved[f"encoder.{name}"], weight)
    }
    assert any("encoder.layers.0" in name for name in changed)
    assert any("feature_extractor" in name for name in changed) is (trainable == "all")
    assert (run / "report.html").is_file()


def test_the_same_seed_fine_tunes_to_the_same_predictions(checkpoint, emodb_of_noise, tmp_path):
    made = [
        affekt.run(recipe(checkpoint), data={"": emodb_of_noise}, out=tmp_path / name)
        for name in "ab"
    ]
    a, b = ((run / "seed-0/fold-03/predictions.jsonl").read_bytes() for run in made)
    assert a == b


def test_a_frozen_encoder_is_not_saved_with_the_model(checkpoint, emodb_of_noise, tmp_path):
    crops = recipe(checkpoint, "none", audio=[{"name": "crop", "seconds": 0.25, "where": "random"}])
    for name, frozen in (("crops", crops), ("whole", recipe(checkpoint, "none"))):
        run = affekt.run(frozen, data={"": emodb_of_noise}, out=tmp_path / name)
        saved = load_file(run / "seed-0/fold-03/model/model.safetensors")
        assert not any(key.startswith("encoder.") for key in saved)
        assert "mix.weight" in saved


def test_the_encoder_learns_at_a_rate_of_its_own(checkpoint):
    encoder = Speech(model=str(checkpoint("hubert")), trainable="all", lr_factor=0.4)
    pooling = mean_pooling(encoder.dim, dim=8)
    head = linear(pooling.output_dim, [*"abcd"])
    model = Recogniser(LayerMix(encoder.layers), pooling, head, encoder=encoder)
    module = StageModule(
        model,
        Classification(),
        optimizer=lambda groups: adam(groups, lr=1e-3),
        schedule=constant,
    )
    module._trainer = type("Trainer", (), {"estimated_stepping_batches": 1})()  # type: ignore
    made = module.configure_optimizers()["optimizer"]  # type: ignore
    rates = {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
    assert {round(rates[id(p)], 9) for p in encoder.parameters()} == {4e-4}
    assert rates[id(model.mix.weight)] == rates[id(head[0].weight)] == 1e-3
    assert len(rates) == len(list(model.parameters()))


def test_a_prediction_does_not_depend_on_batch_mates(checkpoint, emodb_of_noise):
    corpus = affekt.read("emodb", emodb_of_noise)
    said = list(corpus)[:9]
    data = UtteranceDataset(said, Signals(said, ()), sorted({u.emotion for u in said}))
    encoder = Speech(model=str(checkpoint("wavlm")), trainable="all", precision="fp32")
    pooling = mean_pooling(encoder.dim, dim=8)
    head = linear(pooling.output_dim, [*"abcd"])
    model = Recogniser(LayerMix(encoder.layers), pooling, head, encoder=encoder).eval()
    alone, together = {}, {}
    for found, size in ((alone, 1), (together, 9)):
        for batch in in_order(data, size):
            assert isinstance(batch.inputs, Waves)
            with torch.no_grad():
                logits = model(batch.inputs).logits
            found |= dict(zip(batch.keys, logits.numpy(), strict=True))
    assert alone.keys() == together.keys() == {u.key for u in said}
    for key, logits in alone.items():
        np.testing.assert_allclose(logits, together[key], rtol=1e-4, atol=1e-5)


def test_random_crops_fall_differently_at_every_look(emodb_of_noise):
    from affekt.audio import Crop

    said = list(affekt.read("emodb", emodb_of_noise))[:4]
    signals = Signals(said, [Crop(seconds=0.25, where="random")], seed=0)
    data = UtteranceDataset(said, signals, ["angry"])
    first, second = (next(iter(loader(data, 4, seed=0))) for _ in range(2))
    assert first.inputs.wav.shape == (4, 4000)
    assert not torch.equal(first.inputs.wav, second.inputs.wav)
