import io
import json

import numpy as np
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from served import wait_until, wav

HELLO = {"rate": 16_000, "encoding": "s16le", "channels": 1}


def opened(server, **headers):
    address = server.address.replace("http", "ws") + "/v1/stream"
    return connect(address, additional_headers=headers, proxy=None)


def pcm(level: float, seconds: float = 0.5, rate: int = 16_000) -> bytes:
    return np.full(round(seconds * rate), round(level * 32768), "<i2").tobytes()


def heard(server, hello, parts) -> list[dict]:
    """All answers; the last is the timeline."""
    found = []
    with opened(server) as socket:
        socket.send(json.dumps(hello))
        for part in parts:
            socket.send(part)
        socket.send('{"end": true}')
        while not found or found[-1]["type"] != "timeline":
            found.append(json.loads(socket.recv(10.0)))
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


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[n : n + size] for n in range(0, len(data), size)]


def test_a_stream_says_what_a_file_of_the_same_sound_would(server):
    hop, whole = heard(server, HELLO, cut(pcm(0.25, 1.0), 999))
    (segment,) = whole["segments"]
    assert segment["scores"] == server.post(wav(0.25, 1.0)).json()["scores"]
    assert (segment["start"], segment["end"], segment["label"]) == (0.0, 1.0, "low")
    assert hop == {"type": "hop", **segment}
    assert whole["duration"] == 1.0


@pytest.mark.parametrize("size", [999, 64_000])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_its_timeline_is_that_of_the_file_however_it_was_cut(server, size, rate, channels):
    levels = np.repeat([0.1, 0.9, 0.9, 0.2], rate)
    sound = np.repeat(levels[:, None], channels, axis=1).astype("<f4")
    hello = {"rate": rate, "encoding": "f32le", "channels": channels, "window": 1.0, "hop": 0.5}
    *hops, whole = heard(server, hello, cut(sound.tobytes(), size))
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format="WAV", subtype="FLOAT")
    asked = {"timeline": True, "window": 1.0, "hop": 0.5}
    answer = server.post(file.getvalue(), params=asked).json()
    assert len(hops) == 8
    assert [s["label"] for s in whole["segments"]] == ["low", "high", "low"]
    for ours, theirs in zip(whole["segments"], answer["segments"], strict=True):
        assert ours["label"] == theirs["label"]
        assert [ours["start"], ours["end"]] == pytest.approx([theirs["start"], theirs["end"]])
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-3)
    assert answer["duration"] == pytest.approx(4.0)
    assert answer["label"] == "high"


def test_positions_that_follow_on_change_nothing(server):
    parts = ['{"position": 0}', pcm(0.25), '{"position": 8000}', pcm(0.25), pcm(0.25)]
    placed = heard(server, HELLO, parts)
    assert placed == heard(server, HELLO, [pcm(0.25, 1.5)])


def test_hops_come_while_the_stream_goes_on(server):
    with opened(server) as socket:
        socket.send(json.dumps(HELLO | {"window": 1.0, "hop": 1.0}))
        socket.send(pcm(0.25, 1.5))
        assert json.loads(socket.recv(10.0))["end"] == 1.0


@pytest.mark.parametrize(
    ("messages", "closing", "code", "words"),
    [
        (["no hello"], 1007, "wrong_request", "begin with"),
        ([{"rate": 16_000, "coding": "s16le"}], 1007, "wrong_request", "'coding' is not known"),
        ([{"rate": 1}], 1007, "wrong_request", "rate: "),
        ([{"rate": 192_000, "channels": 8}], 1007, "wrong_request", "too much"),
        ([b"\0\0"], 1007, "wrong_request", "begin with"),
        ([HELLO, {"stop": True}], 1007, "wrong_request", "end"),
        ([HELLO | {"window": 9.0, "hop": 0.5}], 1007, "wrong_request", "more than 16 times"),
        ([HELLO | {"window": 1.0}], 1007, "wrong_request", "a window that is as long"),
        ([HELLO, b"\0", {"end": True}], 1007, "unusable_sound", "no whole samples"),
        ([HELLO, {"end": True}], 1007, "unusable_sound", "0.00 s long"),
        (
            [HELLO, pcm(0.5), {"position": 24_000}, pcm(0.5)],
            1007,
            "unusable_sound",
            "begins at sample 24000, but sample 8000 comes next (1.000 s are missing)",
        ),
        ([HELLO, pcm(0.5), {"position": 0}, pcm(0.5)], 1007, "unusable_sound", "came twice"),
        ([HELLO, b"\0", {"position": 0}], 1007, "unusable_sound", "no whole samples"),
        ([HELLO, {"position": 0.5}], 1007, "wrong_request", "SAMPLE"),
        ([HELLO, {"position": True}], 1007, "wrong_request", "SAMPLE"),
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
    with serve(streams=1, timeout=0.5) as server:
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
        assert heard(server, HELLO | {"api_key": "secret"}, [pcm(0.5)])[0]["label"] == "low"
        found = refused(server, HELLO, {"end": True}, authorization="Bearer secret")
        assert found[1] == "unusable_sound"


def test_a_stream_whose_client_leaves_frees_its_place(server):
    with opened(server) as socket:
        socket.send(json.dumps(HELLO))
        socket.send(pcm(0.5))
        wait_until(lambda: server.service.streams == 1)
    wait_until(lambda: server.service.streams == 0)
