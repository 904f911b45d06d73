"""Every error that affekt raises on purpose.

AffektError            a user's mistake: one message that says what, what was given, what would do
  RecipeError          a recipe, or a part named in one
  CorpusError          a folder or manifest that is not what it should be
  AudioError           a recording that cannot be used
    TooLongError       one that is longer than it may be
  EncoderError         a checkpoint that is missing, or not what it should be
  ModelError           a model folder that is missing, not whole, or not what it should be
  ProtocolError        a division of a corpus that cannot be made, or that leaks
  RunError             a run folder that is missing, incomplete or does not fit the request
  MissingExtraError    an optional package that is not installed
"""

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


class AffektError(Exception):
    """A user's mistake; the message says what is wrong, what was given and what would do."""


class RecipeError(AffektError):
    """A recipe, or a part named in one, is not valid."""


class CorpusError(AffektError):
    """A corpus folder or manifest is not what it should be."""


class AudioError(AffektError):
    """A recording cannot be used."""


class TooLongError(AudioError):
    """A recording is longer than it may be."""


class EncoderError(AffektError):
    """A checkpoint is missing, or is not what it should be."""


class ModelError(AffektError):
    """A model folder is missing, not whole, or not what it should be."""


class ProtocolError(AffektError):
    """A division of a corpus cannot be made, or leaks."""


class RunError(AffektError):
    """A run folder is missing, incomplete, or does not fit the request."""


class MissingExtraError(AffektError):
    """An optional package is not installed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean 'x'?' for the closest known name, or nothing.

    >>> nearest("epoch", ["epochs", "steps"])
    " Did you mean 'epochs'?"
    """
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def choose(
    table: Mapping[str, T], name: str, what: str, error: type[AffektError] = RecipeError
) -> T:
    """The entry of `table` called `name`.

    Raises:
        AffektError: the name is not in the table; the message lists those that are.
    """
    if name in table:
        return table[name]
    raise error(
        f"{what} '{name}' is not known; choose from {', '.join(table)}.{nearest(name, table)}"
    )


def optional(module: str, extra: str) -> ModuleType:
    """The imported module, or an error that names the extra which installs it."""
    try:
        return import_module(module)
    except ImportError as e:
        raise MissingExtraError(
            f'{module} is not installed; run: pip install "affekt[{extra}]"'
        ) from e
