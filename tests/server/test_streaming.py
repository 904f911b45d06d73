import json

import numpy as np
import pytest
import soxr
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from affekt.server.streaming import Hello, Samples
from served import wait_until, wav

HELLO = {"rate": 16_000, "encoding": "s16le", "channels": 1}


def opened(server, **headers):
    address = server.address.replace("http", "ws") + "/v1/stream"
    return connect(address, additional_headers=headers, proxy=None)


def pcm(level: float, seconds: float = 0.5, rate: int = 16_000) -> bytes:
    return np.full(round(seconds * rate), round(level * 32768), "<i2").tobytes()


def heard(server, hello, parts) -> dict:
    with opened(server) as socket:
        socket.send(json.dumps(hello))
        for part in parts:
            socket.send(part)
        socket.send('{"end": true}')
        found = json.loads(socket.recv(10.0))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10.0)
        assert closed.value.rcvd.code == 1000
        return found


def refused(server, *messages, **headers) -> tuple[int, str, str]:
    """The closing code, the error's code and its message."""
    with opened(server, **headers) as socket:
        for message in messages:
            socket.send(message if isinstance(message, bytes) else json.dumps(message))
        found = json.loads(socket.recv(10.0))["error"]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10.0)
        return closed.value.rcvd.code, found["code"], found["message"]


def test_a_stream_says_what_a_file_of_the_same_sound_would(server):
    data = pcm(0.25, 1.0)
    found = heard(server, HELLO, [data[n : n + 999] for n in range(0, len(data), 999)])
    assert found["scores"] == server.post(wav(0.25, 1.0)).json()["scores"]
    assert (found["start"], found["end"], found["label"]) == (0.0, 1.0, "low")


def test_samples_come_out_at_16_khz_and_mono_however_they_are_cut():
    rng = np.random.default_rng(0)
    sound = rng.uniform(-0.5, 0.5, (44_100, 2)).astype("<f4")
    samples = Samples(Hello(rate=44_100, encoding="f32le", channels=2))
    data, found = sound.tobytes(), []
    for n in range(0, len(data), 12_347):
        found.append(samples(data[n : n + 12_347]))
    found = np.concatenate([*found, samples(b"", last=True)])
    expected = soxr.resample(sound.mean(axis=1), 44_100, 16_000, quality="HQ")
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("messages", "closing", "code", "words"),
    [
        (["no hello"], 1007, "wrong_request", "begin with"),
        ([{"rate": 16_000, "coding": "s16le"}], 1007, "wrong_request", "'coding' is not known"),
        ([{"rate": 1}], 1007, "wrong_request", "rate: "),
        ([{"rate": 192_000, "channels": 8}], 1007, "wrong_request", "too much"),
        ([b"\0\0"], 1007, "wrong_request", "begin with"),
        ([HELLO, {"stop": True}], 1007, "wrong_request", "end"),
        ([HELLO, {"end": True}], 1007, "unusable_sound", "0.00 s of sound came"),
        (
            [HELLO | {"encoding": "f32le"}, np.full(9, np.nan, "<f4").tobytes()],
            1007,
            "unusable_sound",
            "NaN",
        ),
    ],
)
def test_an_error_is_one_message_and_a_closing_code(server, messages, closing, code, words):
    found = refused(server, *messages)
    assert found[:2] == (closing, code) and words in found[2]


def test_limits_of_streams(serve):
    with serve(seconds=1.0, streams=1, timeout=0.5) as server:
        assert refused(server, HELLO, pcm(0.5, 1.5))[:2] == (1009, "too_long")
        with opened(server) as first:
            first.send(json.dumps(HELLO))
            wait_until(lambda: server.service.streams == 1)
            assert refused(server, HELLO)[:2] == (1013, "queue_full")
            stalled = json.loads(first.recv(10.0))["error"]
            assert stalled["code"] == "stalled"
        wait_until(lambda: server.service.streams == 0)


def test_a_stream_brings_the_key_as_a_header_or_in_its_first_message(serve):
    with serve(key="secret") as server:
        assert refused(server, HELLO)[:2] == (1008, "wrong_key")
        assert heard(server, HELLO | {"api_key": "secret"}, [pcm(0.5)])["label"] == "low"
        found = refused(server, HELLO, {"end": True}, authorization="Bearer secret")
        assert found[1] == "unusable_sound"


def test_a_stream_whose_client_leaves_frees_its_place(server):
    with opened(server) as socket:
        socket.send(json.dumps(HELLO))
        socket.send(pcm(0.5))
        wait_until(lambda: server.service.streams == 1)
    wait_until(lambda: server.service.streams == 0)
