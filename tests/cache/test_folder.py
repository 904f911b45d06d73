import sys
from pathlib import Path

from affekt import cache


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("AFFEKT_CACHE", str(tmp_path / "mine"))
    assert cache.folder() == tmp_path / "mine"
    monkeypatch.delenv("AFFEKT_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "affekt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == Path.home() / ".cache" / "affekt"
