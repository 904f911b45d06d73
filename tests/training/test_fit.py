import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from affekt.batches import UtteranceDataset, loader
from affekt.errors import AffektError, RecipeError
from affekt.losses.classification import Classification
from affekt.nn.heads import linear
from affekt.nn.mixing import LayerMix
from affekt.nn.pooling import mean_pooling
from affekt.nn.recogniser import Recogniser
from affekt.recipe import Recipe, Stage
from affekt.recipe.stage import PARTS
from affekt.training import fit
from affekt.training.check import check
from affekt.training.optim import adam, constant
from affekt.training.stage import StageModule
from affekt.types import Fold, Utterance

NAMES = ("angry", "happy", "sad")
SECTIONS = {
    "corpus": {"name": "manifest"},
    "protocol": {"name": "leave-one-speaker-out"},
    "encoder": {"name": "speech", "model": "toy"},
    "pooling": {"name": "attentive-correlation", "dim": 6, "heads": 2},
}


def recipe(**stage):
    return Recipe.parse(SECTIONS | {"stage": [{"batch_size": 2} | stage]})


def said(n, speaker):
    return Utterance(
        id=f"{speaker}{n}",
        audio=Path(f"{n}.wav"),
        emotion=NAMES[n % 3],
        corpus="toy",
        speaker=speaker,
    )


@pytest.fixture
def fold():
    sides = {
        side: tuple(said(n, speaker) for n in range(count))
        for side, speaker, count in (("train", "a", 11), ("dev", "b", 6), ("test", "c", 6))
    }
    return Fold(name="1", **sides)


@pytest.fixture
def clips(fold):
    """Two layers in half precision, as they come out of the cache."""
    rng = torch.Generator().manual_seed(0)
    return {
        u.key: torch.randn(2, int(torch.randint(4, 30, (), generator=rng)), 8, generator=rng)
        .add(NAMES.index(u.emotion))
        .bfloat16()
        for u in (*fold.train, *fold.dev, *fold.test)
    }


def train(recipe, fold, clips, folder, seed=0):
    return fit.train(recipe, fold, clips, seed=seed, folder=folder)


def test_a_stage_lasts_for_40_epochs_or_as_said():
    assert (Stage().epochs, Stage().steps, Stage().evaluate_every) == (40, None, None)
    assert Stage(epochs=3).rounds == 3
    long = Stage(steps=30_000, accumulate=8)
    assert (long.epochs, long.evaluate_every, long.rounds, long.batches) == (None, 1000, 30, 8000)
    for short in (Stage(steps=200), Stage(steps=200, evaluate_every=500)):
        assert (short.evaluate_every, short.rounds) == (200, 1)


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ({"epochs": 40, "steps": 100}, "either 'epochs' or 'steps'.* epochs = 40 and steps = 100"),
        ({"steps": 2500}, "2500 is none of 1000; take evaluate_every = 625, or steps = 3000"),
        ({"evaluate_every": 10}, "'evaluate_every' counts steps; give 'steps'"),
        ({"steps": "many"}, "'stage.0.steps'.*'many'"),
        ({"select": "best"}, "'stage.0.select'.*'last', but got 'best'"),
    ],
)
def test_a_stage_that_cannot_be_says_what_would_do(stage, told):
    with pytest.raises(RecipeError, match=told):
        recipe(**stage)


def test_a_saved_recipe_of_steps_is_read_again(tmp_path):
    for stage in ({"steps": 500}, {"epochs": 3}, {}):
        (tmp_path / "saved.toml").write_text(recipe(**stage).toml())
        assert Recipe.load(tmp_path / "saved.toml") == recipe(**stage)


def test_steps_are_counted_evaluated_and_logged(fold, clips, tmp_path):
    history = train(recipe(steps=12, evaluate_every=4, accumulate=3), fold, clips, tmp_path).history
    assert [(row["epoch"], row["steps"]) for row in history] == [(1, 4), (2, 8), (3, 12)]
    assert all({"train_loss", "dev_UA", "dev_WA"} <= set(row) for row in history)


def test_epochs_log_their_steps_and_count_on_through_the_stages(fold, clips, tmp_path):
    two = Recipe.parse(SECTIONS | {"stage": [{"epochs": 2, "batch_size": 4}, {"steps": 5}]})
    history = train(two, fold, clips, tmp_path).history
    at = [(row["stage"], row["epoch"], row["steps"]) for row in history]
    assert at == [(0, 1, 3), (0, 2, 6), (1, 3, 11)]


def test_no_clip_is_left_out_where_a_pass_ends_within_an_optimiser_step(fold, clips):
    """6 batches a pass, 12 batches between evaluations."""
    data = UtteranceDataset(fold.train, clips, NAMES)
    batches = loader(data, 2, seed=0, batches=3 * 4)
    seen = Counter(key for _ in range(3) for batch in batches for key in batch.keys)
    assert seen == dict.fromkeys((u.key for u in fold.train), 6)


def test_one_epoch_is_as_many_steps_of_its_batches(fold, clips, tmp_path):
    """With a pass that holds whole steps, both ways to say the length train the same."""
    epochs = train(recipe(epochs=4), fold, clips, tmp_path / "a")
    steps = train(recipe(steps=24, evaluate_every=6), fold, clips, tmp_path / "b")
    assert epochs.predictions == steps.predictions
    assert epochs.history == steps.history


@pytest.mark.parametrize(("select", "measure"), [("best-dev", "dev_UA"), ("best-dev-WA", "dev_WA")])
def test_the_first_of_the_best_is_kept(fold, clips, tmp_path, select, measure):
    adam = {"name": "adam", "lr": 0.01}
    stage = {"steps": 10, "evaluate_every": 1, "optimizer": adam}
    chosen = train(recipe(**stage, select=select), fold, clips, tmp_path / "a")
    best = int(np.argmax([row[measure] for row in chosen.history]))
    assert best + 1 < 10
    shorter = {"steps": best + 1, "evaluate_every": 1, "optimizer": adam}
    last = train(recipe(**shorter, select="last"), fold, clips, tmp_path / "b")
    assert chosen.predictions == last.predictions


def test_a_step_without_a_finite_gradient_is_skipped(fold, clips, tmp_path, caplog):
    spoilt = clips | {fold.train[0].key: torch.full((2, 5, 8), torch.nan).bfloat16()}
    trained = train(recipe(epochs=3), fold, spoilt, tmp_path)
    told = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(told) == 3  # once per epoch
    assert "seed 0, fold 1, stage 0: step skipped" in told[0].getMessage()
    assert trained.history[-1]["steps"] == 18
    assert np.isfinite(trained.embeddings["test"][1]).all()


def test_training_stops_where_no_gradient_is_finite(fold, clips, tmp_path):
    spoilt = {key: torch.full_like(clip, torch.nan) for key, clip in clips.items()}
    with pytest.raises(AffektError, match="seed 0, fold 1, stage 0: .* NaN .* 10 steps in a row"):
        train(recipe(steps=150), fold, spoilt, tmp_path)


def test_the_gradient_is_clipped_to_the_norm_that_is_given():
    module = StageModule(
        Recogniser(LayerMix(1), mean_pooling(3, dim=2), linear(2, [*"ab"])),
        Classification(),
        optimizer=adam,
        schedule=constant,
    )
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    for given, norm in ((0.5, 0.5), (0.0, 100.0), (500.0, 100.0)):
        sizes = [p.numel() for p in module.parameters()]
        for p in module.parameters():
            p.grad = torch.full_like(p, 100 / sum(sizes) ** 0.5)
        module.configure_gradient_clipping(optimizer, given)
        found = np.sqrt(sum(float(p.grad.square().sum()) for p in module.parameters()))
        assert found == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize("head", ["deep-wccn", "mlp"])
def test_pooling_once_is_pooling_at_every_step(fold, clips, tmp_path, monkeypatch, head):
    parts = {
        "mix": {"name": "layer"},
        "pooling": {"name": "mean-std", "dim": 0},
        "head": {"name": head, "hidden": 5, "dropout": 0.3},
        "embeddings": ["train", "dev", "test"],
    }
    stage = {"epochs": 3, "batch_size": 4, "order": "random", "patience": 3}
    stage["optimizer"] = {"name": "adagrad", "lr": 0.01}
    made = Recipe.parse(SECTIONS | parts | {"stage": [stage]})
    once = train(made, fold, clips, tmp_path / "once")
    monkeypatch.setattr(Recogniser, "pools_the_same", lambda *_: False)
    always = train(made, fold, clips, tmp_path / "always")
    for a, b in zip(once.predictions, always.predictions, strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-5)
    for side, (utterances, vectors) in once.embeddings.items():
        assert utterances == always.embeddings[side][0] == list(getattr(fold, side))
        np.testing.assert_allclose(vectors, always.embeddings[side][1], atol=1e-5)


def test_what_learns_or_drops_is_pooled_at_every_step():
    def made(**pooling):
        return Recogniser(LayerMix(2), mean_pooling(8, **pooling), linear(8, [*"abc"]))

    assert made(dim=0).pools_the_same(PARTS, 1)
    assert not made(dim=0).pools_the_same(PARTS, 2)  # the layers' weights are learnt
    assert not made(dim=8).pools_the_same(PARTS, 1)
    assert not made(dim=0, channel_dropout=0.1).pools_the_same(PARTS, 1)
    assert made(dim=8, channel_dropout=0.1).pools_the_same(["head"], 2)  # they are frozen


def test_a_stage_ends_where_dev_has_not_been_better_for_so_long(fold, clips, tmp_path):
    long = train(recipe(epochs=30, patience=2), fold, clips, tmp_path / "a").history
    scores = [row["dev_UA"] for row in long]
    best = scores.index(max(scores))
    assert len(scores) == best + 3 < 30
    with pytest.raises(RecipeError, match="'patience' waits for a better dev score"):
        recipe(patience=2, select="last")
    without = Fold(name="1", train=fold.train, test=fold.test)
    assert len(train(recipe(epochs=4, patience=1), without, clips, tmp_path / "b").history) == 4


def test_beta_without_a_task_of_the_encoder_is_refused():
    with pytest.raises(RecipeError, match=r"stage\.0\.objective: beta = 0\.001 weighs the encoder"):
        check(recipe(objective={"name": "classification", "beta": 1e-3}))


def test_dev_is_judged_by_the_model_that_is_kept(fold, clips, tmp_path):
    stage = {"epochs": 8, "optimizer": {"name": "adam", "lr": 0.01}}
    made = train(recipe(**stage), fold, clips, tmp_path)
    assert [p.id for p in made.dev] == [u.id for u in fold.dev]
    right = {name: [p.label == name for p in made.dev if p.truth == name] for name in NAMES}
    score = np.mean([np.mean(hits) for hits in right.values()])
    assert score == pytest.approx(max(row["dev_UA"] for row in made.history))
    alone = Fold(name="1", train=fold.train, test=fold.test)
    assert train(recipe(**stage), alone, clips, tmp_path / "alone").dev == []
