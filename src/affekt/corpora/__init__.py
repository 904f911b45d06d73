"""Corpora by name: read one, list their cards, check a folder against the published counts."""

from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from affekt import parts
from affekt.corpora.card import Card
from affekt.corpora.check import CheckReport, Finding, Progress, inspect
from affekt.errors import CorpusError, choose
from affekt.types import Corpus

__all__ = ["READERS", "Card", "CheckReport", "Finding", "cards", "check", "listed", "read"]

READERS: dict[str, str] = {
    "iemocap": "affekt.corpora.iemocap:read",
    "casia": "affekt.corpora.casia:read",
    "emodb": "affekt.corpora.emodb:read",
    "ravdess": "affekt.corpora.ravdess:read",
    "esd": "affekt.corpora.esd:read",
    "nemo": "affekt.corpora.nemo:read",
    "manifest": "affekt.corpora.manifest:read",
    "folders": "affekt.corpora.folders:read",
    "audformat": "affekt.corpora.audformat:read",
    "huggingface": "affekt.corpora.huggingface:read",
    "emobox": "affekt.corpora.emobox:read",
}


def card(name: str) -> Card:
    """What is published about the corpus `name`."""
    module = choose(READERS, name, "corpus", CorpusError).partition(":")[0]
    return import_module(module).CARD


def cards() -> list[Card]:
    """The cards of all corpora, in the order of READERS."""
    return [card(name) for name in READERS]


def read(name: str, folder: Path | str, **options: Any) -> Corpus:
    """The corpus `name` in `folder`; every recording exists, every id is its own.

    Args:
        name: in READERS.
        folder: as the layout of the corpus's card shows it.
        options: keyword arguments of the reader.

    Raises:
        CorpusError: no such corpus or folder, another layout, a missing recording.
    """
    corpus = listed(name, folder, **options)
    missing = [u.audio for u in corpus if not u.audio.is_file()]
    if missing:
        raise CorpusError(
            f"{len(missing)} of the {len(corpus)} recordings that {folder} lists are not there, "
            f"such as {missing[0]}; copy them, or take them out of the list"
        )
    return corpus


def listed(name: str, folder: Path | str, **options: Any) -> Corpus:
    """As `read`, but the recordings that `folder` lists need not exist."""
    folder = Path(folder).expanduser()
    choose(READERS, name, "corpus", CorpusError)
    if not folder.exists():
        raise CorpusError(
            f"no folder {folder}; give one that holds {name}, such as {card(name).layout[0]}"
        )
    corpus = parts.build(READERS, parts.Section(name=name, **options), "corpus", folder)
    for key, n in Counter(u.id for u in corpus).items():
        if n > 1:
            first, second = [u.audio for u in corpus if u.id == key][:2]
            raise CorpusError(
                f"{folder} holds two utterances called {key}: {first} and {second}; "
                "give the folder of one copy, or name them in a column id"
            )
    return corpus


def check(
    name: str, folder: Path | str, *, progress: Progress | None = None, **options: Any
) -> CheckReport:
    """What is wrong with the corpus `name` in `folder`; decodes every recording.

    Args:
        name: in READERS.
        folder: as for `listed`.
        progress: called with the number of utterances done and their total.
        options: keyword arguments of the reader.
    """
    corpus = listed(name, folder, **options)
    return inspect(corpus, card(name).variant(options), progress)
