"""What `check` finds in a tree with one fault of every kind."""

import numpy as np
import pytest
import soundfile

from affekt import audio, corpora
from affekt.corpora.check import clipped
from affekt.errors import AudioError


def kinds(report, kind):
    return [f for f in report.findings if f.kind == kind]


def noise(seconds=0.5, rate=16_000, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), channels)), rate


@pytest.fixture
def folder(tmp_path):
    for n in range(6):
        (tmp_path / "sad").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"sad/good{n}.wav", *noise(seed=n))
    return tmp_path


def only(report):
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


def test_a_good_folder_is_ok_and_the_report_says_so(folder):
    report = corpora.check("folders", folder)
    assert report.ok
    assert report.utterances == 6
    assert report.hours == pytest.approx(6 * 0.5 / 3600)
    assert str(report).splitlines()[1].split() == ["emotion", "sad", "6"]
    assert str(report).endswith("nothing is wrong")


@pytest.mark.parametrize("content", [b"", b"this is no audio", b"RIFF\x00\x00\x00\x00WAVE"])
def test_a_file_that_is_no_audio_is_unreadable(content, folder):
    (folder / "sad/bad.wav").write_bytes(content)
    found = only(corpora.check("folders", folder))
    assert (found.kind, found.file.name) == ("unreadable", "bad.wav")


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "WAV"])
def test_every_format_is_read_to_its_end(ending, folder):
    soundfile.write(folder / f"sad/other.{ending}", *noise(2, seed=9))
    report = corpora.check("folders", folder)
    assert report.ok, str(report)
    assert report.hours == pytest.approx((6 * 0.5 + 2) / 3600, rel=0.02)


@pytest.mark.parametrize("share", [0.98, 0.5])
@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_check_finds_a_truncated_file_as_a_run_does(ending, share, folder):
    path = folder / f"sad/bad.{ending}"
    soundfile.write(path, *noise(2, seed=9))
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    found = only(corpora.check("folders", folder))
    assert found.kind == "unreadable"
    with pytest.raises(AudioError) as e:
        audio.read(path)
    assert str(e.value) == f"{found.file}: {found.what}; {found.advice}"


def test_a_flac_of_unknown_length_is_whole_and_counts(folder):
    path = folder / "sad/good0.flac"
    soundfile.write(path, *noise(2, seed=9))
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36 bits of the number of samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    (folder / "sad/good0.wav").unlink()
    report = corpora.check("folders", folder)
    assert report.ok, str(report)
    assert report.hours == pytest.approx((5 * 0.5 + 2) / 3600)


def test_a_signal_that_is_not_finite_is_unreadable(folder):
    samples, rate = noise()
    samples[100] = np.nan
    soundfile.write(folder / "sad/bad.wav", samples, rate, subtype="FLOAT")
    found = only(corpora.check("folders", folder))
    assert (found.kind, found.what) == ("unreadable", "holds NaN or infinite samples")


def test_a_tenth_of_a_second_is_too_short(folder):
    soundfile.write(folder / "sad/bad.wav", *noise(0.1, seed=9))
    assert "0.10 s, less than 0.2 s" in only(corpora.check("folders", folder)).what


def test_silence_is_found_even_when_it_is_dithered(folder):
    samples, rate = noise(seed=9)
    soundfile.write(folder / "sad/bad.wav", samples / 0.5 * 5e-5, rate)
    assert only(corpora.check("folders", folder)).kind == "silent"


def test_a_cut_off_signal_is_clipped_and_a_single_peak_is_not(folder):
    samples, rate = noise(seed=9)
    soundfile.write(folder / "sad/loud.wav", samples / np.abs(samples).max(), rate)
    assert corpora.check("folders", folder).ok
    soundfile.write(folder / "sad/loud.wav", np.clip(samples * 8, -1, 1), rate)
    found = only(corpora.check("folders", folder))
    assert (found.kind, found.file.name) == ("clipped", "loud.wav")


def test_clipping_counts_like_a_plain_loop_over_runs():
    rng = np.random.default_rng(3)
    signal = np.where(rng.random((400, 2)) < 0.6, np.sign(rng.normal(size=(400, 2))), 0.3)
    within = np.zeros(400, dtype=bool)
    for channel in (0, 1):
        run = 0
        for n in range(401):
            if n < 400 and abs(signal[n, channel]) == 1.0:
                run += 1
                continue
            if run >= 3:
                within[n - run : n] = True
            run = 0
    assert clipped(signal) == pytest.approx(within.mean())


def test_the_same_samples_are_duplicates_whatever_the_format(folder):
    samples, rate = soundfile.read(folder / "sad/good0.wav", dtype="int16")
    (folder / "angry").mkdir()
    soundfile.write(folder / "angry/copy.flac", samples, rate)
    found = only(corpora.check("folders", folder))
    assert found.kind == "duplicate"
    assert "sad/good0, labelled angry and sad" in found.what


def test_an_odd_rate_and_an_odd_channel_count_are_named(folder):
    soundfile.write(folder / "sad/bad.wav", *noise(rate=44_100, channels=8, seed=9))
    report = corpora.check("folders", folder)
    assert [(f.kind, f.what) for f in report.findings] == [
        ("rate", "44100 Hz, most have 16000"),
        ("channels", "8 channel(s), most have 1"),
    ]


def test_telephone_speech_is_reported_once_for_all(tmp_path):
    (tmp_path / "calm").mkdir()
    for n in range(3):
        soundfile.write(tmp_path / f"calm/{n}.wav", *noise(rate=8_000, seed=n))
    found = only(corpora.check("folders", tmp_path))
    assert found.what.startswith("3 of 3 recordings have 8000 Hz")


def test_a_recording_that_is_listed_and_not_there_is_missing(trees, tmp_path):
    trees.manifest(tmp_path)
    (tmp_path / "wav/anna_sad_0.wav").unlink()
    found = only(corpora.check("manifest", tmp_path))
    assert (found.kind, found.file.name) == ("missing", "anna_sad_0.wav")


def test_only_the_stretch_of_an_utterance_is_heard(trees, tmp_path):
    samples, rate = noise(2)
    samples[rate:] = 0
    soundfile.write(tmp_path / "call.wav", samples, rate)
    (tmp_path / "m.csv").write_text(
        "file,emotion,start,end\ncall.wav,sad,0,1\ncall.wav,sad,1,2\ncall.wav,sad,1.5,9\n"
    )
    report = corpora.check("manifest", tmp_path)
    assert [f.kind for f in report.findings] == ["silent", "unreadable"]
    assert "does not lie within the file's 2.00 s" in report.findings[1].what
    assert report.findings[1].advice == "check start and end"


def test_what_is_missing_of_a_published_corpus_is_named(trees, tmp_path):
    trees.ravdess(tmp_path, actors=range(1, 25), per_emotion=1)
    report = corpora.check("ravdess", tmp_path)
    found = kinds(report, "missing")[0]
    assert found.what.startswith(f"{1440 - 192} of 1440: 03-01-01-01-01-02-01, ")
    assert "emotion angry has 24 utterances of 192" in [f.what for f in kinds(report, "count")]
    assert "speaker 24 has 8 utterances of 60" in [f.what for f in kinds(report, "count")]


def test_the_counts_follow_the_options_of_the_reader(trees, tmp_path):
    trees.ravdess(tmp_path, actors=(1,), channel="02")
    report = corpora.check("ravdess", tmp_path, channel="song")
    counts = {(c.field, c.value): (c.found, c.official) for c in report.counts}
    assert counts["emotion", "neutral"] == (2, 92)
    assert counts["emotion", "sad"] == (2, 184)
    assert ("speaker", "18") not in counts


def test_more_than_what_was_published_is_found_too(trees, tmp_path):
    trees.casia(tmp_path, speakers=("wangzhe",), per_emotion=51)
    whats = [f.what for f in kinds(corpora.check("casia", tmp_path), "count")]
    assert "speaker wangzhe has 306 utterances, published are 300" in whats


def test_progress_is_told_after_every_utterance(folder):
    seen = []
    corpora.check("folders", folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 6) for n in range(1, 7)]
