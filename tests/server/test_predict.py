import contextlib
import io
import re
import socket
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from affekt.errors import AudioError
from affekt.inference.predictor import Predictor
from served import resident, wait_until, wav


def problem(response) -> tuple[int, str]:
    """Status and code; an error is one message and nothing else."""
    found = response.json()
    assert set(found) == {"error"} and set(found["error"]) == {"code", "message"}
    assert found["error"]["message"] and "/tmp" not in found["error"]["message"]
    return response.status_code, found["error"]["code"]


def test_a_form_and_a_body_get_the_same_answer(server, emodb_folder):
    file = emodb_folder / "wav/03a01Wa.flac"
    address = server.address + "/v1/predict"
    form = httpx.post(address, files={"file": (file.name, file.read_bytes())}).json()
    body = server.post(file.read_bytes(), headers={"content-type": "audio/flac"}).json()
    samples, rate = soundfile.read(file)
    assert form == body | {"file": file.name}
    assert body["file"] is None and body["model"] == "toy"
    assert body["duration"] == pytest.approx(len(samples) / rate, abs=1e-3)
    assert body["scores"]["high"] == pytest.approx(samples.mean(), abs=1e-5)
    assert (body["label"], body["score"]) == max(body["scores"].items(), key=lambda s: s[1])


def test_parameters_choose_how_many_scores_and_what_is_uncertain(server):
    found = server.post(wav(0.4), params={"top_k": 1, "min_confidence": 0.7}).json()
    assert found["label"] == "uncertain"
    assert found["scores"] == {"low": pytest.approx(0.6)}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"top_k": 0}, "top_k: .* but is '0'"),
        ({"top_k": "many"}, "top_k: .* integer"),
        ({"min_confidence": 1.5}, "min_confidence: .* less than or equal to 1"),
        ({"topk": 1}, "'topk' is not known; choose from top_k, .* Did you mean 'top_k'?"),
    ],
)
def test_a_wrong_parameter_is_named_and_nothing_is_computed(server, params, words):
    before = len(server.toy.levels)
    response = server.post(wav(), params=params)
    assert problem(response) == (422, "wrong_request")
    assert re.search(words, response.json()["error"]["message"])
    assert len(server.toy.levels) == before


def damaged() -> dict[str, bytes]:
    """Sound that cannot be used, by what is wrong with it."""
    whole = wav(0.5, 1.0)
    flac = wav(0.5, 1.0, format="FLAC", subtype="PCM_16")
    promised = bytearray(whole)
    promised[40:44] = (2**31 - 500_000).to_bytes(4, "little")
    return {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "a header alone": whole[:44],
        "hours promised": bytes(promised),
        "noise behind a FLAC's head": flac[:42] + np.random.default_rng(0).bytes(5000),
        "too short": wav(0.5, 0.05),
        "not finite": wav(float("nan")),
    }


@pytest.mark.parametrize("what", damaged())
def test_sound_that_is_damaged_is_422_with_the_reason(server, what):
    assert problem(server.post(damaged()[what])) == (422, "unusable_sound")


def test_what_is_no_sound_is_415(server):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("clip.wav", wav())
    address = server.address + "/v1/predict"
    named = httpx.post(address, files={"file": ("clip.wav", file.getvalue(), "audio/wav")})
    assert problem(named) == (415, "not_sound")
    said = server.post(wav(), headers={"content-type": "application/json"})
    assert problem(said) == (415, "not_sound") and "application/json" in said.text


def test_fifty_files_of_random_bytes_are_refused_and_the_server_goes_on(server):
    rng = np.random.default_rng(1)
    for size in rng.integers(1, 50_000, 50):
        assert server.post(rng.bytes(int(size))).status_code in (415, 422)
    assert server.post(wav()).status_code == 200


def test_random_bytes_behind_the_heads_of_sound_are_refused(server):
    rng = np.random.default_rng(2)
    for head in (
        b"RIFF\xff\xff\xff\x7fWAVEfmt ",
        b"fLaC",
        b"OggS",
        b"ID3",
        b"FORM\0\0\xff\xffAIFF",
    ):
        for size in (10, 3000):
            assert server.post(head + rng.bytes(size)).status_code == 422, head


def test_a_form_without_a_file_or_cut_off_is_422(server):
    address = server.address + "/v1/predict"
    assert problem(httpx.post(address, files={"file": (None, "text")})) == (422, "wrong_request")
    kind = {"content-type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x\r\nnothing", b"--y\r\n"):
        assert server.post(body, headers=kind).status_code == 422
    assert server.post(b"", headers={"content-type": "multipart/form-data"}).status_code == 422


def test_a_file_has_the_last_part_of_its_name(server):
    files = {"file": ("../../etc/pass\nwd.wav", wav())}
    found = httpx.post(server.address + "/v1/predict", files=files).json()
    assert found["file"].endswith("wd.wav") and "/" not in found["file"]
    assert found["file"].isprintable()


def test_a_large_upload_is_refused_while_it_arrives(serve):
    sent = [0]

    def endless():
        for _ in range(200):
            sent[0] += 1
            yield bytes(10**6)

    with serve(megabytes=5.0) as server:
        before = resident()
        assert problem(server.post(endless())) == (413, "too_large")
        assert resident() - before < 30e6  # it is never held
        form = {"file": ("long.wav", bytes(6_000_000))}
        assert problem(httpx.post(server.address + "/v1/predict", files=form)) == (413, "too_large")
        assert server.post(wav()).status_code == 200
        assert server.service.inside == 0


def test_long_sound_is_refused_by_its_header_however_small_the_file(serve):
    silence = io.BytesIO()
    block = np.zeros((600_000, 8), np.int16)
    with soundfile.SoundFile(silence, "w", 600_000, 8, format="FLAC") as file:
        for _ in range(20):
            file.write(block)
    bomb = wav(0.0, 600.0, 16_000, format="FLAC", subtype="PCM_16")
    assert len(bomb) < 200_000
    with serve(seconds=30.0) as server:
        before = resident()
        assert problem(server.post(bomb)) == (413, "too_long")
        assert problem(server.post(silence.getvalue())) == (422, "unusable_sound")
        assert resident() - before < 30e6
        assert server.post(wav(0.5, 29.0)).status_code == 200


def test_sixty_four_clients_get_their_own_answers_in_batches(server):
    levels = [n / 320 for n in range(320)]

    def ask(client: int) -> bool:
        with httpx.Client(timeout=30.0) as session:
            for level in levels[client::64]:
                found = session.post(
                    server.address + "/v1/predict",
                    files={"file": (f"{level}.wav", wav(level, 0.2 + level / 10))},
                ).json()
                if abs(found["scores"]["high"] - level) > 1e-6 or found["file"] != f"{level}.wav":
                    return False
        return True

    with ThreadPoolExecutor(64) as clients:
        assert all(clients.map(ask, range(64)))
    assert max(server.toy.batches) > 4


def test_a_client_that_leaves_is_not_computed_and_frees_its_place(serve):
    with serve(clips=1) as server, ThreadPoolExecutor(1) as thread:
        server.toy.free.clear()
        first = thread.submit(server.post, wav(0.1))
        wait_until(lambda: server.service.inside == 1 and not len(server.service.batcher))
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                server.address + "/v1/predict",
                content=wav(0.9),
                headers={"content-type": "audio/wav"},
                timeout=0.5,
            )
        wait_until(lambda: server.service.inside == 1)
        server.toy.free.set()
        assert first.result().status_code == 200
        assert server.post(wav(0.2)).status_code == 200
        assert server.toy.levels == pytest.approx([0.1, 0.2])


def test_half_an_upload_is_nobodys_answer(serve):
    with serve(timeout=0.5) as server:
        host, port = server.address.removeprefix("http://").split(":")
        head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n"
        head += b"Content-Length: 5000\r\n\r\n"
        with socket.create_connection((host, int(port))) as left:
            left.sendall(head + wav()[:2000])
            wait_until(lambda: server.service.inside == 1)
        wait_until(lambda: server.service.inside == 0)
        with socket.create_connection((host, int(port))) as stalled:
            stalled.sendall(head + wav()[:2000])
            stalled.settimeout(10.0)
            assert b"408" in stalled.recv(200)
        assert server.toy.levels == []


def test_a_full_queue_says_when_to_come_back(serve):
    with serve(queue=2) as server, ThreadPoolExecutor(2) as threads:
        server.toy.free.clear()
        waiting = [threads.submit(server.post, wav(0.1)) for _ in range(2)]
        wait_until(lambda: server.service.inside == 2)
        response = server.post(wav())
        assert problem(response) == (429, "queue_full")
        assert int(response.headers["retry-after"]) > 0
        server.toy.free.set()
        assert [f.result().status_code for f in waiting] == [200, 200]
        assert server.post(wav()).status_code == 200


def test_an_answer_that_takes_too_long_is_503(serve):
    with serve(timeout=0.3) as server:
        server.toy.free.clear()
        assert problem(server.post(wav())) == (503, "timed_out")
        server.toy.free.set()
        assert server.service.inside == 0
        assert server.post(wav()).status_code == 200


def test_nothing_of_an_upload_is_left_on_disk_or_in_memory(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    large = wav(0.5, 100.0)  # 6.4 MB: more than is held in memory while it arrives
    with serve() as server:
        for _ in range(3):
            assert server.post(large).status_code == 200
        before = resident()
        for n in range(10):
            data = large if n % 2 else large[:-1000]
            assert server.post(data).status_code == (200 if n % 2 else 422)
        assert resident() - before < 20e6
        with contextlib.suppress(FileNotFoundError):
            assert list(Path(tmp_path).iterdir()) == []


def of_sound():
    """A model that cannot judge silence, as openSMILE's."""

    def logits(signals):
        if any(not s.any() for s in signals):
            raise AudioError("the recording: silent; leave it out")
        return np.zeros((len(signals), 2))

    return Predictor(labels=["a", "b"], logits=logits, name="of sound")


def test_a_model_that_cannot_judge_silence_is_served_and_says_so(serve):
    with serve(load=of_sound) as server:
        server.service.batcher.model.result(10.0)
        assert problem(server.post(wav(0.0))) == (422, "unusable_sound")
        assert server.post(wav(0.5)).status_code == 200
        timeline = {"timeline": True, "window": 1.0, "hop": 1.0}
        assert problem(server.post(wav(0.0, 3.0), params=timeline)) == (422, "unusable_sound")
        part = np.repeat([0.5, 0.0, 0.5], 16_000).astype(np.float32)
        file = io.BytesIO()
        soundfile.write(file, part, 16_000, format="WAV", subtype="FLOAT")
        found = server.post(file.getvalue(), params=timeline).json()["segments"]
        assert [(s["start"], s["end"]) for s in found] == [(0.0, 1.0), (2.0, 3.0)]


def test_a_timeline_of_many_windows_takes_one_place_and_leaves_with_its_client(serve):
    asked = {"timeline": True, "window": 1.0, "hop": 0.2}
    with serve(queue=1) as server:
        assert server.post(wav(0.5, 20.0), params=asked).status_code == 200
    with serve(timeout=0.5) as server:
        server.toy.free.clear()
        assert problem(server.post(wav(0.5, 60.0), params=asked)) == (503, "timed_out")
        server.toy.free.set()
        wait_until(lambda: not len(server.service.batcher))
        assert sum(server.toy.batches) < 100  # of 296 windows


def test_windows_without_a_timeline_are_refused(server):
    found = server.post(wav(), params={"hop": 1.0})
    assert found.status_code == 422
    assert "timeline=true" in found.json()["error"]["message"]


def test_windows_that_overlap_too_often_are_refused(server):
    found = server.post(wav(), params={"timeline": True, "window": 60.0, "hop": 0.2})
    assert problem(found) == (422, "wrong_request")
    assert "more than 16 times" in found.text
