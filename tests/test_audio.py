from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from affekt import audio
from affekt.errors import AudioError
from affekt.types import Utterance


def tone(seconds=1.0, rate=16_000, channels=1):
    t = np.arange(round(seconds * rate)) / rate
    each = [0.5 * np.sin(2 * np.pi * (220 + 110 * c) * t) for c in range(channels)]
    return np.stack(each, axis=1)


def written(path: Path, samples, rate=16_000, **how) -> Path:
    soundfile.write(path, samples, rate, **how)
    return path


@pytest.mark.parametrize("ending", audio.ENDINGS)
def test_every_format_is_read_as_the_same_signal(tmp_path, ending):
    samples = tone()
    path = written(tmp_path / f"a{ending}", samples)
    signal = audio.read(path)
    assert signal.dtype == np.float32
    assert len(signal) == pytest.approx(16_000, abs=1200)  # an MP3 pads its ends
    assert np.sqrt((signal**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.08)


def test_channels_are_averaged_and_the_rate_converted_as_soxr_does(tmp_path):
    samples = tone(rate=44_100, channels=8)
    path = written(tmp_path / "eight.wav", samples, 44_100, subtype="FLOAT")
    expected = soxr.resample(samples.astype(np.float32).mean(axis=1), 44_100, 16_000)
    np.testing.assert_allclose(audio.read(path), expected, atol=1e-6)


def test_a_span_is_cut_in_seconds(tmp_path):
    samples = tone(2.0)
    path = written(tmp_path / "a.wav", samples, subtype="FLOAT")
    np.testing.assert_allclose(
        audio.read(path, start=0.5, end=1.25), samples[8000:20000, 0], atol=1e-7
    )


def truncated(path: Path) -> Path:
    written(path, np.random.default_rng(0).uniform(-0.5, 0.5, 48_000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def not_finite(path: Path) -> Path:
    samples = tone()
    samples[100] = np.nan
    return written(path, samples, subtype="FLOAT")


def words(path: Path) -> Path:
    path.write_text("this is not a recording")
    return path


def nothing(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("gone.wav", lambda p: p, "no such file; check where it should lie"),
        ("empty.wav", nothing, "the file is empty; copy it again"),
        ("text.wav", words, "not readable as audio .*; affekt reads .wav .flac"),
        ("cut.flac", truncated, "cut.flac: .*copy it again"),
        ("cut.wav", truncated, "the file is truncated; copy it again"),
        ("none.wav", lambda p: written(p, tone(0)), "holds no samples, .*; copy it again"),
        ("nan.wav", not_finite, "NaN or infinite samples; export it again"),
        ("short.wav", lambda p: written(p, tone(0.1)), "0.10 s long; affekt needs at least 0.2 s"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_would_do(tmp_path, name, make, told):
    with pytest.raises(AudioError, match=told) as e:
        audio.read(make(tmp_path / name))
    assert name in str(e.value)


def test_a_span_outside_the_file_is_refused(tmp_path):
    path = written(tmp_path / "a.wav", tone())
    with pytest.raises(AudioError, match=r"the span 0.5 s to 3.0 s .* 1.00 s; check start and end"):
        audio.read(path, start=0.5, end=3.0)


def utterance(path: Path, **span) -> Utterance:
    return Utterance(id=path.stem, audio=path, emotion="angry", corpus="toy", **span)


def test_content_is_what_is_heard_and_fingerprint_the_bytes(tmp_path):
    pcm = np.round(tone() * 32767).astype(np.int16)
    wav = utterance(written(tmp_path / "a.wav", pcm))
    flac = utterance(written(tmp_path / "a.flac", pcm))
    other = utterance(written(tmp_path / "b.wav", -pcm))
    assert audio.content(wav) == audio.content(flac) != audio.content(other)
    assert audio.fingerprint(wav) != audio.fingerprint(flac)
    assert audio.fingerprint(wav) != audio.fingerprint(utterance(wav.audio, end=0.5))


def test_many_channels_are_told_once_for_each_number_of_them(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(audio, "_told", set())
    for name, channels in (("a", 4), ("b", 4), ("c", 2), ("d", 6)):
        audio.read(written(tmp_path / f"{name}.wav", tone(channels=channels)))
    assert ["4 channels" in m or "6 channels" in m for m in caplog.messages] == [True, True]
    assert "a.wav" in caplog.messages[0]


def test_seconds_come_from_the_header_or_the_span(tmp_path):
    path = written(tmp_path / "a.wav", tone(1.5))
    assert audio.seconds(utterance(path)) == pytest.approx(1.5)
    assert audio.seconds(utterance(path, start=0.25, end=1.0)) == pytest.approx(0.75)
    assert audio.seconds(utterance(tmp_path / "gone.wav")) == 0


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(size=n).astype(np.float32)


def test_steps_run_in_their_order():
    signal = noise(16_000)
    normalised_last = audio.prepare(signal, [audio.Pad(seconds=2.0), audio.Normalise()])
    normalised_first = audio.prepare(signal, [audio.Normalise(), audio.Pad(seconds=2.0)])
    assert normalised_last.std() == pytest.approx(1, abs=1e-5)
    assert normalised_first[:16_000].std() == pytest.approx(1, abs=1e-5)
    assert normalised_first.std() < 0.8


def test_pad_appends_zeros_and_leaves_longer_signals_alone():
    signal = noise(16_000)
    padded = audio.Pad(seconds=2.0)(signal)
    assert len(padded) == 32_000
    assert (padded[16_000:] == 0).all()
    assert audio.Pad(seconds=0.5)(signal) is not None
    np.testing.assert_array_equal(audio.Pad(seconds=0.5)(signal), signal)


@pytest.mark.parametrize(("where", "first"), [("start", 0), ("centre", 8000), ("random", 8000)])
def test_without_a_generator_a_crop_is_always_the_same(where, first):
    signal = noise(32_000)
    crop = audio.Crop(seconds=1.0, where=where)
    np.testing.assert_array_equal(crop(signal), signal[first : first + 16_000])


def test_a_random_crop_reaches_both_ends_and_repeats_with_its_seed():
    signal = np.arange(16_010, dtype=np.float32)
    crop = audio.Crop(seconds=1.0, where="random")
    starts = {int(crop(signal, np.random.default_rng(n))[0]) for n in range(300)}
    assert starts == set(range(11))
    again = [crop(signal, np.random.default_rng(5))[0] for _ in range(2)]
    assert again[0] == again[1]


def test_trimming_cuts_the_quiet_ends_and_keeps_a_margin():
    loud = noise(16_000)
    signal = np.concatenate([np.full(8000, 1e-5, np.float32), loud, np.zeros(4000, np.float32)])
    trimmed = audio.TrimSilence(margin=0.05)(signal)
    assert len(trimmed) == 16_000 + 2 * 800
    np.testing.assert_array_equal(trimmed[800:16_800], loud)


def test_silence_survives_trimming_and_normalising():
    silence = np.zeros(16_000, np.float32)
    done = audio.prepare(silence, [audio.TrimSilence(), audio.Normalise()])
    np.testing.assert_array_equal(done, silence)
