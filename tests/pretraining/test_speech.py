import json
import shutil

import numpy as np
import pytest
import soundfile
import soxr

from affekt import audio
from affekt.errors import CorpusError, RunError
from affekt.pretraining.speech import LONGEST, Utterances, find, look


def silent(*_: object) -> None:
    pass


def found(folder, shortest: float = 1.0) -> Utterances:
    return Utterances(look([folder], shortest=shortest, progress=silent))


def noise(seconds: float, rate: int = 16_000) -> np.ndarray:
    wave = np.random.default_rng(0).normal(size=round(seconds * rate)) * 0.1
    return np.cumsum(wave) / 50


def test_a_piece_is_the_same_samples_as_those_of_the_whole_file(speech):
    utterances = found(speech)
    rng = np.random.default_rng(0)
    for n in range(len(utterances)):
        whole = audio.read(utterances.files[n])
        assert utterances.lengths[n] == len(whole)
        first = int(rng.integers(len(whole) - 8000))
        assert (utterances.read(n, first, 8000) == whole[first : first + 8000]).all()
        assert (utterances.read(n, len(whole) - 5000, 5000) == whole[-5000:]).all()


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_piece_of_another_rate_is_as_the_whole_file_resampled(tmp_path, rate):
    soundfile.write(tmp_path / "x.wav", noise(3.0, rate), rate, subtype="FLOAT")
    utterances = found(tmp_path)
    assert utterances.lengths.tolist() == [48_000]
    samples, _ = soundfile.read(tmp_path / "x.wav", dtype="float32")
    whole = soxr.resample(samples, rate, 16_000, quality="HQ")
    for first in (0, 320, 16_000, 31_040):
        piece = utterances.read(0, first, 16_000)
        np.testing.assert_allclose(piece, whole[first : first + 16_000], atol=2e-5)


def test_a_long_recording_is_several_utterances_which_are_all_of_it(tmp_path):
    wave = noise(LONGEST / 16_000 * 2.5)
    soundfile.write(tmp_path / "x.wav", wave, 16_000)
    utterances = found(tmp_path)
    assert len(utterances) == 3
    whole = audio.read(tmp_path / "x.wav")
    joined = np.concatenate([utterances.read(n) for n in range(3)])
    assert (joined == whole[: len(joined)]).all()
    assert len(whole) - len(joined) < 3


def test_what_sounds_the_same_is_heard_once_and_what_cannot_be_read_is_listed(tmp_path, speech):
    files = sorted(speech.iterdir())
    shutil.copy(files[0], tmp_path / "a.wav")
    shutil.copy(files[0], tmp_path / "b.wav")
    soundfile.write(tmp_path / "short.wav", noise(0.5), 16_000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF, but no more")
    utterances = found(tmp_path)
    assert [path.name for path in utterances.files] == ["a.wav"]
    assert (utterances.twice, utterances.short) == (1, 1)
    (path, reason), *_ = utterances.left_out.items()
    assert path.endswith("broken.wav")
    assert "broken.wav: " in reason


def test_speech_is_looked_for_once_and_other_folders_are_refused(tmp_path, speech):
    out = tmp_path / "run"
    out.mkdir()
    first = find([speech], out, shortest=1.0, progress=silent)
    kept = json.loads((out / "speech.json").read_text())
    assert len(next(iter(kept["folders"].values()))) == len(first) == 20
    told: list[str] = []
    again = find([speech], out, shortest=1.0, progress=lambda now, *_: told.append(now))
    assert told == []
    assert (again.lengths == first.lengths).all()
    with pytest.raises(RunError, match="holds a run on other folders"):
        find([tmp_path], out, shortest=1.0, progress=silent)


def test_folders_without_speech_are_told(tmp_path, speech):
    with pytest.raises(CorpusError, match="nowhere: no such folder"):
        found(tmp_path / "nowhere")
    (tmp_path / "said.wav").touch()
    with pytest.raises(CorpusError, match="said.wav: a file; give the folder"):
        found(tmp_path / "said.wav")
    (tmp_path / "said.wav").unlink()
    with pytest.raises(CorpusError, match="no speech in it"):
        found(tmp_path)
    with pytest.raises(CorpusError, match="20 of 20 recordings are shorter"):
        found(speech, shortest=100.0)
