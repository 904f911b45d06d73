"""How a corpus is divided into train, dev and test: protocols by name, and folds as data.

A protocol is a function Corpus -> [Fold]; its keyword arguments are what a recipe's section
`protocol = { name = "..." }` may hold. Its folds depend on the utterances and the seed alone, not
on their order or the machine. A protocol that lets train and test share speakers says so in its
name or in an option.
"""

from collections.abc import Callable

from affekt.protocols.deep_wccn import deep_wccn
from affekt.protocols.divisions import (
    leave_one_language_out,
    leave_one_session_out,
    leave_one_speaker_out,
    official,
    random_k_fold_shares_speakers,
    speaker_k_fold,
    split_files,
)
from affekt.protocols.few_shot import few_shot
from affekt.protocols.folds import SIDES, read, saved, to_json, whole, write
from affekt.protocols.languages import balanced, refuse_lacking, repeats, test_on, train_on
from affekt.types import Fold

__all__ = [
    "PROTOCOLS",
    "SIDES",
    "balanced",
    "few_shot",
    "read",
    "refuse_lacking",
    "repeats",
    "test_on",
    "to_json",
    "train_on",
    "whole",
    "write",
]

PROTOCOLS: dict[str, Callable[..., list[Fold]]] = {
    "leave-one-session-out": leave_one_session_out,
    "leave-one-speaker-out": leave_one_speaker_out,
    "speaker-k-fold": speaker_k_fold,
    "deep-wccn": deep_wccn,
    "random-k-fold-shares-speakers": random_k_fold_shares_speakers,
    "leave-one-language-out": leave_one_language_out,
    "official": official,
    "split-files": split_files,
    "saved": saved,
}
