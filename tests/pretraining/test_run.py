import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
import transformers as hf

from affekt.encoders.speech import Speech
from affekt.errors import AffektError, MissingExtraError, RecipeError, RunError
from affekt.pretraining import folder, saved, train
from affekt.pretraining.log import read
from affekt.pretraining.module import PretrainingModule, normalised, parts
from affekt.pretraining.recipe import Pretraining, config
from affekt.pretraining.run import Result, check, pretrain
from affekt.pretraining.speech import Utterances
from affekt.recipe.places import bundled, locate

Rows = list[dict[str, float]]


def rows(run: Path) -> Rows:
    """The log without what the clock says."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read(run / "log.csv")]


@pytest.fixture(scope="module")
def whole(tiny, speech, tmp_path_factory) -> tuple[Path, Result]:
    """A run from beginning to end; not to be changed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, pretrain(tiny(), [speech], out=out)


def test_the_same_seed_gives_the_same_losses_and_another_one_others(tiny, speech, tmp_path, whole):
    pretrain(tiny(), [speech], out=tmp_path / "again")
    assert rows(tmp_path / "again") == rows(whole[0])
    other = tiny(training={"seed": 1, "steps": 2, "warmup": 3})
    pretrain(other, [speech], out=tmp_path / "other")
    assert [r["loss"] for r in rows(tmp_path / "other")] != [r["loss"] for r in rows(whole[0])[:2]]


def test_the_log_and_the_result_tell_what_was_heard(whole):
    out, result = whole
    log = read(out / "log.csv")
    assert [row["step"] for row in log] == [1, 2, 3, 4, 5, 6]
    assert list(log[0]) == [
        *("step", "loss", "loss 0-mfcc", "accuracy 0-mfcc", "lr", "hours", "seconds")
    ]
    assert 0 < result.hours <= 6 * 4.0 / 3600
    assert result.hours == log[-1]["hours"]
    assert (result.steps, result.left_out) == (6, [])
    assert result.parameters == sum(p.numel() for p in parts_of(out)[0].parameters())
    svg = (out / "loss.svg").read_text()
    assert svg.startswith("<svg xmlns")


def parts_of(out: Path):
    return parts(Pretraining.load(out / "recipe.toml"))


def test_a_killed_run_goes_on_to_the_log_of_an_uninterrupted_one(values, speech, tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom affekt.pretraining.recipe import Pretraining\n"
        "from affekt.pretraining.run import pretrain\n"
        "recipe = Pretraining.load(sys.argv[1])\n"
        "pretrain(recipe, [Path(sys.argv[2])], out=Path(sys.argv[3]))\n"
    )
    long = values(training={"steps": 120, "save_every": 40})
    (tmp_path / "r.toml").write_text(tomli_w.dumps(long))
    recipe = Pretraining.load(tmp_path / "r.toml")
    words = [str(tmp_path / "r.toml"), str(speech), str(tmp_path / "killed")]
    with subprocess.Popen([sys.executable, "-c", script, *words]) as process:
        until = time.monotonic() + 100
        while not (tmp_path / "killed/last.ckpt").exists() and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    left = saved.read_checkpoint(tmp_path / "killed")
    assert left is not None
    assert left["step"] < 120
    pretrain(recipe, [speech], out=tmp_path / "killed")
    pretrain(recipe, [speech], out=tmp_path / "whole")
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    models = [(tmp_path / n / "model/model.safetensors").read_bytes() for n in ("killed", "whole")]
    assert models[0] == models[1]


def test_a_model_that_could_not_be_written_is_written_when_the_run_goes_on(
    tiny, speech, tmp_path, monkeypatch, whole
):
    real = saved.write_model

    def full(out, *words, **named):
        if named["facts"]["step"] == 6:
            raise OSError("no space left")
        real(out, *words, **named)

    monkeypatch.setattr(saved, "write_model", full)
    with pytest.raises(OSError, match="no space left"):
        pretrain(tiny(), [speech], out=tmp_path / "run")
    monkeypatch.undo()
    pretrain(tiny(), [speech], out=tmp_path / "run")
    made = [(out / "model/model.safetensors").read_bytes() for out in (tmp_path / "run", whole[0])]
    assert made[0] == made[1]


def test_one_folder_is_for_one_process(tiny, speech, tmp_path):
    with (
        folder.held(tmp_path / "run", tiny()),
        pytest.raises(RunError, match="another process is training here"),
    ):
        pretrain(tiny(), [speech], out=tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_step_that_was_done(tiny, speech, tmp_path, whole, number):
    def interrupt(now: str, done: int, of: int, words: str = "") -> None:
        if now == "training" and done == 3:
            os.kill(os.getpid(), number)

    recipe = tiny(training={"save_every": 3})
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        pretrain(recipe, [speech], out=tmp_path / "run", progress=interrupt)
    assert signal.getsignal(number) is before
    left = saved.read_checkpoint(tmp_path / "run")
    assert left is not None
    assert left["step"] in (3, 4)
    pretrain(tiny(training={"save_every": 1}), [speech], out=tmp_path / "run")  # that may change
    assert rows(tmp_path / "run") == rows(whole[0])


def test_a_run_that_is_done_is_left_alone(whole, tiny, speech):
    out, result = whole
    before = (out / "last.ckpt").stat().st_mtime_ns
    again = pretrain(tiny(), [speech], out=out)
    assert again == result
    assert (out / "last.ckpt").stat().st_mtime_ns == before


def test_another_recipe_is_refused_and_nothing_strange_is_removed(tiny, speech, tmp_path):
    out = tmp_path / "run"
    pretrain(tiny(training={"steps": 1}), [speech], out=out)
    with pytest.raises(RunError, match=r"another recipe \(training\).*--overwrite"):
        pretrain(tiny(training={"steps": 2}), [speech], out=out)
    folder.clear(out)
    assert list(out.iterdir()) == []
    (out / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="holds mine.txt, which no pre-training wrote"):
        folder.clear(out)


def test_a_checkpoint_that_is_cut_is_told(tmp_path):
    saved.write_checkpoint(tmp_path, {"step": 1, "x": torch.zeros(1000)})
    file = tmp_path / "last.ckpt"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(RunError, match="cannot be read"):
        saved.read_checkpoint(tmp_path)


def test_the_model_loads_in_transformers_and_in_affekt_with_the_same_frames(whole, speech):
    out, _ = whole
    state = saved.read_checkpoint(out)
    assert state is not None
    model, _ = parts_of(out)
    model.load_state_dict(state["model"])
    model.eval()
    loaded = hf.AutoModel.from_pretrained(out / "model", dtype="float32").eval()
    for name, weight in loaded.state_dict().items():
        assert (weight == state["model"][name].bfloat16().float()).all()
    wave = torch.randn(2, 16_000)
    wave = normalised(wave)
    theirs = loaded(wave).last_hidden_state
    ours = Speech(model=str(out / "model"), precision="fp32")
    lengths = torch.full((2,), 16_000)
    torch.testing.assert_close(ours(wave, lengths).layers[:, -1], theirs, atol=1e-4, rtol=1e-4)
    exact = model(wave).last_hidden_state
    assert (exact - theirs).abs().max() < 0.1 * exact.abs().max()
    assert loaded.config.heard == ["speech"]
    extractor = hf.AutoFeatureExtractor.from_pretrained(out / "model")
    assert extractor.do_normalize
    assert "speech: 0.01 h" in (out / "model/README.md").read_text()


def test_weights_are_kept_in_float32_if_asked_for(tiny, speech, tmp_path):
    recipe = tiny(training={"steps": 1, "save_as": "fp32"})
    pretrain(recipe, [speech], out=tmp_path / "run")
    state = saved.read_checkpoint(tmp_path / "run")
    assert state is not None
    loaded = hf.HubertModel.from_pretrained(tmp_path / "run/model")
    assert loaded.dtype == torch.float32
    for name, weight in loaded.state_dict().items():
        assert (weight == state["model"][name]).all()


def test_two_processes_take_the_gradient_of_the_mean_over_their_shares(tiny, speech, tmp_path):
    still = {n: 0.0 for n in ("hidden_dropout", "activation_dropout", "attention_dropout")}
    recipe = tiny(
        model=still | {"layerdrop": 0.0},
        training={"steps": 1, "devices": 2, "clip": 0.0, "precision": "fp32"},
    )
    out = tmp_path / "run"
    pretrain(recipe, [speech], out=out)
    state = saved.read_checkpoint(out)
    assert state is not None
    import json

    run = train.Run(recipe, Utterances(json.loads((out / "speech.json").read_text())), out)
    model, objective = parts(recipe)
    model.train()
    losses = []
    for rank in (0, 1):
        given = run.batches(first=0, rank=rank).batch(0)
        losses.append(objective(model, normalised(given.wave), given, rank).total)
    (sum(losses) / 2).backward()
    trained = [p for p in (*model.parameters(), *objective.parameters()) if p.requires_grad]
    moments = [state["optimizer"]["state"][n]["exp_avg"] for n in range(len(trained))]
    for p, moment in zip(trained, moments, strict=True):
        assert p.grad is not None
        torch.testing.assert_close(moment, 0.1 * p.grad, atol=1e-6, rtol=1e-3)
    np.testing.assert_allclose(
        rows(out)[0]["loss"], float(sum(loss.detach() for loss in losses)) / 2, rtol=1e-5
    )


def test_a_loss_that_is_not_finite_does_not_poison_the_model(tiny, speech, tmp_path, monkeypatch):
    real = PretrainingModule.training_step

    def poisoned(self, batch, n):
        made = real(self, batch, n)
        return made | {"loss": made["loss"] * float("nan")} if batch.step == 2 else made

    monkeypatch.setattr(PretrainingModule, "training_step", poisoned)
    result = pretrain(tiny(), [speech], out=tmp_path / "run")
    log = rows(tmp_path / "run")
    assert [np.isnan(row["loss"]) for row in log] == [n == 2 for n in range(6)]
    assert np.isfinite(result.loss)


def test_distillation_runs(tiny, speech, tmp_path, checkpoint):
    chosen = {"name": "distillation", "teacher": str(checkpoint("wavlm")), "layers": [1, 3]}
    recipe = tiny(target=[], objective=chosen, training={"steps": 3})
    result = pretrain(recipe, [speech], out=tmp_path / "run")
    assert result.steps == 3
    assert "cosine 3" in rows(tmp_path / "run")[0]
    assert Speech(model=str(result.model)).layers == 3


def test_a_run_does_not_go_on_with_another_teacher(tiny, speech, tmp_path, checkpoints):
    own = checkpoints.save(tmp_path / "own", "hubert")
    chosen = {"name": "distillation", "teacher": str(own), "layers": [1]}
    recipe = tiny(target=[], objective=chosen, training={"steps": 1})
    pretrain(recipe, [speech], out=tmp_path / "run")
    checkpoints.save(own, "hubert", seed=1)
    with pytest.raises(RunError, match="own, which its labels come from, is not the same"):
        pretrain(recipe, [speech], out=tmp_path / "run")


@pytest.mark.parametrize("name", bundled(pretraining=True))
def test_a_bundled_recipe_takes_two_steps_in_tiny_sizes(name, values, speech, tmp_path, checkpoint):
    own = checkpoint("hubert-large")
    model, training = values()["model"], values()["training"] | {"steps": 2}
    small = [f"model.{k}={v}" for k, v in model.items() if not k.startswith("conv_")]
    loaded = Pretraining.load(name)
    convolutions = [8] * len(loaded.model["conv_kernel"])
    small += [f"model.conv_dim={convolutions}", *(f"training.{k}={v}" for k, v in training.items())]
    small += [f"target.{n}.clusters=8" for n in range(len(loaded.target))]
    if loaded.objective.name == "distillation":
        small += [f"objective.teacher={own}", "objective.layers=[1, 3]"]
    small += [
        change
        for n, target in enumerate(loaded.target)
        if target.features.name == "speech"
        for change in (f"target.{n}.features.model={own}", f"target.{n}.features.layer=2")
    ]
    assert pretrain(Pretraining.load(name, small), [speech], out=tmp_path / "run").steps == 2
    assert f"affekt pretrain {name} --speech" in locate(name).read_text(encoding="utf-8")


def test_mistakes_in_a_recipe_are_told_in_one_message(values, monkeypatch, tmp_path):
    def refused(match: str, error: type[AffektError] = RecipeError, **changes: object) -> None:
        with pytest.raises(error, match=match):
            check(Pretraining.parse(values(**changes)))

    refused("'hiden_size' is no field .* Did you mean 'hidden_size'", model={"hiden_size": 1})
    refused(r"\[model\]: .*hidden_size", model={"hidden_size": "a"})
    refused(r"\[model\]: ", model={"num_attention_heads": 3})
    refused(r"\[model\]: .*convolutional layers", model={"conv_dim": [8]})
    refused(r"\[model\]: transformers knows no 'gelus'", model={"hidden_act": "gelus"})
    refused(r"\[model\]: conv_stride must be 1 or more", model={"conv_stride": [10, 4, 4, 0]})
    refused(r"\[model\]: hidden_size must be 1 or more", model={"hidden_size": 0})
    refused("'apply_spec_augment' is no field", model={"apply_spec_augment": False})
    refused("features 'mfc' is not known", target=[{"features": {"name": "mfc"}}])
    refused(
        "features 'mfcc': key 'x' is not known", target=[{"features": {"name": "mfcc", "x": 1}}]
    )
    refused("write .*two brackets", target={"features": {"name": "mfcc"}})
    refused(r"\[target.0\]: key 'k'.*choose from", target=[{"k": 1}])
    refused("'training.steps'.*greater than or equal to 1", training={"steps": 0})
    refused(r"\[training\]: key 'step' .* Did you mean 'steps'", training={"step": 0})
    refused("'training.pieces.0'.*greater than or equal to 0.2", training={"pieces": [0.1]})
    refused("'training.pieces.0'.*less than or equal to 30", training={"pieces": [40.0]})
    refused("'training.betas.1'.*less than 1", training={"betas": [0.9, 1.5]})
    refused("'training.seed'.*less than", training={"seed": 2**33})
    refused(
        "span = 1 s leaves nothing of the shortest of training.pieces, 1 s",
        objective={"name": "masked-prediction", "span": 1.0},
    )
    refused("does not hold one of the longest 'pieces'", training={"batch_seconds": 1.0})
    refused('"gabor" needs conv_bias = true', filters="gabor")
    monkeypatch.setitem(sys.modules, "opensmile", None)
    lld = [{"features": {"name": "egemaps-lld"}}]
    refused("opensmile is not installed; run: pip", MissingExtraError, target=lld)


def test_a_layer_that_is_not_there_is_told(values, checkpoint):
    model = str(checkpoint("hubert"))
    target = [{"features": {"name": "speech", "model": model, "layer": 9}}]
    with pytest.raises(RecipeError, match="no layer 9; it has the layers 0 to 3"):
        check(Pretraining.parse(values(target=target)))


def test_a_recipe_survives_the_way_through_its_file(tiny, tmp_path):
    (tmp_path / "r.toml").write_text(tiny().toml())
    assert Pretraining.load(tmp_path / "r.toml") == tiny()
    assert config(tiny().model).hidden_size == 16


def test_the_command_says_how_to_use_the_model(values, speech, tmp_path, monkeypatch, capsys):
    from affekt import cli

    (tmp_path / "r.toml").write_text(tomli_w.dumps(values(training={"steps": 1})))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/broken.wav").write_bytes(b"nothing")
    words = ["affekt", "pretrain", "r.toml", "--speech", str(speech), "--speech", "more"]
    for code, more in ((3, []), (3, []), (1, ["-s", "training.steps=2"])):
        monkeypatch.setattr(sys, "argv", [*words, *more])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert ended.value.code == code
        if code == 3:
            assert 'encoder = { name = "speech", model = "runs/r/model" }' in out
            assert "broken.wav" in err
    assert "another recipe" in err


def test_a_training_that_ends_without_a_number_is_an_error(tiny, speech, tmp_path):
    recipe = tiny(training={"steps": 4, "lr": 1e9, "warmup": 0, "clip": 0.0})
    with pytest.raises(RunError, match=r"the loss ended as (nan|inf).*is of no use; lower"):
        pretrain(recipe, [speech], out=tmp_path / "run")
