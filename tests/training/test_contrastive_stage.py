"""A stage over pairs of clips of several corpora, and the classifier that follows it."""

from pathlib import Path

import pytest
import torch

from affekt.batches import UtteranceDataset
from affekt.errors import ProtocolError, RecipeError
from affekt.losses.supervised_contrastive import SupervisedContrastive
from affekt.nn.heads import mlp
from affekt.nn.mixing import OneLayer
from affekt.nn.pooling import self_attention_pooling
from affekt.nn.recogniser import Recogniser
from affekt.recipe import Recipe, Stage
from affekt.training import fit
from affekt.training.check import check
from affekt.training.optim import adam, multi_step
from affekt.training.stage import run_stage
from affekt.types import Fold, Utterance

NAMES = ("angry", "happy", "sad")
PAIRS = {
    "objective": {"name": "supervised-contrastive"},
    "optimizer": {"name": "adam", "lr": 1e-2},
    "select": "last",
    "batch_size": 8,
    "epochs": 15,
}
SECTIONS = {
    "corpus": {"name": "manifest"},
    "protocol": {"name": "leave-one-speaker-out"},
    "encoder": {"name": "speech", "model": "toy"},
    "mix": {"name": "layer"},
    "pooling": {"name": "self-attention", "dim": 6},
    "head": {"name": "mlp", "hidden": 5},
}


def recipe(*stages, **sections):
    return Recipe.parse(SECTIONS | sections | {"stage": list(stages)})


def said(n, speaker, corpus):
    return Utterance(
        id=f"{speaker}{n}",
        audio=Path(f"{n}.wav"),
        emotion=NAMES[n % 3],
        corpus=corpus,
        speaker=speaker,
    )


@pytest.fixture
def fold():
    sides = {
        side: tuple(said(n, f"{corpus}{side}", corpus) for n in range(12) for corpus in "xy")
        for side in ("train", "dev", "test")
    }
    return Fold(name="1", **sides)


@pytest.fixture
def clips(fold):
    rng = torch.Generator().manual_seed(0)
    return {
        u.key: torch.randn(1, 8, 10, generator=rng) + 2 * torch.eye(10)[NAMES.index(u.emotion)]
        for u in (*fold.train, *fold.dev, *fold.test)
    }


def test_pairs_come_first_and_a_classifier_follows(fold, clips, tmp_path):
    both = recipe(PAIRS, {"epochs": 40, "batch_size": 8, "optimizer": {"name": "adam", "lr": 1e-2}})
    made = fit.train(both, fold, clips, seed=0, folder=tmp_path)
    first = [row for row in made.history if row["stage"] == 0]
    assert {"train_contrastive", "train_margin"} <= set(first[0])
    assert not any(key.startswith("dev") for row in first for key in row)
    assert first[-1]["train_contrastive"] < 0.5 * first[0]["train_contrastive"]
    assert first[0]["train_loss"] == pytest.approx(
        first[0]["train_contrastive"] + first[0]["train_margin"], rel=1e-5
    )
    assert sum(p.label == p.truth for p in made.predictions) > 0.7 * len(fold.test)
    again = fit.train(both, fold, clips, seed=0, folder=tmp_path / "again")
    assert again.predictions == made.predictions


def test_pairs_train_what_pools_and_not_the_head(fold, clips):
    torch.manual_seed(0)
    pooling = self_attention_pooling(10, dim=6)
    model = Recogniser(OneLayer(1), pooling, mlp(pooling.output_dim, [*"abc"], hidden=5))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    side = UtteranceDataset(fold.train, clips, NAMES)
    run_stage(model, Stage.model_validate(PAIRS), side, side, seed=0, name="pairs")
    changed = {n.partition(".")[0] for n, w in model.state_dict().items() if (w != before[n]).any()}
    assert changed == {"pooling"}


@pytest.mark.parametrize(
    ("stages", "sections", "told"),
    [
        (
            [PAIRS | {"select": "best-dev"}, {}],
            {},
            'no dev score to choose on; give select = "last"',
        ),
        ([PAIRS], {}, "no stage after pairs of clips trains the head as a classifier"),
        (
            [PAIRS, {}],
            {"pooling": {"name": "mean", "dim": 0}},
            "stage.0: there is nothing to train",
        ),
        (
            [PAIRS | {"objective": PAIRS["objective"] | {"temperature": 0.0}}, {}],
            {},
            "temperature must be above 0, .* not 0, 0.5 and 0.4",
        ),
    ],
)
def test_what_pairs_cannot_do_is_told_before_anything_is_done(stages, sections, told):
    with pytest.raises(RecipeError, match=told):
        check(recipe(*stages, **sections))


def test_one_corpus_has_no_pairs(fold, clips, tmp_path):
    alone = Fold(name="1", train=fold.train[::2], dev=fold.dev[::2], test=fold.test[::2])
    with pytest.raises(ProtocolError, match="two corpora at least, but all 12 .* are of x"):
        fit.train(recipe(PAIRS, {}), alone, clips, seed=0, folder=tmp_path)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"optimizer": {"name": "adam", "lr": -1.0}},
            "stage.0: optimizer 'adam': Invalid",
        ),
        ({"optimizer": {"name": "adamw", "weight_decay": -1.0}}, "'adamw': Invalid weight_decay"),
        ({"objective": {"name": "classification", "label_smoothing": 2.0}}, "from 0 to 1, not 2"),
        (
            {"schedule": {"name": "multi-step", "at": [1.5]}},
            "stage.0: schedule .* shares",
        ),
    ],
)
def test_values_out_of_range_are_told_before_anything_is_done(changed, told):
    with pytest.raises(RecipeError, match=told):
        check(recipe(changed))
    with pytest.raises(RecipeError, match="dim must be 0 or more .*, not -3 and 0"):
        check(recipe({}, pooling={"name": "mean", "dim": -3}))


@pytest.mark.parametrize("option", [{"alpha": -1.0}, {"margin": 2.0}, {"temperature": -0.1}])
def test_values_of_the_objective_are_checked(option):
    with pytest.raises(RecipeError, match="must be above 0"):
        SupervisedContrastive(**option)


@pytest.mark.parametrize(
    ("epochs", "at", "factor", "lasting"),
    [
        (50, [0.5, 0.6, 0.7, 0.8, 0.9], 0.5, [25, 5, 5, 5, 5, 5]),  # the paper's first stage
        (10, [0.5], 0.1, [5, 5]),  # its second
        (50, [0.4, 0.8], 0.2, [20, 20, 10]),  # direct fine-tuning
    ],
)
def test_the_learning_rate_falls_in_steps_at_shares_of_the_stage(epochs, at, factor, lasting):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = adam([{"params": [weight]}], lr=1.0)
    schedule = multi_step(optimizer, epochs * 7, at=at, factor=factor)
    rates = []
    for _ in range(epochs * 7):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    wanted = [factor**n for n, count in enumerate(lasting) for _ in range(count * 7)]
    assert rates == pytest.approx(wanted)
    with pytest.raises(RecipeError, match="shares of a stage"):
        multi_step(optimizer, 10, at=[25.0])
