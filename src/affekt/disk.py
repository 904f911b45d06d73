"""Text files that are whole or not there."""

import json
from pathlib import Path
from typing import Any


def write(path: Path, text: str) -> Path:
    """Write a file: all of it or, when interrupted, nothing."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    return path


def write_json(path: Path, values: Any) -> Path:
    """Write values as JSON, one entry per line."""
    return write(path, json.dumps(values, indent=1, ensure_ascii=False, default=str) + "\n")
