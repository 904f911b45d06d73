import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from affekt import audio
from affekt.errors import AudioError
from affekt.inference.given import label, signal

CLIP = Path(__file__).parents[2] / "data/emodb/wav/03a01Fa.flac"


def test_a_recording_is_the_same_signal_however_it_is_given():
    expected = audio.read(CLIP)
    samples, rate = soundfile.read(CLIP, dtype="float32")
    whole = (samples * 32768).astype(np.int16)
    content = CLIP.read_bytes()
    for given in (
        CLIP,
        str(CLIP),
        content,
        bytearray(content),
        io.BytesIO(content),
        (samples, rate),
        (whole, rate),
        (whole.astype(np.int32) * 65536, rate),
        ((whole.astype(np.int32) + 32768).astype(np.uint16), rate),
        (samples.tolist(), float(rate)),
        (torch.from_numpy(samples), rate),
        (np.stack([samples, samples]), rate),
        (np.stack([samples, samples], axis=1), rate),
        {"array": samples, "sampling_rate": rate, "path": None},
        {"raw": samples, "sampling_rate": rate},
        {"path": str(CLIP), "bytes": None},
        {"bytes": content, "path": None},
    ):
        np.testing.assert_allclose(signal(given), expected, atol=1e-6)


def test_an_open_file_is_read_from_its_start(tmp_path):
    with CLIP.open("rb") as file:
        file.seek(1000)
        np.testing.assert_array_equal(signal(file), audio.read(CLIP))
        assert label(file) == str(CLIP)


def test_a_closed_file_and_one_of_text_are_told():
    with CLIP.open("rb") as file:
        pass
    with pytest.raises(AudioError, match="closed"):
        signal(file)
    with pytest.raises(AudioError, match="'rb'"):
        signal(io.StringIO("sound"))


def test_tensors_of_any_precision_are_samples():
    samples = torch.linspace(-1, 1, 16_000)
    expected = signal((samples, 16_000))
    for kind in (torch.bfloat16, torch.float16, torch.float64):
        np.testing.assert_allclose(signal((samples.to(kind), 16_000)), expected, atol=4e-3)
    whole = (samples * 32767).to(torch.int16)
    np.testing.assert_allclose(signal((whole, 16_000)), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros(16_000, np.float32), "an array without its rate"),
        ((16_000, np.zeros(16_000)), "turn it around"),
        ((np.zeros(16_000), None), "give their rate in Hz"),
        ((np.zeros(16_000), 0), "give their rate in Hz"),
        ((np.zeros((2, 3, 4)), 16_000), "are no samples"),
        ((np.array(["a"]), 16_000), "are no samples"),
        ((np.zeros(0), 16_000), "are no samples"),
        ((np.zeros((500, 400)), 16_000), "400 channels"),
        ((np.array([np.nan] * 16_000), 16_000), "NaN or infinite"),
        ((np.full(16_000, 20_000.0), 16_000), "give them in [-1, 1]"),
        ((np.zeros(100), 16_000), "0.01 s long"),
        ((np.zeros(16_000, int), 16_000), "int64 samples have no agreed range"),
        ("", "an empty path"),
        ((np.zeros(64_000), 16_000), "give 3 s"),
        ({"sampling_rate": 16_000}, "no recording"),
        ({}, "a mapping with nothing"),
        (b"", "empty"),
        (b"RIFF but no sound", "not readable as audio"),
        ("https://example.org/a.wav", "downloads nothing"),
        ("nowhere.wav", "no such file"),
        (7, "a int is no recording"),
        ((1, 2, 3), "a tuple of 3"),
        (CLIP.parent, "no such file"),
    ],
)
def test_what_is_no_recording_is_told_in_one_message(given, says):
    with pytest.raises(AudioError, match=says.replace("[", r"\[")):
        signal(given, longest=3.0)


def test_a_file_that_is_too_long_is_refused_before_all_of_it_is_read():
    with pytest.raises(AudioError, match="longer than 1 s"):
        signal(CLIP, longest=1.0)
