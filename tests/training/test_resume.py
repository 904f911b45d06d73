"""A training that was stopped, by whatever, ends as one that was not."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import affekt
from affekt.errors import RunError
from affekt.evaluation import predictions
from affekt.training.stage import StageModule
from staged import DEV, OWN, PAIRS, TUNED, changed, recipe, weights

pytestmark = pytest.mark.usefixtures("own_cache")
CROP = [{"name": "crop", "seconds": 0.2, "where": "random"}]


class KilledError(Exception):
    pass


def killed_after(batches: int, monkeypatch) -> None:
    """The process ends in the middle of an epoch, as far as what is on disk can tell."""
    step, done = StageModule.training_step, []

    def training_step(self, batch, number):
        done.append(number)
        if len(done) > batches:
            raise KilledError
        return step(self, batch, number)

    monkeypatch.setattr(StageModule, "training_step", training_step)


@pytest.mark.parametrize(
    ("stages", "changes", "after"),
    [
        ([PAIRS | {"epochs": 4}, OWN], {}, 12),  # of the first stage, at 6 batches an epoch
        ([PAIRS | {"epochs": 2}, OWN], {}, 13),  # of the second, whose encoder is made already
        ([TUNED | {"epochs": 4}], {"protocol": DEV}, 14),  # chooses on dev
        ([TUNED | {"epochs": 9, "patience": 2}], {"protocol": DEV}, 16),
        # In the stage after one that ended early, which is not gone on with.
        ([TUNED | {"epochs": 9, "patience": 1}, TUNED | {"epochs": 2}], {"protocol": DEV}, 25),
        ([TUNED | {"steps": 20, "evaluate_every": 4}], {"protocol": DEV}, 10),
        ([TUNED | {"epochs": 3, "select": "last"}], {"audio": CROP}, 15),
        ([TUNED | {"epochs": 4, "per": "corpus", "select": "last"}], {}, 20),
    ],
)
def test_what_was_killed_goes_on_to_the_same_weights(
    checkpoint, data, tmp_path, monkeypatch, stages, changes, after
):
    wanted = recipe(checkpoint, *stages, **changes)
    whole = affekt.run(wanted, data=data, out=tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        killed_after(after, patch)
        affekt.run(wanted, data=data, out=tmp_path / "stopped")
    kept = {p.name for p in (tmp_path / "stopped/seed-0/fold-1/checkpoints").rglob("*.*")}
    assert kept & {"last.ckpt", "end.pt"}
    torch.manual_seed(99)  # another process begins with other numbers
    np.random.seed(99)  # noqa: NPY002
    went_on = affekt.run(wanted, data=data, out=tmp_path / "stopped")
    for corpus in {p.corpus for p in predictions.read(whole)} if wanted.stage[-1].per else {""}:
        assert not changed(weights(whole, corpus), weights(went_on, corpus))
    for name in ("log.csv", "seed-0/fold-1/predictions.jsonl"):
        assert (whole / name).read_bytes() == (went_on / name).read_bytes()


def test_a_moved_run_still_knows_its_best_weights(checkpoint, data, tmp_path, monkeypatch):
    wanted = recipe(checkpoint, TUNED | {"epochs": 4}, protocol=DEV)
    whole = affekt.run(wanted, data=data, out=tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        killed_after(26, patch)
        affekt.run(wanted, data=data, out=tmp_path / "stopped")
    (tmp_path / "stopped").rename(tmp_path / "moved")
    moved = affekt.run(wanted, data=data, out=tmp_path / "moved")
    assert not changed(weights(whole), weights(moved))
    assert (whole / "log.csv").read_bytes() == (moved / "log.csv").read_bytes()


def test_what_was_begun_is_not_gone_on_with_by_another_recipe(
    checkpoint, data, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        killed_after(9, patch)
        affekt.run(recipe(checkpoint, PAIRS, OWN), data=data, out=tmp_path / "run")
    other = recipe(checkpoint, PAIRS | {"epochs": 1}, OWN)
    with pytest.raises(RunError, match="holds a run of another recipe, which differs in stage"):
        affekt.run(other, data=data, out=tmp_path / "run")
    (tmp_path / "run/folds.json").write_text("[]")
    with pytest.raises(RunError, match="the corpus, its folds"):
        affekt.run(recipe(checkpoint, PAIRS, OWN), data=data, out=tmp_path / "run")


def test_a_process_that_was_killed_goes_on_to_the_same_weights(checkpoint, data, tmp_path):
    wanted = recipe(checkpoint, PAIRS | {"epochs": 40}, OWN)
    (tmp_path / "wanted.toml").write_text(wanted.toml())
    whole = affekt.run(wanted, data=data, out=tmp_path / "whole")
    folders = [f"--data={name}={folder}" for name, folder in data.items()]
    command = [sys.executable, "-m", "affekt", "run", str(tmp_path / "wanted.toml"), *folders]
    process = subprocess.Popen(
        [*command, f"--out={tmp_path / 'stopped'}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    begun = tmp_path / "stopped/seed-0/fold-1/checkpoints/stage-0/last.ckpt"
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    went_on = affekt.run(wanted, data=data, out=tmp_path / "stopped")
    for corpus in data:
        assert not changed(weights(whole, corpus), weights(went_on, corpus))
    assert (whole / "log.csv").read_bytes() == (went_on / "log.csv").read_bytes()


def test_what_the_disk_holds_only_some_of_is_not_gone_on_with(
    checkpoint, data, tmp_path, monkeypatch
):
    wanted = recipe(checkpoint, PAIRS, OWN)
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        killed_after(9, patch)
        affekt.run(wanted, data=data, out=tmp_path / "run")
    (last,) = (tmp_path / "run").rglob("last.ckpt")
    last.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(RunError, match=r"last.ckpt is damaged; remove .*, and this stage begins"):
        affekt.run(wanted, data=data, out=tmp_path / "run")
    last.unlink()
    last.parent.rmdir()
    affekt.run(wanted, data=data, out=tmp_path / "run")


def test_a_text_encoder_that_is_trained_alone_is_kept_too(
    checkpoint, roberta, data, tmp_path, monkeypatch
):
    encoder = {"name": "speech", "model": str(checkpoint("hubert")), "precision": "fp32"}
    text = {"model": str(roberta), "precision": "fp32"}
    stage = {"objective": {"name": "clap"}, "epochs": 3, "select": "last", "batch_size": 8}
    wanted = recipe(checkpoint, stage, encoder=encoder, head={"name": "clap", "text": text})
    whole = affekt.run(wanted, data=data, out=tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        killed_after(9, patch)
        affekt.run(wanted, data=data, out=tmp_path / "stopped")
    assert list((tmp_path / "stopped").rglob("last.ckpt"))
    went_on = affekt.run(wanted, data=data, out=tmp_path / "stopped")
    assert not changed(weights(whole), weights(went_on))
