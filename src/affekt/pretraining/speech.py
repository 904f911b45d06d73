"""The speech that a pre-training hears: found once, read piece by piece, never as a whole.

An utterance is a recording, or a part of one that is longer than LONGEST.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affekt import audio, disk
from affekt.audio import RATE, Signal
from affekt.corpora.files import recordings
from affekt.decoding import decode
from affekt.errors import AudioError, CorpusError, RunError
from affekt.threads import in_turn

LONGEST = 60 * RATE  # samples; longer recordings are cut into several utterances
MARGIN = RATE // 10  # samples around a piece, so that resampling does not know that it is one
GRID = 640  # samples; at a multiple of it a sample stands in 8, 11.025, 22.05, 44.1, 48 kHz as well

# What is going on, how much is done, of how much, and perhaps what else there is to say.
Progress = Callable[..., None]


class Utterances:
    """All utterances by number.

    Args:
        index: what `look` found.
    """

    def __init__(self, index: dict[str, Any]) -> None:
        self.folders = [Path(name) for name in index["folders"]]
        self.left_out: dict[str, str] = index["left_out"]  # why, by recording
        self.short: int = index["short"]  # recordings left out for that
        self.twice: int = index["twice"]  # that sound like another one
        self.files: list[Path] = []
        lengths: list[int] = []
        for folder, found in index["folders"].items():
            self.files += [Path(folder) / name for name in found]
            lengths += found.values()
        self._whole = np.array(lengths, np.int64)
        parts = -(-self._whole // LONGEST)
        self._file = np.repeat(np.arange(len(lengths)), parts)
        self.lengths = (self._whole // parts)[self._file]  # samples
        first = np.repeat(parts.cumsum() - parts, parts)
        self._start = (np.arange(len(self._file)) - first) * self.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def names(self) -> list[str]:
        """What the folders are called."""
        return [folder.name for folder in self.folders]

    @property
    def hours(self) -> float:
        """How much there is to hear."""
        return float(self.lengths.sum() / RATE / 3600)

    def read(self, number: int, first: int = 0, length: int | None = None) -> Signal:
        """The samples (`length`,) of an utterance from its sample `first` on; all without."""
        length = int(self.lengths[number]) if length is None else length
        file = self._file[number]
        at = int(self._start[number]) + first
        start = max(0, (at - MARGIN) // GRID * GRID)
        end = at + length + MARGIN
        until = end / RATE if end < self._whole[file] else None
        wave = audio.read(self.files[file], start=start / RATE, end=until)[at - start :][:length]
        return np.pad(wave, (0, length - len(wave)))  # a resampler may round the length down


def find(folders: Sequence[Path], out: Path, *, shortest: float, progress: Progress) -> Utterances:
    """The utterances under the folders; what was found is kept in `out`/speech.json.

    Args:
        folders: each with any number of recordings.
        out: of the run.
        shortest: seconds; shorter recordings are left out.
        progress: is told how many recordings were looked at.

    Raises:
        CorpusError: no such folder, no recordings in it, or all of them too short.
        RunError: `out` holds a run on other folders.
    """
    named = list(dict.fromkeys(folder.expanduser().resolve() for folder in folders))
    kept = out / "speech.json"
    if kept.exists():
        index = json.loads(kept.read_text(encoding="utf-8"))
        if list(index["folders"]) != list(map(str, named)):
            raise RunError(
                f"{out}: holds a run on other folders: {', '.join(index['folders'])}; give the "
                "same with --speech, choose another folder with --out, or start over with "
                "--overwrite"
            )
        return Utterances(index)
    index = look(named, shortest=shortest, progress=progress)
    disk.write_json(kept, index)
    return Utterances(index)


def look(folders: Sequence[Path], *, shortest: float, progress: Progress) -> dict[str, Any]:
    """{folder: {recording: samples at 16 kHz}}, and what was left out.

    Every recording is decoded, by all cores: a header tells neither damage nor, in some formats,
    the length. Of recordings that sound the same the first one is taken.
    """
    where = [(folder, path) for folder in folders for path in _recordings(folder)]
    found: dict[str, dict[str, int]] = {str(folder): {} for folder in folders}
    left_out: dict[str, str] = {}
    heard: set[str] = set()
    short = twice = 0
    paths = (path for _, path in where)
    for n, ((folder, path), made) in enumerate(zip(where, in_turn(_measured, paths), strict=True)):
        progress("listening", n, len(where))
        if isinstance(made, AudioError):
            left_out[str(path)] = str(made)
            continue
        samples, key = made
        if key in heard:
            twice += 1
        elif samples < shortest * RATE:
            short += 1
        else:
            found[str(folder)][path.relative_to(folder).as_posix()] = samples
        heard.add(key)
    if not any(found.values()):
        raise CorpusError(
            f"no speech of {shortest:g} s or more under {', '.join(map(str, folders))}: "
            f"{short} of {len(where)} recordings are shorter, {len(left_out)} cannot be read; "
            "lower training.pieces, or give other folders with --speech"
        )
    return {"folders": found, "left_out": left_out, "short": short, "twice": twice}


def _recordings(folder: Path) -> list[Path]:
    if folder.is_file():
        raise CorpusError(f"--speech {folder}: a file; give the folder that holds the recordings")
    if not folder.is_dir():
        raise CorpusError(f"--speech {folder}: no such folder; give one with recordings of speech")
    found = recordings(folder)
    if not found:
        endings = ", ".join(audio.ENDINGS)
        raise CorpusError(f"--speech {folder}: no speech in it; expected files such as {endings}")
    return found


def _measured(path: Path) -> tuple[int, str] | AudioError:
    """How many samples a recording has at 16 kHz and a key of what it sounds like."""
    try:
        samples, rate = decode(path)
    except AudioError as e:
        return e
    return len(samples) * RATE // rate, audio.hash_of(samples)
