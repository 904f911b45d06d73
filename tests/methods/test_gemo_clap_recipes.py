"""The recipes of arXiv:2306.07848, on corpora of noise and tiny encoders of sound and text."""

import json
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import affekt
from affekt import Recipe
from affekt.encoders.text import Text, TextOptions
from affekt.errors import CorpusError, ProtocolError, RecipeError
from affekt.evaluation import predictions
from affekt.experiment import divide, read
from affekt.losses.gemo_clap import GEmoClap
from affekt.nn.language import language_head
from affekt.nn.mixing import OneLayer
from affekt.nn.pooling import mean_pooling
from affekt.nn.recogniser import Output, Recogniser
from affekt.recipe.tables import table
from affekt.training.check import check_folds
from affekt.training.optim import adam, constant
from affekt.training.stage import StageModule

TINY = {  # of the published encoder
    "facebook/hubert-large-ll60k": "hubert-large",
    "facebook/wav2vec2-large-lv60": "xlsr",
    "microsoft/wavlm-large": "wavlm-large",
    "facebook/data2vec-audio-large": "data2vec-audio",
}
CELLS = {
    f"{name}/{row}": recipe
    for name in ("table-1", "table-2")
    for row, recipe in table(f"gemo-clap/{name}").rows.items()
}


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def iemocap(trees, tmp_path_factory):
    return trees.iemocap(tmp_path_factory.mktemp("corpora") / "iemocap", sessions=(1, 2))


@pytest.fixture
def tiny(checkpoint, roberta):
    """A published recipe with tiny encoders, two steps and one fold."""

    def change(recipe: Recipe, **changes) -> Recipe:
        values = recipe.model_dump(exclude_none=True)
        values["encoder"]["model"] = str(checkpoint(TINY[recipe.encoder.options["model"]]))
        values["head"] |= {"text": {"model": str(roberta)}, "dim": 8} | changes.pop("head", {})
        stage = {k: v for k, v in values["stage"][0].items() if k != "epochs"}
        values["stage"] = [stage | {"steps": 2, "evaluate_every": 1} | changes.pop("stage", {})]
        return Recipe.parse(values | {"folds": ["1"]} | changes)

    return change


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_trains_both_encoders_and_reports(tiny, iemocap, roberta, tmp_path, cell):
    recipe = tiny(CELLS[cell])
    run = affekt.run(recipe, data={"iemocap": iemocap}, out=tmp_path / "run")
    report = json.loads((run / "report.json").read_text())
    assert [b["said"] for b in report["beside"]] == ["lower of UA, WA", "higher of UA, WA"]
    assert math.isfinite(report["scores"]["UA"]["value"])
    weights = load_file(run / "seed-0/fold-1/model/model.safetensors")
    before = Text(TextOptions(model=str(roberta))).state_dict()
    changed = [n for n, w in before.items() if not w.equal(weights[f"head.prompts.text.{n}"])]
    assert any("layer.0" in name for name in changed)
    assert any(name.startswith("encoder.") for name in weights)
    assert {p.gender_label for p in predictions.read(run)} == {None}  # no head for genders


def test_the_published_scores_are_pairs_without_an_order():
    cells = [tuple(recipe.expected["UA, WA"]) for recipe in CELLS.values()]
    assert len(cells) == 14
    assert {tuple(sorted(pair)) for pair in cells[12:]} <= {tuple(sorted(p)) for p in cells[:12]}


def test_the_second_table_has_the_scores_of_the_first_the_other_way_round():
    """Section 4.3.3 against section 4.3.1."""
    first = {recipe.title: recipe.expected["UA, WA"] for recipe in CELLS.values()}
    assert first["SL-GEmo-CLAP"] == [0.7996, 0.7771]
    assert first["Table 1: base=sl,model=facebook-data2vec-audio-large"] == [0.7771, 0.7996]


@pytest.mark.parametrize(
    ("cell", "changes", "error", "told"),
    [
        ("emo", {"head": {"text": {"template": "It is"}}}, RecipeError, "needs {emotion} once"),
        ("emo", {"head": {"text": {"language": "xx"}}}, RecipeError, "language of prompts 'xx'"),
        ("emo", {"head": {"text": {"models": "x"}}}, RecipeError, "text.models"),
        ("emo", {"head": {"projection": "mpl"}}, RecipeError, "'projection'.*but got 'mpl'"),
        (
            "emo",
            {"head": {"temperature": 0.0}},
            RecipeError,
            "'temperature'.*greater than or equal",
        ),
        ("emo", {"head": {"genders": "shared"}}, RecipeError, 'goes with gender = "multi-task"'),
        ("emo", {"head": {"text": {"model": ""}}}, RecipeError, "key 'text.model': string should"),
        ("emo", {"stage": {"batch_size": 1}}, RecipeError, "give batch_size of at least 2, not 1"),
        (
            "emo",
            {"head": {"text": {"words": {"furious": "angry"}}}},
            RecipeError,
            "words: no class 'furious'; the classes are angry, happy, neutral, sad",
        ),
        (
            "emo",
            {"head": {"text": {"template": "a" * 70 + "{emotion}"}}},
            RecipeError,
            "cannot tell 'angry' .* from 'happy' .*: it reads the same tokens",
        ),
        ("ml", {"head": {"genders": "none"}}, RecipeError, 'goes with gender = "multi-task"'),
        ("ml", {"head": {"name": "linear"}}, RecipeError, "key '.*' is not known"),
        (
            "emo",
            {"stage": {"objective": {"name": "clap", "alpha": 0.5}}},
            RecipeError,
            "stage.0: objective 'clap': alpha = 0.5 weighs emotion against gender",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_any_training(
    tiny, iemocap, roberta, tmp_path, cell, changes, error, told
):
    if "text" in changes.get("head", {}):
        changes = {"head": {"text": {"model": str(roberta)} | changes["head"]["text"]}}
    with pytest.raises(error, match=told):
        recipe = tiny(CELLS[f"table-1/base={cell},model=microsoft-wavlm-large"], **changes)
        affekt.run(recipe, data={"iemocap": iemocap}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sentences_need_a_head_for_them(tiny, iemocap, tmp_path):
    plain = tiny(CELLS["table-1/base=emo,model=microsoft-wavlm-large"])
    plain = plain.model_copy(update={"head": plain.head.model_validate({"name": "linear"})})
    with pytest.raises(RecipeError, match="compares clips with sentences, which head 'linear' has"):
        affekt.run(plain, data={"iemocap": iemocap}, out=tmp_path / "run")


@pytest.mark.parametrize("cell", ["sl", "ml"])
def test_a_corpus_without_genders_serves_emo_clap_alone(tiny, tmp_path, trees, cell):
    folder = trees.iemocap(tmp_path / "iemocap", sessions=(1, 2))
    corpus = affekt.read("iemocap", folder)
    rows = ["file,emotion,session,speaker"]
    named = {u.audio: u for u in corpus if u.emotion in ("angry", "sad", "neutral", "happy")}
    rows += [f"{audio},{u.emotion},{u.session},{u.speaker}" for audio, u in named.items()]
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    recipe = tiny(
        CELLS[f"table-1/base={cell},model=microsoft-wavlm-large"], corpus=[{"name": "manifest"}]
    )
    with pytest.raises(CorpusError, match="utterances have no gender, such as"):
        affekt.run(recipe, data={"manifest": tmp_path / "mine.csv"}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("cell", ["sl", "ml"])
def test_clips_of_one_gender_serve_emo_clap_alone(tiny, iemocap, cell):
    recipe = tiny(CELLS[f"table-1/base={cell},model=microsoft-wavlm-large"])
    (fold,) = divide(recipe, read(recipe, {"iemocap": iemocap})[0])
    check_folds(recipe, [fold])
    women = replace(fold, train=tuple(u for u in fold.train if u.gender == "female"))
    with pytest.raises(ProtocolError, match="train has female speakers alone, but .*needs both"):
        check_folds(recipe, [women])
    emo = tiny(CELLS["table-1/base=emo,model=microsoft-wavlm-large"])
    check_folds(emo, [women])


def test_a_class_may_be_said_in_words_of_ones_own(tiny, iemocap, roberta, tmp_path):
    text = {"model": str(roberta), "language": "de", "words": {"sad": "traurig"}}
    recipe = tiny(
        CELLS["table-1/base=ml,model=microsoft-wavlm-large"],
        head={"text": text, "genders": "separate"},
    )
    run = affekt.run(recipe, data={"iemocap": iemocap}, out=tmp_path / "run")
    assert {p.gender_label for p in predictions.read(run)} <= {"female", "male"}
    assert json.loads((run / "report.json").read_text())["genders"]["heard"]["n"] > 0


@pytest.mark.parametrize("genders", ["shared", "separate"])
def test_the_loss_is_the_same_in_training_and_where_it_is_judged(roberta, genders):
    text = TextOptions(model=str(roberta), trainable="none")
    head = language_head(6, ["angry", "sad", "happy"], text=text, dim=4, genders=genders)
    pooled, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])
    objective = GEmoClap(gender="multi-task")
    found = []
    for mode in (True, False):
        emotion, gender = head.train(mode)(pooled)
        output = Output(pooled, emotion.vectors, emotion.logits, None, emotion, gender)
        found.append(objective(output, labels, labels % 2).total)
    assert torch.equal(*found)


@pytest.mark.parametrize(("trainable", "steps"), [("all", 2), ("none", 0)])
def test_a_sentence_is_encoded_once_in_a_step_or_once_at_all(
    roberta, monkeypatch, trainable, steps
):
    text = TextOptions(model=str(roberta), trainable=trainable)
    calls = []
    forward = Text.forward

    def counted(self, sentences):
        calls.append(list(sentences))
        return forward(self, sentences)

    monkeypatch.setattr(Text, "forward", counted)
    head = language_head(6, ["angry", "sad"], text=text, dim=4)
    made = len(calls)
    for _ in range(2):
        head(torch.randn(9, 6))
    assert made == (trainable == "none")
    assert len(calls) - made == steps
    assert all(c == ["The emotion is angry", "The emotion is sad"] for c in calls)


def test_a_text_encoder_has_a_learning_rate_of_its_own(roberta):
    head = language_head(6, ["a", "b"], text=TextOptions(model=str(roberta), lr_factor=0.1), dim=4)
    model = Recogniser(OneLayer(1), mean_pooling(6), head)
    module = StageModule(model, GEmoClap(), optimizer=partial(adam, lr=1.0), schedule=constant)
    module._trainer = SimpleNamespace(estimated_stepping_batches=1)  # all that is asked of one
    groups = module.configure_optimizers()["optimizer"].param_groups
    assert [group["initial_lr"] for group in groups] == [1.0, 0.1]
    assert len(groups[1]["params"]) == len([*head.prompts.text.parameters()])


def test_a_pair_of_expected_scores_is_two():
    with pytest.raises(RecipeError, match="'UA, WA' is two means over folds"):
        Recipe.load("gemo-clap/emodb/emo", ['expected={"UA, WA"=[0.7]}'])
