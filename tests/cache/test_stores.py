import os
import re
import time
from datetime import UTC, datetime

import pytest
import torch

from affekt.cache import stores
from affekt.cache.frames import FrameStore
from affekt.errors import AffektError

DAY = 86400


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def two() -> list[FrameStore]:
    """One used now, one used 40 days ago."""
    made = [
        FrameStore("wavlm-base", {"model": "microsoft/wavlm-base", "revision": "main"}),
        FrameStore("old", {"model": "old"}, storage="int8"),
    ]
    for n, store in enumerate(made, 1):
        for key in range(n):
            store.put(str(key), torch.zeros(2, 100, 64))
    then = time.time() - 40 * DAY
    os.utime(made[1].folder / "about.json", (then, then))
    return made


def test_stores_are_listed_with_what_they_hold(two):
    old, new = stores.stores()
    assert (old.name, old.entries, old.about["storage"]) == ("old-int8", 2, "int8")
    assert (new.name, new.entries, new.about["model"]) == (
        "wavlm-base-bf16",
        1,
        "microsoft/wavlm-base",
    )
    assert new.size == sum(path.stat().st_size for path in two[0].folder.iterdir())
    assert (datetime.now(UTC) - old.used).days == 40


def test_reading_counts_as_use(two):
    FrameStore("old", {}, storage="int8").get("0")
    assert stores.remove_unused(30.0) == []


def test_what_was_not_used_for_long_is_removed(two):
    assert [store.name for store in stores.remove_unused(30.0)] == ["old-int8"]
    assert [store.name for store in stores.stores()] == ["wavlm-base-bf16"]


def test_a_store_without_its_description_is_listed_and_removed(two):
    (two[0].folder / "about.json").unlink()
    (two[1].folder / "about.json").write_text("half {")
    assert [store.about for store in stores.stores()] == [{}, {}]
    stores.remove("wavlm-base-bf16")
    assert not two[0].folder.exists()


def test_only_a_store_can_be_removed(two, own_cache):
    (own_cache / "functionals.sqlite").write_bytes(b"rows")
    for name in ("../functionals.sqlite", "..", "", "wavlm-base"):
        with pytest.raises(AffektError, match="is not known; choose from old-int8"):
            stores.remove(name)
    assert (own_cache / "functionals.sqlite").exists()


def test_the_command_lists_stores_with_their_sizes(affekt, two, own_cache):
    (own_cache / "functionals.sqlite").write_bytes(bytes(5_000_000))
    code, out, _ = affekt("cache")
    assert code == 0
    assert re.search(r"old-int8 2 \S+ kB 40 days ago int8 old ", out)
    assert re.search(r"wavlm-base-bf16 1 \S+ kB today bf16 microsoft/wavlm-base ", out)
    assert "functionals of openSMILE: 5.0 MB" in out
    assert f"together: 5.1 MB in {own_cache}" in out


def test_the_command_says_where_nothing_is(affekt, own_cache):
    assert affekt("cache") == (0, f"Nothing is kept in {own_cache}.", "")
    code, _, err = affekt("cache", "--remove", "wavlm")
    assert (code, "there are no frames in" in err) == (1, True)


def test_the_command_removes_by_name_and_by_age(affekt, two):
    code, out, _ = affekt("cache", "--unused", 30)
    assert code == 0
    assert "Removed old-int8" in out
    code, out, _ = affekt("cache", "--remove", "wavlm-base-bf16")
    assert code == 0
    assert "Removed wavlm-base-bf16" in out
    assert stores.stores() == []
    code, _, err = affekt("cache", "--remove", "wavlm-base-bf16")
    assert code == 1


def test_the_command_needs_a_number_of_days_that_makes_sense(affekt, two):
    assert affekt("cache", "--unused", -1)[0] == 2
    assert len(stores.stores()) == 2
