import numpy as np
import pytest
import torch

from affekt.audio import RATE
from affekt.encoders.speech import Speech
from affekt.errors import CorpusError, RecipeError
from affekt.parts import find
from affekt.pretraining import targets
from affekt.pretraining.codebook import aligned, running, scaled, statistics
from affekt.pretraining.features import FEATURES
from affekt.pretraining.front import Front
from affekt.pretraining.recipe import Target
from affekt.pretraining.speech import Utterances, look
from affekt.pretraining.targets import Targets

FRONT = Front((20, 8, 4, 4), (10, 4, 4, 2))
X = np.random.default_rng(0).normal(size=(57, 3)).astype(np.float32)


def silent(*_: object) -> None:
    pass


def made(speech, folder, **chosen) -> Targets:
    utterances = Utterances(look([speech], shortest=1.0, progress=silent))
    target = Target.model_validate({"clusters": 8, "sample": 3000} | chosen)
    found = Targets({"t": target}, utterances, FRONT, folder, 0)
    found.make(silent)
    return found


@pytest.mark.parametrize("frames", [10, 14, 20])
def test_a_label_is_that_of_the_mean_over_its_stride(frames):
    looped = []
    for t in range(frames):
        inside = [X[min(j, len(X) - 1)] for j in range(4 * t, 4 * (t + 1))]
        looped.append(np.mean(inside, axis=0))
    np.testing.assert_allclose(aligned(X, 160, 640, frames), looped, atol=1e-6)


def test_slower_features_are_those_in_the_middle_of_the_stride():
    looped = [X[int((320 * t + 160) // 640)] for t in range(100)]
    assert (aligned(X, 640, 320, 100) == looped).all()


@pytest.mark.parametrize("width", [1, 2, 5, 50, 200])
def test_running_statistics_are_those_of_a_plain_loop(width):
    looped = []
    for j in range(len(X)):
        around = X[max(0, j - width // 2) : j + (width - 1) // 2 + 1]
        looped.append([*around.mean(axis=0), *around.std(axis=0)])
    np.testing.assert_allclose(running(X, width), looped, atol=1e-5)


def test_scaling_leaves_out_what_is_not_finite():
    x = X.copy()
    x[3, 1], x[9, 2] = np.nan, np.inf
    mean, deviation = statistics([x[:20], x[20:]])
    np.testing.assert_allclose(mean[1], np.nanmean(x[:, 1]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(deviation[1], np.nanstd(x[:, 1]), rtol=1e-4)
    z = scaled(x, mean, deviation)
    assert z[3, 1] == z[9, 2] == 0.0
    np.testing.assert_allclose(z[:, 0], (x[:, 0] - x[:, 0].mean()) / x[:, 0].std(), atol=1e-5)


@pytest.mark.parametrize(
    ("chosen", "channels"),
    [
        ({"features": {"name": "mfcc"}}, 39),
        ({"features": {"name": "log-mel"}, "window": 0.3}, 80),
        ({"features": {"name": "egemaps-lld"}, "window": 0.5}, 50),
        ({"features": {"name": "mfcc"}, "channels": [0, 5, 38], "window": 0.1}, 6),
    ],
)
def test_a_label_is_the_nearest_centre_by_brute_force(speech, tmp_path, chosen, channels):
    from safetensors.numpy import load_file

    found = made(speech, tmp_path, **chosen)
    kept = load_file(tmp_path / "t/centres.safetensors")
    assert kept["centres"].shape == (8, channels)
    extract = find(FEATURES, chosen["features"]["name"], "features")()
    labels = found.labels("t")
    for n in (0, 7, 19):
        x = scaled(extract(found.utterances.read(n)), kept["mean"], kept["deviation"])
        x = x[:, chosen.get("channels", range(x.shape[1]))]
        if "window" in chosen:
            x = running(x, round(chosen["window"] * 100))
        frames = FRONT.frames(int(found.utterances.lengths[n]))
        x = aligned(x, 160, 320, frames)
        x = (x / kept["spread"]).astype(float)
        distances = np.square(x[:, None] - kept["centres"]).sum(axis=2)
        assert (labels.read(n, 0, frames) == distances.argmin(axis=1)).all()
        assert (labels.read(n, 5, 9) == labels.read(n, 0, frames)[5:14]).all()


def test_all_clusters_are_used(speech, tmp_path):
    found = made(speech, tmp_path, features={"name": "mfcc"})
    frames = [FRONT.frames(n) for n in found.utterances.lengths.tolist()]
    seen = np.concatenate([found.labels("t").read(n, 0, t) for n, t in enumerate(frames)])
    assert set(seen.tolist()) == set(range(8))


def test_frames_of_an_encoder_are_taken_at_their_layer(speech, tmp_path, checkpoint):
    model = str(checkpoint("hubert"))
    extract = FEATURES["speech"](model=model, layer=2, precision="fp32")
    wave = np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    frames = Speech(model=model, precision="fp32")(
        torch.from_numpy(wave)[None], torch.tensor([RATE])
    )
    np.testing.assert_allclose(extract(wave), frames.layers[0, 2], atol=1e-5)
    assert extract.hop == 320


def test_the_hop_of_an_encoder_is_that_of_its_convolutions(checkpoint):
    for family, hop in (("wavlm", 320), ("data2vec-audio", 320), ("whisper", 320)):
        extract = FEATURES["speech"](model=str(checkpoint(family)), layer=1)
        assert extract.hop == hop


def test_labels_of_an_encoder_are_made(speech, tmp_path, checkpoint):
    model = str(checkpoint("hubert"))
    assert made(speech, tmp_path, features={"name": "speech", "model": model, "layer": 2})


def test_labels_that_are_missing_are_made_again_and_the_others_are_not(
    speech, tmp_path, monkeypatch
):
    monkeypatch.setattr(targets, "SHARD", 8)
    first = made(speech, tmp_path, features={"name": "mfcc"})
    files = sorted(tmp_path.glob("t/labels-*.npy"))
    assert len(files) == 3
    before = [file.read_bytes() for file in files]
    files[1].unlink()
    times = [file.stat().st_mtime_ns for file in (files[0], files[2])]
    first.make(silent)
    assert [file.read_bytes() for file in files] == before
    assert [file.stat().st_mtime_ns for file in (files[0], files[2])] == times
    labels = first.labels("t")
    frames = FRONT.frames(int(first.utterances.lengths[9]))
    second = np.load(files[1])
    skipped = FRONT.frames(int(first.utterances.lengths[8]))
    assert (labels.read(9, 0, frames) == second[skipped : skipped + frames]).all()


def test_the_same_seed_finds_the_same_labels(speech, tmp_path):
    for name in ("one", "other"):
        made(speech, tmp_path / name, features={"name": "mfcc"})
    one, other = ((tmp_path / n / "t/labels-00000.npy").read_bytes() for n in ("one", "other"))
    assert one == other


def test_fewer_frames_than_clusters_are_told(speech, tmp_path):
    with pytest.raises(
        CorpusError, match=r"target t: 100 frames of speech are fewer than clusters = 300"
    ):
        made(speech, tmp_path, features={"name": "mfcc"}, clusters=300, sample=100)


def test_targets_of_the_same_features_are_those_that_each_would_have_alone(speech, tmp_path):
    utterances = Utterances(look([speech], shortest=1.0, progress=silent))
    few = {"features": {"name": "mfcc"}, "clusters": 8, "sample": 3000}
    more = {"window": 0.5, "sample": 6000}
    chosen = {"a": Target.model_validate(few), "b": Target.model_validate(few | more)}
    Targets(chosen, utterances, FRONT, tmp_path / "both", 0).make(silent)
    for name, target in chosen.items():
        Targets({name: target}, utterances, FRONT, tmp_path / "one", 0).make(silent)
        for file in (tmp_path / "one" / name).iterdir():
            assert file.read_bytes() == (tmp_path / "both" / name / file.name).read_bytes()


def test_a_channel_that_is_not_there_is_told(speech, tmp_path):
    with pytest.raises(RecipeError, match=r"target t: no channel 39; mfcc has 0 to 38"):
        made(speech, tmp_path, features={"name": "mfcc"}, channels=[3, 39])
