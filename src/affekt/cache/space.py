"""Bytes: what frames take on disk, and what is free there.

Axes: L layers, T frames, D channels.
"""

import shutil
from pathlib import Path
from typing import Literal

Storage = Literal["bf16", "int8"]


def size_of(frames: int, layers: int, dim: int, *, storage: Storage = "bf16") -> int:
    """Bytes that one entry of so many frames takes, but for its header of some 300 bytes.

    >>> size_of(200, 13, 768)
    3993600
    """
    channels = layers * dim
    return channels * frames * 2 if storage == "bf16" else channels * (frames + 2)


def room(path: Path) -> int:
    """Free bytes on the disk where `path` lies or will lie."""
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free
