import json
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from affekt.cache.frames import FrameStore
from affekt.cache.space import room, size_of
from affekt.errors import AffektError

FIRST = "import sys, torch\nfrom affekt.cache.frames import FrameStore\n"


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def store() -> FrameStore:
    return FrameStore("tiny", {"model": "tiny"})


def frames(frames=7, *, layers=3, dim=8, seed=0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(layers, frames, dim, generator=generator)


def entries(store) -> list[Path]:
    return sorted(store.folder.glob("*.safetensors"))


def afresh(store) -> FrameStore:
    """The store as another process sees it."""
    return FrameStore("tiny", {"model": "tiny"}, storage=store.storage)


def python(script, *words) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", FIRST + script, *map(str, words)])


def test_frames_come_back_as_bfloat16_bit_for_bit(store):
    given = frames()
    store.put("a", given)
    for reader in (store, afresh(store)):
        found = reader.get("a")
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, given.bfloat16())
    assert store.get("b") is None


def test_part_of_a_padded_batch_is_kept_alone(store):
    batch = frames(50, layers=4)
    store.put("a", batch[:1, :5])
    store.put("b", batch[1:].transpose(1, 2).contiguous().transpose(1, 2)[:, 10:20])
    assert torch.equal(store.get("a"), batch[:1, :5].bfloat16())
    assert torch.equal(store.get("b"), batch[1:, 10:20].bfloat16())
    assert max(entry.stat().st_size for entry in entries(store)) < 900


def test_threads_may_put_at_the_same_time(store):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.put(str(n % 25), frames(n % 25 + 1)), range(100)))
    assert store.lengths(map(str, range(25))) == {str(n): n + 1 for n in range(25)}


def test_an_entry_is_a_safetensors_file_that_names_its_key(store):
    store.put("a", frames())
    [entry] = entries(store)
    assert torch.equal(load_file(entry)["frames"], frames().bfloat16())
    assert b'"key":"a"' in entry.read_bytes()
    assert json.loads((store.folder / "about.json").read_text()) == {
        "model": "tiny",
        "storage": "bf16",
    }


def test_int8_is_numpys_rounding_with_a_scale_per_layer_and_channel():
    store = FrameStore("tiny", {}, storage="int8")
    x = frames(50) * torch.logspace(-3, 3, 8)  # channels of very different size
    x[0, :, 2] = 0
    store.put("a", x)
    found = store.get("a")
    assert found.dtype == torch.bfloat16
    x = x.numpy()
    step = np.abs(x).max(1, keepdims=True) / 127
    kept = load_file(entries(store)[0])
    scale = kept["scale"].float().numpy()
    assert np.allclose(scale, np.maximum(step, 1.2e-38), rtol=2**-8)
    assert np.array_equal(kept["frames"].numpy(), np.rint(x / scale))
    assert np.all(np.abs(kept["frames"].numpy() * scale - x) <= scale / 2 * (1 + 1e-6))
    exact = torch.from_numpy(kept["frames"].numpy() * scale).bfloat16()
    assert torch.equal(found, exact)
    assert not found[0, :, 2].any()


def test_int8_refuses_what_it_cannot_hold():
    store = FrameStore("tiny", {}, storage="int8")
    x = frames()
    x[1, 2, 3] = torch.nan
    with pytest.raises(AffektError, match=r"frames of a have values that are NaN .* \"bf16\""):
        store.put("a", x)
    assert store.get("a") is None


def test_both_storages_of_one_name_lie_apart():
    whole, half = FrameStore("tiny", {}), FrameStore("tiny", {}, storage="int8")
    whole.put("a", frames(200, dim=64))
    assert half.get("a") is None
    half.put("a", frames(200, dim=64))
    sizes = [entries(s)[0].stat().st_size for s in (whole, half)]
    assert sizes[0] == pytest.approx(size_of(200, 3, 64), abs=400)
    assert sizes[1] == pytest.approx(size_of(200, 3, 64, storage="int8"), abs=400)


def test_lengths_are_those_of_whole_entries(store):
    for n in (5, 6, 7):
        store.put(f"{n}", frames(n))
    store.put("cut", frames(9))
    path = store._path("cut")
    path.write_bytes(path.read_bytes()[:-1])
    store._path("empty").touch()
    assert store.lengths(["7", "cut", "nobody", "5", "empty", "6", "7"]) == {"7": 7, "5": 5, "6": 6}
    assert afresh(store).lengths([]) == {}


def test_the_lengths_of_a_corpus_are_there_in_a_moment(store):
    keys = [f"utterance {n}" for n in range(5531)]
    store.put(keys[0], frames(4))
    content = entries(store)[0].read_bytes()
    for key in keys:
        store._path(key).write_bytes(content)
    begin = time.process_time()  # not of other processes
    found = afresh(store).lengths(keys)
    assert time.process_time() - begin < 3.0  # some 0.2 s on an idle core
    assert found == dict.fromkeys(keys, 4)


@pytest.mark.parametrize("storage", ["bf16", "int8"])
def test_any_flipped_bit_makes_an_entry_missing_and_never_gives_wrong_frames(storage, caplog):
    store = FrameStore("tiny", {"model": "tiny"}, storage=storage)
    store.put("a", frames(3, layers=2, dim=4))
    [entry] = entries(store)
    whole = entry.read_bytes()
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        entry.write_bytes(damaged)
        caplog.clear()
        assert afresh(store).get("a") is None, f"bit {bit}"
        assert "damaged" in caplog.text
        assert not entry.exists()


@pytest.mark.parametrize("left", [0, 4, 8, 60, 0.5, -2, -1])
def test_a_truncated_entry_is_missing_even_after_it_was_read(store, caplog, left):
    store.put("a", frames())
    assert store.get("a") is not None
    [entry] = entries(store)
    whole = entry.read_bytes()
    entry.write_bytes(whole[: int(left * len(whole)) if left == 0.5 else left])
    assert store.lengths(["a"]) == {}
    with caplog.at_level(logging.WARNING):
        assert store.get("a") is None
    assert "damaged" in caplog.text
    assert not entry.exists()
    store.put("a", frames())
    assert torch.equal(store.get("a"), frames().bfloat16())


def test_an_entry_under_another_key_is_not_taken_for_that_ones(store):
    store.put("a", frames())
    store._path("b").write_bytes(store._path("a").read_bytes())
    assert store.get("b") is None
    assert store.get("a") is not None


def test_what_another_process_replaced_is_verified_again(store):
    store.put("a", frames())
    assert store.get("a") is not None
    afresh(store).put("a", frames(9, seed=1))
    assert torch.equal(store.get("a"), frames(9, seed=1).bfloat16())
    [entry] = entries(store)
    content = bytearray(entry.read_bytes())
    content[-1] ^= 1
    entry.write_bytes(content)
    assert store.get("a") is None


def test_changing_the_frames_in_place_changes_nothing_on_disk(store):
    store.put("a", frames())
    store.get("a").zero_()
    assert torch.equal(store.get("a"), frames().bfloat16())


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads Linux's list of maps")
def test_no_entry_stays_mapped_when_its_frames_are_dropped(store):
    for n in range(20):
        store.put(f"{n}", frames(n + 1))
    kept = store.get("3")
    for n in range(20):
        store.get(f"{n}")
    maps = Path("/proc/self/maps").read_text()
    assert maps.count(str(store.folder)) == 1
    assert torch.equal(kept, frames(4).bfloat16())


def test_a_kill_loses_no_entry_whose_put_returned_and_leaves_no_other(store, tmp_path):
    done = tmp_path / "done"
    script = (
        "store = FrameStore('tiny', {'model': 'tiny'})\n"
        "with open(sys.argv[1], 'w') as done:\n"
        "    for n in range(100_000):\n"
        "        store.put(str(n), torch.full((4, 100, 256), float(n)))\n"
        "        print(n, file=done, flush=True)\n"
    )
    process = python(script, done)
    while not done.exists() or len(done.read_text().split()) < 20:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    returned = done.read_text().split("\n")[:-1]
    keys = [str(n) for n in range(len(returned) + 50)]
    there = store.lengths(keys)
    assert set(returned) <= set(there)
    assert len(there) <= len(returned) + 1  # the last one may have been killed before it told
    for key in keys:
        found = store.get(key)
        assert (found is not None) == (key in there)
        assert found is None or torch.equal(found, torch.full_like(found, float(key)))
    store.put(keys[-1], frames())
    assert torch.equal(store.get(keys[-1]), frames().bfloat16())


def test_abandoned_drafts_are_cleared_and_those_of_others_at_work_are_not(store):
    store.put("a", frames())
    old, new = store.folder / ".x.safetensors.1.part", store.folder / ".y.safetensors.2.part"
    for draft in (old, new):
        draft.write_bytes(b"half")
    os.utime(old, (0, 0))
    afresh(store).put("b", frames())
    assert (old.exists(), new.exists()) == (False, True)
    assert set(store.lengths("ab")) == {"a", "b"}


def test_two_processes_may_put_the_same_keys_at_the_same_time(store):
    script = (
        "store = FrameStore('tiny', {'model': 'tiny'})\n"
        "for n in range(50):\n"
        "    store.put(str(n), torch.full((4, 100, 256), float(n)))\n"
        "    assert store.get(str(n)).eq(n).all()\n"
    )
    processes = [python(script) for _ in range(2)]
    assert [p.wait(timeout=120) for p in processes] == [0, 0]
    assert len(store.lengths(map(str, range(50)))) == 50
    assert all(store.get(str(n)).eq(n).all() for n in range(50))
    assert {path.suffix for path in store.folder.iterdir()} == {".safetensors", ".json"}


FILLING = """
from affekt.errors import AffektError
store = FrameStore("tiny", {}, storage=sys.argv[1])
try:
    for n in range(100):
        store.put(str(n), torch.full((4, 100, 256), float(n)))
except AffektError as e:
    print(e)
there = store.lengths(map(str, range(100)))
assert set(there) == {str(i) for i in range(n)}, there
assert all(store.get(key).eq(float(key)).all() for key in there)
assert not list(store.folder.glob(".*")), list(store.folder.iterdir())
print(len(there))
"""


def test_a_full_disk_is_one_message_that_says_what_would_do_and_leaves_no_half_entry(tmp_path):
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = f'mount -t tmpfs -o size=1M none {tmp_path} && exec "$@"'
    try:
        subprocess.run([*command, mount, "sh", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk cannot be mounted here")
    words = [sys.executable, "-c", FIRST + FILLING, "bf16"]
    done = subprocess.run(
        [*command, mount, "sh", *words], capture_output=True, text=True, check=True
    )
    message, entries = done.stdout.splitlines()
    assert f"the cache {tmp_path}/cache/frames/tiny-bf16 is full" in message
    assert "No space left on device): the next entry needs 205" in message
    assert (
        "set AFFEKT_CACHE to another folder that you can write to, or choose storage =" in message
    )
    assert int(entries) == 5  # of 205 kB each in one MiB


def test_a_file_that_may_not_grow_is_the_same_error(tmp_path):
    limited = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
    )
    words = [sys.executable, "-c", FIRST + limited + FILLING, "int8"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    message, entries = done.stdout.splitlines()
    assert "tiny-int8 is full ([Errno 27] File too large): the next entry needs" in message
    assert 'storage = "int8"' not in message
    assert int(entries) == 0


def test_a_folder_that_cannot_be_made_says_what_would_do(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AFFEKT_CACHE", str(tmp_path / "file"))
    store = FrameStore("tiny", {})
    assert store.lengths(["a"]) == {}
    for use in (lambda: store.put("a", frames()), lambda: store.get("a")):
        with pytest.raises(AffektError, match=r"tiny-bf16 cannot be used .* set AFFEKT_CACHE"):
            use()


def test_nothing_is_made_before_the_first_put(store):
    assert store.get("a") is None
    assert store.lengths(["a"]) == {}
    assert not store.folder.exists()


def test_a_store_that_is_removed_while_it_is_used_is_made_anew(store):
    store.put("a", frames())
    for path in store.folder.iterdir():
        path.unlink()
    store.folder.rmdir()
    assert store.get("a") is None
    store.put("b", frames())
    assert (store.folder / "about.json").exists()
    assert store.lengths("ab") == {"b": 7}


def test_room_is_what_the_disk_has_free_where_the_folder_will_be(tmp_path):
    stat = os.statvfs(tmp_path)
    assert room(tmp_path / "not" / "there") == pytest.approx(
        stat.f_bavail * stat.f_frsize, rel=0.05
    )


def test_frames_are_read_straight_into_part_of_a_batch(store):
    given = frames(7)
    store.put("a", given)
    batch = torch.zeros(2, 3, 9, 8, dtype=torch.bfloat16)
    assert not afresh(store).read_into("a", batch[1, :, :7])  # nobody has verified it
    assert store.get("a") is not None
    assert store.read_into("a", batch[1, :, :7])
    assert torch.equal(batch[1, :, :7], given.bfloat16())
    assert not batch[0].any() and not batch[1, :, 7:].any()


def test_nothing_is_read_into_rows_of_another_size_or_from_what_was_replaced(store):
    store.put("a", frames(7))
    store.get("a")
    for odd in (6, 8):
        assert not store.read_into("a", torch.zeros(3, odd, 8, dtype=torch.bfloat16))
    rows = torch.zeros(3, 7, 8, dtype=torch.bfloat16)
    assert not store.read_into("b", rows)
    (path,) = entries(store)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert not store.read_into("a", rows)
    assert not rows.any()
