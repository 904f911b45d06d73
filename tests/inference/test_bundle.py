"""Model folders: what a run leaves, loaded again, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file, save_file

import affekt
from affekt import Predictor, trained
from affekt.errors import ModelError, RunError
from affekt.evaluation import predictions
from affekt.inference.bundling import bundle_run
from toy import FOREST, recipe

pytestmark = pytest.mark.usefixtures("own_cache")
SHORT = {"folds": ["03"], "audio": [{"name": "crop", "seconds": 0.3}]}


def ran(folder, out, **changes):
    made = recipe(**(SHORT | changes))
    return affekt.run(made, data={"emodb": folder}, out=out)


def speech(checkpoint, trainable="none", family="hubert"):
    chosen = {"name": "speech", "model": str(checkpoint(family)), "precision": "fp32"}
    return {"encoder": chosen | {"trainable": trainable}, "pooling": {"name": "mean-std", "dim": 4}}


def clap(roberta, trainable):
    text = {"model": str(roberta), "trainable": trainable, "precision": "fp32"}
    stage = {"objective": {"name": "clap"}, "epochs": 2, "select": "last"}
    return {"head": {"name": "clap", "text": text, "dim": 8}, "stage": [stage]}


KINDS = {
    "log-mel": lambda _, __: {},
    "several heads": lambda _, __: {"head": {"name": "deep-wccn", "hidden": 6}},
    "frozen": lambda checkpoint, _: speech(checkpoint),
    "fine-tuned": lambda checkpoint, _: speech(checkpoint, "transformer"),
    "all of it trained": lambda checkpoint, _: speech(checkpoint, "all", "wavlm-large"),
    "whisper": lambda checkpoint, _: speech(checkpoint, "all", "whisper"),
    "language": lambda checkpoint, roberta: speech(checkpoint) | clap(roberta, "none"),
    "language trained": lambda checkpoint, roberta: speech(checkpoint) | clap(roberta, "all"),
    "functionals": lambda _, __: {"encoder": {"name": "opensmile"}, "pooling": {"name": "mean"}},
    "forest": lambda _, __: FOREST,
    "svm on frames": lambda checkpoint, _: (
        FOREST
        | {"classifier": {"name": "linear-svm", "wccn": True}}
        | {"encoder": {"name": "speech", "model": str(checkpoint("hubert"))}}
    ),
}


def cooled(p, temperature: float) -> dict[str, float]:
    """Its probabilities with logits divided by a temperature."""
    powers = {
        name: max(chance, 0.5e-6) ** (1 / temperature) for name, chance in p.probabilities.items()
    }
    return {name: power / sum(powers.values()) for name, power in powers.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_leaves_a_model_that_says_the_same_wherever_it_is_moved(
    kind, checkpoint, roberta, emodb_of_noise, tmp_path
):
    changes = KINDS[kind](checkpoint, roberta)
    if kind in ("functionals", "forest"):
        changes = changes | {"audio": []}
    run = ran(emodb_of_noise, tmp_path / "run", **changes)
    judged = predictions.read(run)
    moved = shutil.move(run / "model", tmp_path / "elsewhere")
    shutil.rmtree(run)
    predictor = Predictor.load(moved)
    found = list(predictor.each([emodb_of_noise / f"wav/{p.id}.wav" for p in judged]))
    assert predictor.labels == list(judged[0].probabilities)
    for p, (_, segment) in zip(judged, found, strict=True):
        cached = 0.02 if "speech" in str(changes) else 1e-3  # frames in bf16; six digits, T
        assert segment.scores == pytest.approx(cooled(p, predictor.temperature), abs=cached)


@pytest.fixture
def model(emodb_of_noise, tmp_path):
    return ran(emodb_of_noise, tmp_path / "run") / "model"


def test_it_has_the_layout_of_the_hub_and_a_card_with_scores_and_licences(model):
    config = json.loads((model / "config.json").read_text())
    assert config["id2label"] == {str(n): name for name, n in config["label2id"].items()}
    assert json.loads((model / "preprocessor_config.json").read_text())["sampling_rate"] == 16_000
    _, head, page = (model / "README.md").read_text().split("---\n", 2)
    metadata = yaml.safe_load(head)
    assert metadata["pipeline_tag"] == "audio-classification"
    (result,) = metadata["model-index"][0]["results"]
    protocol = json.loads((model / "protocol.json").read_text())
    assert result["metrics"][0]["value"] == pytest.approx(
        protocol["scores"]["UA"]["value"], abs=1e-4
    )
    assert "CC0" in page
    assert "95 %" in page
    assert str(model.parent.parent) not in "".join(
        path.read_text() for path in model.iterdir() if path.suffix in (".json", ".md", ".toml")
    )


def test_the_hub_reads_the_card(model):
    from huggingface_hub import ModelCard

    card = ModelCard.load(model / "README.md")
    assert card.data.eval_results[0].dataset_name == "emodb"


def change(model, act):
    weights = load_file(model / "model.safetensors")
    act(weights)
    classes = "\n".join(json.loads((model / "config.json").read_text())["id2label"].values())
    save_file(weights, model / "model.safetensors", {"classes": classes})


def rewrite(model, **values):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | values))


def scaled(model, temperature):
    own = json.loads((model / "config.json").read_text())["affekt"]
    rewrite(model, affekt=own | {"temperature": temperature})


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda m: (m / "golden.flac").unlink(), "no golden.flac"),
        (lambda m: (m / "recipe.toml").unlink(), "no recipe.toml"),
        (lambda m: (m / "golden.flac").write_bytes(b"x"), "golden.flac cannot be read"),
        (lambda m: (m / "config.json").write_text("{"), "not JSON"),
        (lambda m: (m / "config.json").write_text("[]"), "no JSON object"),
        (lambda m: scaled(m, 0.0), "a temperature of 0"),
        (lambda m: scaled(m, -1.0), "a temperature of -1"),
        (lambda m: rewrite(m, affekt={}), "no model of affekt"),
        (lambda m: rewrite(m, id2label={"0": "angry"}), "config.json has others"),
        (lambda m: (m / "model.safetensors").write_bytes(b"x" * 99), "damaged"),
        (lambda m: (m / "model.safetensors").unlink(), "damaged"),
        (lambda m: change(m, lambda w: w.popitem()), "missing, left over"),
        (lambda m: change(m, lambda w: w.update(more=next(iter(w.values())).clone())), "left over"),
        (
            lambda m: change(m, lambda w: w.update({"head.0.bias": w["head.0.bias"][:2].clone()})),
            "of another shape",
        ),
        (lambda m: change(m, lambda w: w["head.0.bias"].add_(0.1)), "do not belong together"),
    ],
)
def test_a_model_that_is_not_whole_is_refused_in_one_message(model, harm, says):
    harm(model)
    with pytest.raises(ModelError, match=says):
        Predictor.load(model)


def test_an_encoder_that_is_only_named_must_be_the_same(emodb_of_noise, tmp_path):
    run = ran(emodb_of_noise, tmp_path / "run", encoder={"name": "speech", "model": "affekt/small"})
    assert not (run / "model/encoder").exists()
    config = json.loads((run / "model/config.json").read_text())
    config["affekt"]["encoders"]["encoder"] = "0" * 32
    rewrite(run / "model", **config)
    with pytest.raises(ModelError, match="another version of the encoder affekt/small"):
        Predictor.load(run)


@pytest.mark.parametrize(
    "content",
    [
        {"x": np.zeros((2, 3), np.float32), "y": np.array([{}, []], object), "seed": 0},
        {"x": np.zeros((2, 3)), "y": np.array(["a", "b"]), "seed": 0},
        {"x": np.full((2, 3), np.nan, np.float32), "y": np.array(["a", "b"]), "seed": 0},
        {"x": np.zeros((2, 3), np.float32), "y": np.array(["a"]), "seed": 0},
        {"x": np.zeros((2, 3), np.float32)},
    ],
)
def test_a_classifier_is_never_unpickled(content, emodb_of_noise, tmp_path):
    run = ran(emodb_of_noise, tmp_path / "run", **FOREST, audio=[])
    np.savez(run / "model/classifier.npz", **content)
    with pytest.raises(ModelError, match="no classifier of affekt"):
        Predictor.load(run)
    (run / "model/classifier.npz").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ModelError, match="no classifier of affekt"):
        Predictor.load(run)


def test_any_seed_and_fold_can_be_bundled_and_one_that_is_not_there_is_told(
    emodb_of_noise, tmp_path
):
    run = ran(emodb_of_noise, tmp_path / "run", folds=["03", "08"], seeds=[0, 1])
    (out,) = bundle_run(run, tmp_path / "own", seed=1, fold="08")
    about = Predictor.load(out).about["model"]
    assert (about["seed"], about["fold"]) == (1, "08")
    with pytest.raises(RunError, match="no fold '09'"):
        bundle_run(run, fold="09")
    with pytest.raises(RunError, match="no run there"):
        bundle_run(tmp_path)


def test_a_model_folder_takes_the_place_of_a_run_where_words_are_asked_for(
    checkpoint, roberta, emodb_of_noise, tmp_path
):
    run = ran(emodb_of_noise, tmp_path / "run", **speech(checkpoint), **clap(roberta, "none"))
    assert trained.load(run / "model").classes == trained.load(run).classes
    with pytest.raises(RunError, match="leave them out"):
        trained.load(run / "model", seed=0)


def test_names_that_stand_for_nothing_are_told(tmp_path):
    for name, says in (
        ("nowhere", "no such model folder"),
        (str(tmp_path / "nowhere"), "no such model folder"),
        (str(tmp_path), "config.json is missing"),
        ("affekt/emodbb", "Did you mean"),
    ):
        with pytest.raises(ModelError, match=says):
            Predictor.load(name)


def test_a_run_that_goes_on_with_nothing_to_do_keeps_its_model(emodb_of_noise, tmp_path):
    run = ran(emodb_of_noise, tmp_path / "run")
    before = (run / "model/config.json").stat().st_mtime_ns
    ran(emodb_of_noise, tmp_path / "run")
    assert (run / "model/config.json").stat().st_mtime_ns == before
    shutil.rmtree(run / "model")
    ran(emodb_of_noise, tmp_path / "run")
    assert (run / "model/config.json").is_file()


def test_a_folder_that_holds_something_else_is_never_lost(model, tmp_path):
    run, mine = model.parent, tmp_path / "mine"
    (mine / "sub").mkdir(parents=True)
    (mine / "sub/thesis.txt").write_text("years")
    for place in (mine, mine / "sub/thesis.txt"):
        with pytest.raises(ModelError, match="holds something else"):
            bundle_run(run, place)
    assert (mine / "sub/thesis.txt").read_text() == "years"
    (again,) = bundle_run(run, model)
    assert again == model.resolve()


def test_the_card_of_a_fine_tuned_model_names_what_it_began_with(
    checkpoint, emodb_of_noise, tmp_path
):
    chosen = {"name": "speech", "model": "affekt/small", "trainable": "transformer"}
    changes = {"encoder": chosen, "mix": {"name": "layer"}, "stage": [{"epochs": 1}]}
    run = ran(emodb_of_noise, tmp_path / "run", **changes)
    card = (run / "model/README.md").read_text()
    assert "`affekt/small`, trained on with the model" in card
    assert "CC BY-NC-SA" in card
