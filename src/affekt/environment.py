"""What the figures of a run were made with."""

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from affekt import threads
from affekt.recipe.places import PACKAGE, REPOSITORY


def environment() -> dict[str, Any]:
    """Versions, machine, commit, command and the time now."""

    def version(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    packages = ("affekt", "torch", "numpy", "scikit-learn", "opensmile")
    return {p: version(p) for p in packages} | {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "threads": threads.cores(),
        "commit": _commit(),
        "command": shlex.join(
            [Path(sys.argv[0]).name.replace("__main__.py", "affekt"), *sys.argv[1:]]
        ),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


def _commit() -> str | None:
    """The commit of the clone that affekt runs from, '+' behind it where files were changed."""
    if not (REPOSITORY / ".git").exists() or PACKAGE.parent.name != "src":
        return None
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
