"""Files that are whole or not there."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from affekt.errors import AffektError


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file: all of it or nothing, whoever else writes it at the same time.

    A link is followed. What is no file, such as /dev/stdout or a pipe, is written to as it is.
    """
    target = path.resolve()
    if _is_special(target):
        with target.open("wb") as file:
            file.write(content)
        return path
    draft = target.with_name(f".{target.name}.{uuid4().hex}.part")
    try:
        draft.write_bytes(content)
        draft.replace(target)
    except BaseException:  # also an interrupt
        draft.unlink(missing_ok=True)
        raise
    return path


def write(path: Path, text: str) -> Path:
    """Write text: all of it or, when interrupted, nothing."""
    return write_bytes(path, text.encode())


def write_json(path: Path, values: Any) -> Path:
    """Write values as JSON, one entry per line."""
    return write(path, json.dumps(values, indent=1, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path, error: type[AffektError]) -> dict[str, Any]:
    """The object in a JSON file that came with a model.

    Raises:
        error: there is none in it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as e:
        raise error(f"{path} is not JSON ({e}); copy it again") from e
    if not isinstance(found, dict):
        raise error(f"{path} holds no JSON object; copy it again")
    return found


@contextmanager
def drafted(path: Path) -> Iterator[TextIO]:
    """A file to write text to, bit by bit; it has its name once all went well."""
    if _is_special(path := path.resolve()):
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    draft = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            yield file
        draft.replace(path)
    except BaseException:  # also an interrupt
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def drafted_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill; once all went well it has the name, in place of what had it."""
    draft = folder.with_name(f".{folder.name}.{uuid4().hex}.part")
    draft.mkdir(parents=True)
    try:
        yield draft
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_special(path: Path) -> bool:
    """Whether something is there that must not be replaced: a device, a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()
