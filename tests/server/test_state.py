import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from affekt.errors import AffektError
from affekt.server.answers import Answer, Problem
from affekt.server.running import serve as run
from served import wait_until, wav


def counted(server, name: str, **labels: str) -> float:
    text = httpx.get(server.address + "/metrics").text
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def test_a_server_is_alive_before_it_is_ready(serve):
    free = threading.Event()

    def load():
        free.wait(10.0)
        raise AffektError("no such model")

    with serve(load=load) as server:
        assert httpx.get(server.address + "/health").json() == {"status": "alive"}
        for response in (httpx.get(server.address + "/ready"), server.post(wav())):
            assert response.status_code == 503
            assert response.json()["error"]["message"].startswith("the model is being loaded")
            assert int(response.headers["retry-after"]) > 0
        free.set()
        wait_until(lambda: "cannot be loaded" in httpx.get(server.address + "/ready").text)


def test_ready_names_the_model_and_its_classes(server):
    found = httpx.get(server.address + "/ready").json()
    assert found == {"status": "ready", "model": "toy", "labels": ["low", "high"]}


def test_metrics_count_requests_by_status_batches_and_sound(serve):
    with serve() as server:
        for data in (wav(0.5, 1.5), wav(0.5, 1.5), b"no sound"):
            server.post(data)
        assert counted(server, "affekt_requests_total", status="200") == 2
        assert counted(server, "affekt_requests_total", status="415") == 1
        assert counted(server, "affekt_request_seconds_count") == 3
        assert counted(server, "affekt_batch_clips_sum") == 2
        assert counted(server, "affekt_sound_seconds_total") == pytest.approx(3.0)
        assert counted(server, "affekt_queue_clips") == 0


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Bearer secret"}, {"x-api-key": "secret"}],
)
def test_a_key_is_asked_for_and_taken_in_any_form(serve, headers):
    with serve(key="secret") as server:
        for wrong in ({}, {"authorization": "Bearer secre"}, {"x-api-key": "sécret"}):
            found = server.post(wav(), headers={k: v.encode() for k, v in wrong.items()})
            assert (found.status_code, found.json()["error"]["code"]) == (401, "wrong_key")
        assert httpx.get(server.address + "/metrics").status_code == 401
        assert httpx.get(server.address + "/health").status_code == 200
        assert server.post(wav(), headers=headers).status_code == 200
        assert httpx.get(server.address + "/metrics", auth=("anybody", "secret")).status_code == 200


def test_what_is_not_there_is_an_error_like_any_other(server):
    for response, status in (
        (httpx.get(server.address + "/nothing"), 404),
        (httpx.get(server.address + "/v1/predict"), 405),
    ):
        assert response.status_code == status
        Problem.model_validate(response.json())


def test_a_fault_of_the_model_is_500_and_tells_nothing_of_the_machine(serve):
    def fails(signals):
        raise OSError("/root/secret/path")

    with serve() as server:
        object.__setattr__(server.service.batcher.model.result(), "logits", fails)
        response = server.post(wav())
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "failed"
        assert "secret" not in response.text


def test_the_document_describes_parameters_bodies_and_errors(server):
    found = httpx.get(server.address + "/openapi.json").json()
    predict = found["paths"]["/v1/predict"]["post"]
    assert {p["name"] for p in predict["parameters"]} == {
        "top_k",
        "min_confidence",
        "timeline",
        "window",
        "hop",
    }
    assert set(predict["responses"]) >= {"200", "401", "408", "413", "415", "422", "429", "503"}
    assert "multipart/form-data" in predict["requestBody"]["content"]
    Answer.model_validate(found["components"]["schemas"]["Answer"]["example"])
    for status, response in predict["responses"].items():
        if status != "200":
            Problem.model_validate(response["content"]["application/json"]["example"])
    for page in ("/docs", "/redoc"):  # they would load scripts from other hosts
        assert httpx.get(server.address + page).status_code == 404


def test_a_shutdown_answers_what_is_inside_and_takes_nothing_new(serve):
    with serve() as server, ThreadPoolExecutor(2) as threads:
        server.toy.free.clear()
        inside = threads.submit(server.post, wav(0.3))
        wait_until(lambda: server.service.inside == 1)
        server.server.should_exit = True
        wait_until(lambda: not server.server.servers[0].is_serving())
        with pytest.raises(httpx.ConnectError):
            server.post(wav())
        server.toy.free.set()
        assert inside.result().json()["scores"]["high"] == pytest.approx(0.3)
        server.thread.join(10.0)
        assert not server.thread.is_alive() and server.service.closing


def test_while_it_closes_a_request_that_was_open_is_told_so(serve):
    with serve() as server:
        server.service.closing = True
        found = server.post(wav())
        assert (found.status_code, found.json()["error"]["code"]) == (503, "closing")


COMMAND = """
import numpy as np
from affekt.inference import predictor
toy = predictor.Predictor(labels=["a", "b"], name="toy", logits=lambda s: np.zeros((len(s), 2)))
predictor.Predictor.load = classmethod(lambda cls, model, **_: toy)
from affekt import cli
cli.main()
"""


def test_the_command_says_its_address_and_ends_with_the_last_answer():
    words = [sys.executable, "-c", COMMAND, "serve", "any", "--port", "0", "--no-page"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout and job.stderr
        line = job.stdout.readline()
        assert line.startswith("ready at http://127.0.0.1:")
        found = httpx.post(
            line.split()[2] + "/v1/predict", content=wav(), headers={"content-type": "audio/wav"}
        )
        assert found.json()["scores"] == {"a": 0.5, "b": 0.5}
        os.kill(job.pid, signal.SIGTERM)
        assert job.wait(20.0) == 0
        assert job.stderr.read() == "" and job.stdout.read() == ""


def test_a_signal_while_the_model_is_loaded_ends_it_without_a_word():
    slow = COMMAND.replace("toy)", "print('loading', flush=True) or time.sleep(1.0) or toy)")
    words = [sys.executable, "-c", "import time" + slow, "serve", "any", "--port", "0", "--no-page"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout and job.stderr
        assert job.stdout.readline() == "loading\n"
        os.kill(job.pid, signal.SIGINT)
        assert job.wait(20.0) == 0
        assert job.stderr.read() == "" and job.stdout.read() == ""


def test_a_port_that_is_taken_and_a_model_that_is_missing_are_one_message(server, affekt):
    port = server.address.rpartition(":")[2]
    code, _, err = affekt("serve", "no/such/model", "--no-page", "--port", port)
    assert code == 1 and f"127.0.0.1:{port} cannot be listened at" in err
    code, _, err = affekt("serve", "no/such/model", "--no-page", "--port", 0)
    assert code == 1 and err.count("error:") == 1 and "no/such/model" in err


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(AffektError, match=r'pip install "affekt\[serve\]"'):
        run(lambda: None)
