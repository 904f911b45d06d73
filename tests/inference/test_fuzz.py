"""Whatever bytes are given: a signal, or one AudioError, soon. AFFEKT_FUZZ_SECONDS: for so long."""

import io
import os
import sys
import time

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affekt.audio import RATE, SHORTEST
from affekt.errors import AudioError
from affekt.inference.given import signal

LONGEST = 20.0  # seconds
PATIENCE = 10.0  # seconds for one
KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "ULAW"),
    ("FLAC", "PCM_16"),
    ("RF64", "PCM_16"),
]
KINDS += [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_24")]
KINDS += [("AU", "PCM_16"), ("CAF", "ALAC_16"), ("W64", "PCM_16"), ("VOC", "PCM_16")]


def seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    sound = 0.3 * rng.standard_normal((8_000, 2)).clip(-1, 1)
    found = []
    for kind, subtype in KINDS:
        file = io.BytesIO()
        soundfile.write(file, sound, 16_000, format=kind, subtype=subtype)
        found.append(file.getvalue())
    return found


SEEDS = seeds()


@st.composite
def damaged(draw) -> bytes:
    """A sound file with some bytes changed, cut out, put in twice or cut off, or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=2_000))
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        head = draw(st.booleans())  # where containers say what they hold
        at = draw(st.integers(0, min(len(data), 200 if head else len(data)) - 1)) if data else 0
        how = draw(st.sampled_from(["change", "number", "cut", "double", "end"]))
        if how == "change" and data:
            data[at] = draw(st.integers(0, 255))
        elif how == "number":
            extreme = draw(st.sampled_from([0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1]))
            data[at : at + 4] = extreme.to_bytes(4, draw(st.sampled_from(["little", "big"])))
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 500))]
        elif how == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 500))]
        else:
            del data[max(at, 12) :]
    return bytes(data)


def judge(data: bytes) -> None:
    begun = time.monotonic()
    try:
        found = signal(data, longest=LONGEST)
    except AudioError as e:
        assert "\n" not in str(e)
    else:
        assert found.dtype == np.float32 and found.ndim == 1
        assert SHORTEST * RATE * 0.9 <= len(found) <= LONGEST * RATE * 1.1
        assert np.isfinite(found).all()
    assert time.monotonic() - begun < PATIENCE


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged())
def test_damaged_files_are_sound_or_one_error(data):
    judge(data)


def test_the_same_for_as_long_as_is_asked(capsys):
    seconds = float(os.environ.get("AFFEKT_FUZZ_SECONDS", 0))
    if not seconds:
        pytest.skip("AFFEKT_FUZZ_SECONDS is not set")
    end, count = time.monotonic() + seconds, 0

    @settings(
        max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(damaged())
    def some(data):
        nonlocal count
        count += 1
        judge(data)

    while time.monotonic() < end:
        some()
    with capsys.disabled():
        sys.stdout.write(f"{count} files in {seconds:g} s\n")
