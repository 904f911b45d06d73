"""The stores of frames in the cache folder: which there are, and their removal."""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from affekt import cache
from affekt.errors import AffektError, choose

ABOUT = "about.json"  # its time of change says when the store was last used
ENTRY = ".safetensors"


@dataclass(frozen=True)
class Store:
    """The frames of one encoder with one choice of settings."""

    name: str
    about: dict[str, Any]  # the settings, for people
    entries: int
    size: int  # bytes
    used: datetime


def folder() -> Path:
    """Where the stores of this user lie; it need not exist yet."""
    return cache.folder() / "frames"


def stores() -> list[Store]:
    """All stores, by name."""
    found = sorted(folder().iterdir()) if folder().is_dir() else []
    return [_store(path) for path in found if path.is_dir()]


def _store(path: Path) -> Store:
    sizes = [(file.name, size) for file in path.iterdir() if (size := _size(file)) is not None]
    about = path / ABOUT
    try:
        told = json.loads(about.read_text(encoding="utf-8"))
        used = about.stat().st_mtime
    except (OSError, ValueError):  # a store does not need it
        told, used = {}, path.stat().st_mtime
    return Store(
        name=path.name,
        about=told if isinstance(told, dict) else {},
        entries=sum(name.endswith(ENTRY) for name, _ in sizes),
        size=sum(size for _, size in sizes),
        used=datetime.fromtimestamp(used, UTC),
    )


def _size(file: Path) -> int | None:
    """Bytes; nothing for what went away meanwhile, such as a draft that became an entry."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None


def remove(name: str) -> Store:
    """The store that was removed.

    Raises:
        AffektError: there is none of this name, or it cannot be removed.
    """
    known = {store.name: store for store in stores()}
    if not known:
        raise AffektError(f"store '{name}' is not known; there are no frames in {folder()}")
    gone = choose(known, name, "store", AffektError)
    try:
        shutil.rmtree(folder() / name)
    except OSError as e:
        raise AffektError(
            f"the store {folder() / name} cannot be removed ({e}); "
            "end what uses it, or remove the folder as its owner"
        ) from e
    return gone


def remove_unused(days: float) -> list[Store]:
    """The stores that were removed: those that nothing has used for so many days."""
    since = datetime.now(UTC) - timedelta(days=days)
    return [remove(store.name) for store in stores() if store.used < since]
