import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest
import soundfile

from affekt import audio
from affekt.encoders.opensmile import BATCH, SIZES, OpenSmile, functionals
from affekt.errors import MissingExtraError, RecipeError
from affekt.types import Utterance

opensmile = pytest.importorskip("opensmile")

RATE = 16_000


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def count(monkeypatch):
    """The lengths of the signals that openSMILE was given."""
    given = []
    call = opensmile.Smile.__call__

    def counted(self, signal, rate):
        given.append(len(signal))
        return call(self, signal, rate)

    monkeypatch.setattr(opensmile.Smile, "__call__", counted)
    return given


def voice(seconds=0.5, pitch=120.0, seed=0):
    """Harmonics with vibrato under a slow envelope, and some noise."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.03 * np.sin(2 * np.pi * 5 * t))) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    noise = np.random.default_rng(seed).normal(size=len(t))
    return 0.15 * tone * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t)) + 0.005 * noise


def said(path, signal, **fields):
    soundfile.write(path, signal, RATE, subtype="PCM_16")
    return Utterance(id=path.stem, audio=path, emotion="sad", corpus="toy", **fields)


@pytest.fixture
def three(tmp_path):
    return [said(tmp_path / f"{p}.wav", voice(0.4 + p / 1000, p)) for p in (100, 160, 220)]


@pytest.mark.parametrize("features", SIZES)
def test_functionals_are_those_of_opensmiles_own_interface(three, features):
    table, failed = functionals(three, features=features)
    smile = opensmile.Smile(feature_set=opensmile.FeatureSet[features])
    expected = [smile.process_signal(audio.read(u.audio), RATE).to_numpy()[0] for u in three]
    assert table.dtype == np.float32
    assert table.shape == (3, OpenSmile(features=features).dim)
    np.testing.assert_allclose(table, expected, rtol=1e-6, atol=1e-6)
    assert failed == {}


def test_a_second_call_asks_opensmile_nothing_and_gives_the_same(three, count):
    first, _ = functionals(three)
    second, _ = functionals(three[::-1])
    assert len(count) == 3
    assert np.array_equal(first, second[::-1])


def test_rows_depend_on_span_steps_features_version_and_what_is_heard(three, count, monkeypatch):
    utterance = three[2]
    functionals([utterance])
    functionals([replace(utterance, end=0.5)])
    functionals([utterance], steps=[audio.Crop(seconds=0.3)])
    functionals([utterance], steps=[audio.Crop(seconds=0.4)])
    functionals([utterance], features="emobase")
    soundfile.write(utterance.audio, voice(0.62, 90), RATE)
    functionals([utterance])
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.0")
    functionals([utterance])
    assert count == [round(s * RATE) for s in (0.62, 0.5, 0.3, 0.4, 0.62, 0.62, 0.62)]


def test_a_recording_under_two_names_is_analysed_once(three, count):
    table, _ = functionals([three[0], replace(three[0], id="again", corpus="other")])
    assert len(count) == 1
    assert np.array_equal(table[0], table[1])


def test_what_cannot_be_read_is_a_reason_and_a_row_of_nan(three, tmp_path):
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    bad = [
        Utterance(id="gone", audio=tmp_path / "gone.wav", emotion="sad", corpus="toy"),
        Utterance(id="text", audio=text, emotion="sad", corpus="toy"),
        said(tmp_path / "short.wav", voice(0.1)),
        said(tmp_path / "silent.wav", np.zeros(RATE)),
    ]
    table, failed = functionals([three[0], *bad, three[1]])
    assert np.isnan(table[1:5]).all()
    assert np.array_equal(table[[0, 5]], functionals(three[:2])[0])
    assert list(failed) == ["toy:gone", "toy:text", "toy:short", "toy:silent"]
    assert "no such file" in failed["toy:gone"]
    assert "not readable as audio" in failed["toy:text"]
    assert "silent.wav: silent after" in failed["toy:silent"]


def test_what_the_steps_leave_too_short_is_a_reason(three):
    _, failed = functionals(three[:1], steps=[audio.Crop(seconds=0.05)])
    assert "too short after the audio steps (0.05 s left)" in failed["toy:100"]


def test_full_scale_does_not_wrap_around(tmp_path):
    loud = np.clip(20 * voice(), -1.0, 1.0).astype(np.float32)
    soundfile.write(tmp_path / "float.wav", loud, RATE, subtype="FLOAT")
    utterance = Utterance(id="f", audio=tmp_path / "float.wav", emotion="sad", corpus="toy")
    table, _ = functionals([utterance])
    smile = opensmile.Smile(feature_set=opensmile.FeatureSet.eGeMAPSv02)
    expected = smile(loud * np.float32(0.9999), RATE)[0, :, 0]
    np.testing.assert_allclose(table[0], expected, rtol=0.02, atol=0.02)


def test_a_run_that_is_broken_off_goes_on_where_it_stopped(tmp_path, count):
    many = [said(tmp_path / f"{p}.wav", voice(0.25, p)) for p in range(100, 104 + BATCH)]
    done = []

    def stop_after_the_first_batch(n):
        done.append(n)
        if sum(done) == BATCH + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        functionals(many, progress=stop_after_the_first_batch)
    count.clear()
    again = []
    table, _ = functionals(many, progress=again.append)
    assert len(count) == 4
    assert again == [BATCH, 1, 1, 1, 1]
    assert np.isfinite(table).all()


def test_normalise_is_refused_because_opensmile_reads_16_bits(three):
    with pytest.raises(RecipeError, match="take the step out"):
        functionals(three, steps=[audio.Normalise()])


def test_no_utterances_give_an_empty_table():
    table, failed = functionals([])
    assert table.shape == (0, 88)
    assert failed == {}


def test_without_opensmile_the_error_names_the_extra(three, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(MissingExtraError, match=r"affekt\[opensmile\]"):
        functionals(three)


def test_a_warm_cache_imports_neither_torch_nor_opensmile(three):
    functionals(three)
    script = (
        "import sys; from pathlib import Path; from affekt.types import Utterance\n"
        "from affekt.encoders.opensmile import functionals\n"
        "u = Utterance(id='u', audio=Path(sys.argv[1]), emotion='sad', corpus='toy')\n"
        "assert functionals([u])[1] == {}\n"
        "assert not {'torch', 'opensmile', 'sklearn'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, three[0].audio], check=False)
    assert done.returncode == 0
