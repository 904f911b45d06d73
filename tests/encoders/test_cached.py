import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from affekt import audio
from affekt.encoders.cached import CachedFrames
from affekt.encoders.extract import extract
from affekt.encoders.speech import Speech
from affekt.errors import AffektError
from affekt.parts import Section
from affekt.types import Utterance

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def said(trees, tmp_path) -> list[Utterance]:
    """Twelve recordings of different lengths."""
    return [
        Utterance(
            id=f"{n:02}",
            audio=trees.sound(tmp_path / f"wav/{n:02}.wav", seconds=0.3 + 0.11 * n),
            emotion="angry",
            corpus="toy",
        )
        for n in range(12)
    ]


@pytest.fixture(params=["hubert", "whisper"])
def options(request, checkpoint) -> dict:
    return speech_options(checkpoint(request.param))


def speech_options(folder: Path, **changes) -> dict:
    plain = {
        "model": str(folder),
        "revision": None,
        "trainable": "none",
        "lr_factor": 1.0,
        "precision": "fp32",
        "normalise": None,
        "spec_augment": False,
        "storage": "bf16",
    }
    return plain | changes


def entries(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.safetensors"))


def test_the_frames_are_those_of_the_encoder_in_bf16(options, said):
    frames = CachedFrames(options, said, ())
    ticks = []
    assert frames.fill(ticks.append) == {}
    assert sum(ticks) == len(said)
    encoder = Speech(**options)
    for u in said:
        wav = torch.from_numpy(audio.read(u.audio))
        expected = encoder(wav[None], torch.tensor([len(wav)])).layers[0]
        assert torch.equal(frames[u.key], expected.bfloat16())
    assert frames.lengths(u.key for u in said) == [frames[u.key].shape[1] for u in said]


def test_batches_as_on_a_gpu_fill_the_cache_with_the_same_frames(options, said, own_cache):
    frames = CachedFrames(options, said, ())
    assert [reason for _, reason in frames._together(said)] == [None] * len(said)
    assert len(entries(own_cache)) == len(said)
    encoder = Speech(**options)
    for u in said:
        wav = torch.from_numpy(audio.read(u.audio))
        alone = encoder(wav[None], torch.tensor([len(wav)])).layers[0]
        assert (frames[u.key] - alone).abs().max() < 0.005 * alone.abs().max()


def test_a_warm_cache_never_loads_the_encoder(options, said):
    CachedFrames(options, said, ()).fill(lambda _: None)
    warm = CachedFrames(options, said, ())
    warm.fill(lambda _: None)
    assert len([warm[u.key] for u in said]) == 12
    assert warm._encoder is None


def test_other_steps_weights_or_settings_have_entries_of_their_own(
    checkpoint, said, own_cache, checkpoints, tmp_path
):
    other = checkpoints.save(tmp_path / "other", "hubert", seed=1)
    plain = speech_options(checkpoint("hubert"))
    for options, steps in (
        (plain, ()),
        (plain, (audio.TrimSilence(),)),
        (plain | {"normalise": False}, ()),
        (plain | {"storage": "int8"}, ()),
        (plain | {"model": str(other)}, ()),
    ):
        before = len(entries(own_cache))
        CachedFrames(options, said, steps).fill(lambda _: None)
        assert len(entries(own_cache)) == before + len(said)


def test_a_damaged_entry_is_made_anew_when_it_is_asked_for(options, said, own_cache, caplog):
    frames = CachedFrames(options, said, ())
    frames.fill(lambda _: None)
    whole = {u.key: frames[u.key].clone() for u in said}
    for n, path in enumerate(entries(own_cache)):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1 << (n % 8)
        path.write_bytes(bytes(content) if n % 2 else bytes(content[:-7]))
    again = CachedFrames(options, said, ())
    again.fill(lambda _: None)
    for u in said:
        assert torch.equal(again[u.key], whole[u.key])
    assert "is damaged" in caplog.text


def test_recordings_that_cannot_be_used_are_named(checkpoint, said, tmp_path):
    broken, quiet = tmp_path / "broken.wav", said[1].audio
    broken.write_bytes(b"no sound")
    missing = tmp_path / "missing.wav"
    bad = [Utterance(id=str(p), audio=p, emotion="angry", corpus="toy") for p in (broken, missing)]
    section = Section(name="speech", model=str(checkpoint("wavlm")))  # type: ignore
    clips, reasons = extract(section, [*said, *bad], (), lambda _: None)
    assert set(reasons) == {u.key for u in bad}
    assert "missing.wav: no such file" in reasons[bad[1].key]
    assert len([clips[u.key] for u in said]) == 12 and quiet.exists()


def test_what_the_steps_leave_too_short_is_named(checkpoint, said):
    frames = CachedFrames(speech_options(checkpoint("wavlm")), said, (audio.Crop(seconds=0.1),))
    reasons = frames.fill(lambda _: None)
    assert len(reasons) == 12
    assert "0.10 s left after the audio steps" in reasons[said[0].key]


def test_frames_that_are_not_finite_are_named(checkpoints, said, tmp_path):
    folder = checkpoints.save(tmp_path / "nan", "hubert")
    checkpoints.rewrite(folder, lambda w: w["hubert.encoder.layer_norm.bias"].fill_(torch.nan))
    reasons = CachedFrames(speech_options(folder), said, ()).fill(lambda _: None)
    assert "NaN or infinite" in reasons[said[0].key]


def test_what_is_too_long_for_memory_is_named(checkpoint, said, monkeypatch):
    frames = CachedFrames(speech_options(checkpoint("hubert")), said[:2], ())

    def starve(*_):
        raise RuntimeError("not enough memory: you tried to allocate 99 bytes\nmore")

    monkeypatch.setattr(frames.encoder().network, "forward", starve)
    reasons = frames.fill(lambda _: None)
    told = "cannot be encoded in one piece .not enough memory.*; cut it into segments"
    assert len(reasons) == 2
    assert re.search(told, reasons[said[0].key])


def test_on_a_gpu_frames_that_are_there_by_now_are_not_made_again(checkpoint, said):
    frames = CachedFrames(speech_options(checkpoint("hubert")), said, ())
    frames.fill(lambda _: None)
    frames._encoded = None  # type: ignore[method-assign]
    assert [reason for _, reason in frames._together(said)] == [None] * len(said)


def test_batches_count_the_windows_that_whisper_computes(checkpoint, said, monkeypatch):
    monkeypatch.setattr("affekt.encoders.cached.TOGETHER", 4.0)  # its window is a second here
    whisper = CachedFrames(speech_options(checkpoint("whisper")), said, ())
    assert max(map(len, whisper._batches(said[:6]))) == 4
    hubert = CachedFrames(speech_options(checkpoint("hubert")), said, ())
    assert max(map(len, hubert._batches(said[:6]))) > 4
    padded = CachedFrames(speech_options(checkpoint("hubert")), said, (audio.Pad(seconds=2.0),))
    assert max(map(len, padded._batches(said[:6]))) == 2


def test_without_room_nothing_is_begun(checkpoint, said, own_cache, monkeypatch):
    monkeypatch.setattr("affekt.encoders.cached.room", lambda _: 1000)
    with pytest.raises(AffektError, match=r"12 utterances take about .* where 1.0 kB are free"):
        CachedFrames(speech_options(checkpoint("hubert")), said, ()).fill(lambda _: None)
    assert not entries(own_cache)


FILL = """
import sys, time
from pathlib import Path
from affekt.encoders.cached import CachedFrames
from affekt.types import Utterance
options = eval(sys.argv[1])
said = [Utterance(id=p.stem, audio=p, emotion="angry", corpus="toy")
        for p in sorted(Path(sys.argv[2]).glob("*.wav"))]
frames = CachedFrames(options, said, ())
print("begin", flush=True)
frames.fill(lambda n: (print("done", n, flush=True), time.sleep(float(sys.argv[3]))))
"""


def filling(options: dict, folder: Path, *, pause: float = 0.0) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", FILL, repr(options), str(folder), str(pause)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_what_was_made_before_a_kill_is_kept_and_the_next_start_goes_on(
    checkpoint, said, own_cache
):
    options = speech_options(checkpoint("hubert"))
    with filling(options, said[0].audio.parent, pause=0.3) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(4)]  # begin, 0 there, two made
        os.kill(process.pid, signal.SIGKILL)
    assert lines[0] == "begin\n"
    kept = entries(own_cache)
    assert 2 <= len(kept) <= len(said)
    stamps = {p: p.stat().st_mtime_ns for p in kept}
    frames = CachedFrames(options, said, ())
    frames.fill(lambda _: None)
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
    assert len(entries(own_cache)) == len(said)


@pytest.mark.slow
def test_two_processes_fill_one_cache(checkpoint, said, own_cache):
    options = speech_options(checkpoint("hubert"))
    folder = said[0].audio.parent
    with filling(options, folder) as one, filling(options, folder) as other:
        assert [process.wait(timeout=120) for process in (one, other)] == [0, 0]
    assert len(entries(own_cache)) == len(said)
    frames = CachedFrames(options, said, ())
    encoder = Speech(**options)
    for u in said:
        wav = torch.from_numpy(audio.read(u.audio))
        expected = encoder(wav[None], torch.tensor([len(wav)])).layers[0]
        assert torch.equal(frames[u.key], expected.bfloat16())
