"""The page in a real browser, which may ask nobody but this server."""

import base64
import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

pytest.importorskip("gradio")

from affekt.inference.predictor import Predictor
from affekt.server import picture
from affekt.types import Segment
from served import Running, running, wait_until, wav

LABELS = ["<b>", "calm"]
WAIT = 20.0  # seconds
SENT = "Network.requestWillBeSent"
# Of gradio's use of pandas, which is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore:.*no_silent_downcasting:DeprecationWarning")


def segment(start, end, label, **scores):
    scores = dict(zip(LABELS, scores.values(), strict=True))
    return Segment(start=start, end=end, label=label, score=max(scores.values()), scores=scores)


@pytest.fixture
def judged():
    toy = Predictor(labels=LABELS, logits=lambda s: np.zeros((len(s), 2)), name="toy")
    signal = np.sin(np.arange(32_000) / 50).astype(np.float32)
    segments = [segment(0.0, 0.5, "<b>", a=0.9, b=0.1), segment(0.5, 2.0, "calm", a=0.4, b=0.6)]
    return picture.judged(signal, segments, toy)


def test_the_picture_has_each_segment_in_its_colour_and_its_share_of_time(judged):
    html = picture.drawn(judged)
    lines = [html.count(f'stroke="{colour}"') for colour in picture.COLOURS[:2]]
    assert lines == [100, 300]  # of 400 columns
    assert "0.50 s</td><td>25 %" in html and "1.50 s</td><td>75 %" in html
    assert "0.525" in html and "0.475" in html  # the mean by time
    assert "<b>" not in html and "&lt;b&gt;" in html


def test_what_is_less_sure_than_wanted_is_grey(judged):
    html = picture.drawn(judged, 0.7)
    assert html.count(f'stroke="{picture.GREY}"') == 300 and "uncertain" in html


def test_the_files_to_keep_hold_the_segments(judged):
    html = picture.drawn(judged)
    kept = {
        part.partition('"')[0]: base64.b64decode(part.partition("base64,")[2].partition('"')[0])
        for part in html.split('download="affekt.')[1:]
    }
    rows = json.loads(kept["json"])["segments"]
    assert rows[1] == {
        "start": 0.5,
        "end": 2.0,
        "label": "calm",
        "score": 0.6,
        "scores": {"<b>": 0.4, "calm": 0.6},
    }
    table = list(csv.DictReader(io.StringIO(kept["csv"].decode())))
    assert [row["label"] for row in table] == ["<b>", "calm"] and table[0]["calm"] == "0.1"


def test_peaks_are_those_of_a_plain_loop():
    signal = np.random.default_rng(0).normal(size=1003).astype(np.float32)
    found = picture.peaks(signal, 10)
    assert len(found) == 10 and min(low for low, _ in found) == signal.min()
    assert found[0] == (min(signal[:101]), max(signal[:101]))


@pytest.fixture(scope="module")
def page() -> Iterator[Running]:
    with running(page=True, megabytes=1.0, seconds=20.0) as server:
        yield server


def test_the_page_names_no_other_host_and_the_interface_goes_on_beside_it(page):
    response = httpx.get(page.address)
    assert response.status_code == 200 and "default-src 'self'" in str(response.headers)
    assert "fonts.googleapis" not in response.text and "cdnjs" not in response.text
    assert page.post(wav()).status_code == 200
    assert httpx.get(page.address + "/ready").status_code == 200


def asked_of_page(page, path: str) -> str:
    """What the page's own interface answers to a client that names a path."""
    recording = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [recording, 0.0], "fn_index": 1, "session_hash": "a"}
    httpx.post(page.address + "/gradio_api/queue/join", json=body)
    address = page.address + "/gradio_api/queue/data?session_hash=a"
    with httpx.stream("GET", address, timeout=20.0) as stream:
        return next(line for line in stream.iter_lines() if "process_completed" in line)


def test_a_client_hears_what_it_sent_and_no_other_file_of_the_machine(page, tmp_path):
    private = tmp_path / "private.wav"
    private.write_bytes(wav(0.5, 1.0))
    for path in (str(private), "/etc/hostname", "/dev/zero"):
        assert "<svg" not in asked_of_page(page, path)
    files = [("files", ("a.wav", wav(0.5, 1.0)))]
    (sent,) = httpx.post(page.address + "/gradio_api/upload", files=files).json()
    assert "<svg" in asked_of_page(page, sent)
    assert httpx.get(page.address + "/health").status_code == 200


@pytest.fixture(scope="module")
def browser():
    selenium = pytest.importorskip("selenium.webdriver")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no Chromium with its driver; install chromium and chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    opened = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    opened.set_window_size(1100, 1000)
    yield opened
    opened.quit()


def found(browser, css: str) -> list:
    return browser.find_elements("css selector", css)


def upload(browser, page, path: Path) -> None:
    browser.get(page.address)
    wait_until(lambda: bool(found(browser, "#recording input[type=file]")), WAIT)
    found(browser, "#recording input[type=file]")[0].send_keys(str(path))


@pytest.mark.browser
def test_a_recording_is_uploaded_and_judged_and_nobody_else_is_asked(browser, page, emodb_folder):
    upload(browser, page, emodb_folder / "wav/03a01Wa.flac")
    wait_until(lambda: bool(found(browser, "#result h2")), WAIT)
    assert found(browser, "#result h2")[0].text.startswith("low 1.00")
    assert len(found(browser, "#result svg line")) == picture.COLUMNS
    assert [a.text for a in found(browser, "#result a")] == ["Download JSON", "Download CSV"]
    folder = Path(page.app.state.page_folder.name)
    wait_until(lambda: not list(folder.rglob("*.flac")), WAIT)  # the upload is gone
    events = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == SENT]
    asked = [url for url in asked if url.startswith("http") or url.startswith("ws")]
    assert len(asked) > 10 and all(url.startswith(page.address) for url in asked)
    assert not [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]


@pytest.mark.browser
def test_a_file_that_is_no_sound_is_one_message_on_the_page(browser, page, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"PK\3\4" + bytes(100))
    upload(browser, page, path)
    wait_until(lambda: bool(found(browser, "#result [role=alert]")), WAIT)
    assert "this is no sound that affekt knows" in found(browser, "#result [role=alert]")[0].text


@pytest.mark.browser
def test_the_page_fits_a_telephone_and_is_used_by_keyboard(browser, page):
    from selenium.webdriver.common.keys import Keys

    browser.get(page.address)
    wait_until(lambda: bool(found(browser, "#recording input[type=file]")), WAIT)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True},
    )
    width = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360
    reached = set()
    for _ in range(30):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        at = browser.switch_to.active_element
        reached.add(at.text.strip() or at.get_attribute("aria-label"))
        if at.text.strip() == "03a01Wa.flac":
            at.send_keys(Keys.ENTER)
            break
    wait_until(lambda: bool(found(browser, "#result h2")), WAIT)
    assert "1.88 s" in found(browser, "#result h2")[0].text
