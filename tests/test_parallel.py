"""Trainings in processes of their own are those of this process."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from affekt import experiment, parallel
from affekt.encoders import ENCODERS
from affekt.encoders.cached import CachedFrames
from affekt.errors import RecipeError, RunError
from affekt.parts import options
from affekt.recipe import Recipe
from affekt.search.dev import Bench

SPECTRAL = {"encoder": {"name": "log-mel", "bands": 8}}
FUNCTIONALS = {"encoder": {"name": "opensmile", "features": "eGeMAPSv02"}}
NETWORK = {"pooling": {"name": "mean-std", "dim": 4}, "stage": [{"epochs": 2, "batch_size": 4}]}
CROPPED = {"audio": [{"name": "crop", "seconds": 0.2, "where": "random"}]}
FOREST = {"classifier": {"name": "random-forest", "trees": 5}}

pytestmark = pytest.mark.usefixtures("own_cache")


def recipe(*parts: dict) -> Recipe:
    values = {
        "corpus": {"name": "emodb", "labels": "4-class"},
        "protocol": {"name": "leave-one-speaker-out", "dev": "next-speaker"},
    }
    for part in parts:
        values |= part
    return Recipe.parse(values)


def add(clips, key: str, number: int) -> float:
    if number < 0:
        raise RecipeError(f"{key}: {number} is below zero")
    return float(clips[key].sum()) + number


@pytest.mark.parametrize("make", [np.asarray, torch.tensor])
def test_results_come_in_order_and_clips_arrive_as_they_are(make):
    clips = {"a": make([[1.0, 2.0]]), "b": make([4.0]), "none": make([[], []])}
    work = [("a", 1), ("b", 2), ("a", 3), ("none", 4)]
    assert list(parallel.each(add, work, clips, 2, in_order=True)) == [*enumerate([4, 6, 6, 4])]
    assert sorted(parallel.each(add, work, clips, 2)) == [*enumerate([4, 6, 6, 4])]
    shapes = {key: tuple(clip.shape) for key, clip in parallel._Packed(clips).clips().items()}
    assert shapes == {"a": (1, 2), "b": (1,), "none": (2, 0)}
    assert isinstance(parallel._Packed(clips).clips()["a"], type(clips["a"]))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_mistake_is_told_as_it_is(jobs):
    with pytest.raises(RecipeError, match="a: -1 is below zero"):
        list(parallel.each(add, [("a", -1), ("a", 1)], {"a": np.ones(2)}, jobs))


def own(clips, key: str) -> tuple[int, int]:
    clips[key] += 1
    return os.getpid(), torch.get_num_threads()


def end(_clips, _key: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_each_process_has_one_thread_and_what_it_writes_is_its_own(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    clips = {"large": np.zeros(1_000_000)}
    done = [result for _, result in parallel.each(own, [("large",)], clips, 2)]
    assert [threads for _, threads in done] == [1]
    assert os.getpid() not in [process for process, _ in done]
    assert not clips["large"].any()


def test_a_process_that_is_ended_from_outside_is_told():
    with pytest.raises(RunError, match="ended from outside.*--jobs 1"):
        list(parallel.each(end, [("a",), ("b",)], {"a": np.ones(2)}, 2))


def test_processes_end_with_the_one_that_began_them():
    script = (
        "import os, time, numpy\n"
        "from affekt import parallel\n"
        "def act(clips, key):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
        "list(parallel.each(act, [('a',)], {'a': numpy.ones(2)}, 2))\n"
    )
    begun = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert begun.stdout
    worker = int(begun.stdout.readline())
    begun.kill()
    begun.wait()
    begun.stdout.close()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there")


@pytest.mark.parametrize("parts", [(SPECTRAL, NETWORK), (FUNCTIONALS, FOREST)])
def test_side_by_side_gives_the_bytes_of_one_after_the_other(emodb_of_noise, tmp_path, parts):
    def run(jobs: int) -> dict[Path, bytes]:
        out = tmp_path / str(jobs)
        data = {"emodb": emodb_of_noise}
        experiment.run(recipe(*parts), data=data, out=out, jobs=jobs)
        made = [*out.rglob("*.jsonl"), *out.rglob("*.npy"), *out.rglob("log.csv")]
        return {f.relative_to(out): f.read_bytes() for f in made}

    one, two = run(1), run(2)
    assert len(one) >= 4
    assert one == two


def test_frames_of_a_cache_are_read_side_by_side(emodb_of_noise, checkpoint, tmp_path):
    speech = {"encoder": {"name": "speech", "model": str(checkpoint("wav2vec2"))}}

    def scores(jobs: int) -> list[dict]:
        wanted = recipe(speech, NETWORK)
        corpus, _ = experiment.read(wanted, {"emodb": emodb_of_noise})
        bench = Bench(experiment.divide(wanted, corpus), jobs, lambda *_: None)
        return list(bench.scores(wanted, "trial"))

    assert scores(2) == scores(1)
    frames = CachedFrames(options(ENCODERS, recipe(speech, NETWORK).encoder, "encoder"), [], [])
    frames.encoder()
    assert pickle.loads(pickle.dumps(frames))._encoder is None


@pytest.mark.parametrize(
    ("parts", "cores", "jobs"),
    [
        ((SPECTRAL, NETWORK), 2, 2),
        ((FUNCTIONALS, FOREST), 64, parallel.MOST),
        ((SPECTRAL, NETWORK, CROPPED), 2, 2),
        (({"encoder": {"name": "speech", "trainable": "all"}}, NETWORK), 2, 2),
    ],
)
def test_as_many_as_there_are_cores_unless_a_large_encoder_is_trained(
    monkeypatch, parts, cores, jobs
):
    monkeypatch.setattr("affekt.threads.cores", lambda: cores)
    monkeypatch.setattr("affekt.encoders.speech.processor", lambda: torch.device("cpu"))
    assert parallel.wanted(recipe(*parts)) == jobs
    monkeypatch.setattr(parallel, "SMALL", 10_000_000)  # affekt/small has 10.9 MB
    trained = "encoder" in parts[0] and parts[0]["encoder"].get("trainable")
    assert parallel.wanted(recipe(*parts)) == (1 if trained else jobs)
