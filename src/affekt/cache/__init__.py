"""What was computed once and need not be computed again.

The folder is $AFFEKT_CACHE, or `affekt` in the cache folder that the platform gives a user.
"""

import os
import sys
from pathlib import Path


def folder() -> Path:
    """The cache folder of this user; it need not exist yet."""
    if chosen := os.environ.get("AFFEKT_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "affekt"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/affekt"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "affekt"


def functionals() -> Path:
    """The SQLite file of openSMILE functionals; it need not exist yet."""
    return folder() / "functionals.sqlite"
