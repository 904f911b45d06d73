"""Files that hold less than they promise, or do not say how much: WAV, Ogg, MP3, FLAC."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affekt import audio, containers
from affekt.decoding import decode
from affekt.errors import AudioError
from affekt.types import Utterance

CUT = "truncated; copy it again"


def promise(path):
    with path.open("rb") as file:
        return containers.promise(file)


def noise(seconds=3.0, rate=16_000):
    """Of two levels, so that an encoder that may vary its bit rate does."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate))
    samples[: len(samples) // 2] *= 1e-3
    return samples


def written(path: Path, rate=16_000, **how) -> Path:
    soundfile.write(path, noise(rate=rate), rate, **how)
    return path


def chunks(*parts: tuple[bytes, int, bytes], kind=b"RIFF") -> bytes:
    """A WAV of chunks (name, the size to write, content)."""
    order = ">" if kind == b"RIFX" else "<"
    body = b"".join(
        struct.pack(f"{order}4sI", name, size) + content + b"\0" * (len(content) % 2)
        for name, size, content in parts
    )
    return kind + struct.pack(f"{order}I", len(body) + 4) + b"WAVE" + body


def pcm(size=None, *, kind=b"RIFF", samples=16_001, before=()) -> bytes:
    """A second of 8 bits, an odd number of bytes, whose header says `size`."""
    order = ">" if kind == b"RIFX" else "<"
    form = struct.pack(f"{order}HHIIHH", 1, 1, 16_000, 16_000, 1, 8)
    data = np.random.default_rng(0).integers(0, 256, samples, dtype=np.uint8).tobytes()
    return chunks(
        *before,
        (b"fmt ", 16, form),
        (b"LIST", 5, b"INFO\0"),
        (b"data", samples if size is None else size, data),
        kind=kind,
    )


@pytest.mark.parametrize("share", [0.99, 0.5, 0.3])
@pytest.mark.parametrize(
    ("ending", "how"),
    [
        ("wav", {}),
        ("wav", {"format": "RF64"}),
        ("wav", {"format": "WAVEX", "subtype": "FLOAT"}),
        ("ogg", {}),
        ("ogg", {"subtype": "OPUS"}),
        ("mp3", {"bitrate_mode": "CONSTANT", "compression_level": 0.5}),
        ("mp3", {"bitrate_mode": "VARIABLE", "compression_level": 0.5}),
    ],
)
def test_a_cut_file_is_refused_and_a_whole_one_read_to_its_end(ending, how, share, tmp_path):
    path = written(tmp_path / f"a.{ending}", **how)
    samples, rate = decode(path)
    assert len(samples) == 3 * rate
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    with pytest.raises(AudioError, match=CUT):
        decode(path)


def test_an_ogg_without_its_last_page_is_refused(tmp_path):
    path = written(tmp_path / "a.ogg")
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"OggS")])
    with pytest.raises(AudioError, match=CUT):
        decode(path)


@pytest.mark.parametrize("size", [0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_wav_that_was_written_to_a_pipe_is_read_to_its_end(size, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(pcm(size)[:-1])  # no writer to a pipe pads
    assert promise(path) == "kept"
    assert len(decode(path)[0]) == 16_001


def test_a_wav_that_was_never_closed_is_read_to_its_end_or_refused(tmp_path):
    path, data = tmp_path / "a.wav", pcm(0)[:-1]
    path.write_bytes(data[:4] + struct.pack("<I", 8) + data[8:])
    assert len(decode(path)[0]) == 16_001
    path.write_bytes(data)
    with pytest.raises(AudioError, match="holds no samples, or its header does not say how many"):
        decode(path)


@pytest.mark.parametrize("kind", [b"RIFF", b"RIFX"])
def test_a_wav_of_odd_length_may_leave_its_last_pad_byte_out(kind, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(pcm(kind=kind)[:-1])
    assert len(decode(path)[0]) == 16_001
    path.write_bytes(pcm(kind=kind)[:-1000])
    with pytest.raises(AudioError, match=CUT):
        decode(path)


def test_a_wav_whose_header_counts_itself_is_not_cut(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(pcm(16_001 + 44))
    assert promise(path) == "kept"


def without_length(path: Path) -> Path:
    """An MP3 without its first frame, the one that says how long it is."""
    data = path.read_bytes()
    assert b"Xing" in data[:200] or b"Info" in data[:200]
    path.write_bytes(data[data.index(data[:2], 4) :])
    return path


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_an_mp3_of_one_bit_rate_need_not_say_its_length(rate, tmp_path):
    path = without_length(
        written(tmp_path / "a.mp3", rate, bitrate_mode="CONSTANT", compression_level=0.5)
    )
    assert promise(path) == "estimated"
    assert len(decode(path)[0]) / rate == pytest.approx(3, abs=0.25)
    assert len(decode(path, 1.0, 2.0)[0]) == rate
    with pytest.raises(AudioError, match="span 1.0 s to 9.0 s does not lie within"):
        decode(path, 1.0, 9.0)


def test_an_mp3_of_many_bit_rates_must_say_its_length(tmp_path):
    path = without_length(
        written(tmp_path / "a.mp3", bitrate_mode="VARIABLE", compression_level=0.5)
    )
    with pytest.raises(AudioError, match=r"does not say its length; convert it to .wav"):
        decode(path)


def test_an_mp3_may_begin_with_a_tag(tmp_path):
    path = without_length(
        written(tmp_path / "a.mp3", bitrate_mode="VARIABLE", compression_level=0.5)
    )
    tag = b"ID3\4\0\0" + bytes([0, 0, 2, 3]) + b"\xff" * 259
    path.write_bytes(tag + path.read_bytes())
    assert promise(path) == "none"


def streamed(path: Path, samples: int = 0) -> Path:
    """A FLAC whose header gives another number of samples; 0 is unknown."""
    data = bytearray(written(path).read_bytes())
    data[21] &= 0xF0  # 36 bits, from the middle of STREAMINFO's byte 13
    data[21] |= samples >> 32
    data[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(data)
    return path


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path):
    whole, _ = decode(written(tmp_path / "a.flac"))
    path = streamed(tmp_path / "b.flac")
    assert soundfile.info(path).frames > 2**60
    np.testing.assert_array_equal(decode(path)[0], whole)
    np.testing.assert_array_equal(decode(path, 1.0, 2.5)[0], whole[16_000:40_000])
    np.testing.assert_array_equal(decode(path, 2.5, 3.05)[0], whole[40_000:])
    for span in ((1.0, 9.0), (4.0, None)):
        with pytest.raises(AudioError, match=r"does not lie within the file's 3.00 s"):
            decode(path, *span)


def test_the_seconds_of_a_flac_of_unknown_length_are_counted(tmp_path):
    path = streamed(tmp_path / "a.flac")
    u = Utterance(id="a", audio=path, emotion="sad", corpus="toy", start=0.5)
    assert audio.seconds(u) == pytest.approx(2.5)
    path.write_bytes(path.read_bytes()[:-5000])
    assert audio.seconds(u) == 0


def test_a_flac_that_announces_what_no_memory_holds_is_refused(tmp_path):
    with pytest.raises(AudioError, match="ends after 3.00 s of 4294967.30 s.*" + CUT):
        decode(streamed(tmp_path / "a.flac", 2**36 - 1))


def test_a_cut_flac_of_unknown_length_is_refused(tmp_path):
    path = streamed(tmp_path / "a.flac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match="not readable as audio"):
        decode(path)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_damage_anywhere_is_an_audio_error_or_a_signal(ending, tmp_path):
    whole = bytearray(written(tmp_path / f"a.{ending}").read_bytes())
    path, rng = tmp_path / f"b.{ending}", np.random.default_rng(0)
    for _ in range(60):
        damaged = whole.copy()
        for at in rng.integers(0, min(len(whole), 300), 4):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert np.isfinite(decode(path)[0]).all()
        except AudioError as e:
            assert str(e).startswith(f"{path}: ")


def test_a_file_whose_kind_cannot_be_guessed_is_an_audio_error(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(32_000))
    with pytest.raises(AudioError, match="a.raw: not readable as audio"):
        decode(path)
