"""Samples of a sound file, or an error that says what is wrong with it.

libsndfile decodes. What it does not know, such as AAC in .m4a or Opus in .webm, ffmpeg converts
where it is installed. Axis: S samples.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from io import BufferedIOBase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

from affekt import containers
from affekt.errors import AudioError, TooLongError

UNKNOWN = 2**40  # samples; libsndfile gives 2**63 - 1 for a FLAC that was written to a pipe
BLOCK = 2**20  # samples read at once: a damaged header may announce more than memory holds
# What soundfile and numpy raise on a damaged file, or on one of a kind they cannot guess.
DAMAGE = (soundfile.SoundFileError, OSError, ValueError, TypeError, ArithmeticError, MemoryError)
COPY = "copy it again from its source"
PATIENCE = 900.0  # seconds that ffmpeg may take
# What ffmpeg may take a file for: containers of sound, no playlists that name other files.
CONTAINERS = "aac,ac3,aiff,amr,ape,asf,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,wav,webm,wv"

Source = Path | BufferedIOBase


def decode(
    source: Source, start: float = 0.0, end: float | None = None, *, longest: float | None = None
) -> tuple[np.ndarray, int]:
    """Samples (S, channels) in float32 at the file's own rate, and that rate.

    Args:
        source: a file, or one that is open for reading bytes and can be sought in.
        start: seconds.
        end: seconds; None for the end of the file.
        longest: seconds that there may be of a whole file.

    Raises:
        AudioError: "file: what is wrong; what would do" for a file that is missing, empty, not
            audio, damaged, truncated, not finite or too long, and for a span that is not in it.
    """
    with _opened(source, longest) as found:
        return _finite(_stretch(found, start, end, longest), found.name), found.rate


def blocks(source: Source) -> Iterator[tuple[np.ndarray, int]]:
    """The same, some samples (S, channels) at a time: a file may be longer than memory.

    Raises:
        AudioError: as `decode`, where the block is reached that is wrong.
    """
    with _opened(source) as found:
        count = 0
        while len(block := found.file.read(BLOCK, dtype="float32", always_2d=True)):
            count += len(block)
            yield _finite(block, found.name), found.rate
        _place(found, 0.0, None, total=count)
        if found.exact:
            _refuse_early_end(found, count, found.file.frames)


def name_of(source: object) -> str:
    """What a file is called in messages."""
    return str(source if isinstance(source, Path) else getattr(source, "name", "the audio given"))


class _Stream(soundfile.SoundFile):
    """Reads on without asking for its place: in a FLAC of unknown length that is an error."""

    def seekable(self) -> bool:
        return False


class _Lenient:
    """An open file where a damaged header may send libsndfile before its start: it stays put.

    What is raised within a callback would be printed, and reach nobody.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self.file = file
        self.name = name_of(file)
        self.read, self.readinto, self.tell = file.read, file.readinto, file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        """To a place that there is."""
        try:
            return self.file.seek(offset, whence)
        except (ValueError, OSError, OverflowError):
            return self.file.tell()


@dataclass(frozen=True)
class _Found:
    """A file that was opened."""

    file: _Stream
    name: str
    exact: bool  # whether it holds as many samples as it says; if not, its end is where it ends

    @property
    def rate(self) -> int:
        return self.file.samplerate


@contextmanager
def _opened(source: Source, longest: float | None = None) -> Iterator[_Found]:
    """The file, its container looked at; damage that shows within is told of as well."""
    name = name_of(source)
    if isinstance(source, Path) and not source.is_file():
        raise _unusable(name, "no such file", "check where it should lie")
    with ExitStack() as until_read:
        try:
            yield _open(source, name, until_read, longest)
        except DAMAGE as e:
            reason = getattr(e, "error_string", str(e)).strip().rstrip(".").replace(";", ",")
            advice = "affekt reads .wav .flac .ogg .mp3, so convert it or copy it again"
            raise _unusable(name, f"not readable as audio ({reason})", advice) from e


def _open(source: Source, name: str, until_read: ExitStack, longest: float | None) -> _Found:
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
        if not file.seek(0, 2):
            raise _unusable(name, "the file is empty", COPY)
        promise = containers.promise(file)
        file.seek(0)
    if promise == "cut":
        raise _unusable(name, "the file is truncated", COPY)
    if promise == "none":
        what = "an MP3 of varying bit rate that does not say its length"
        raise _unusable(name, what, "convert it to .wav or .flac")
    given: Any = source if isinstance(source, Path) else _Lenient(source)
    try:
        stream = _Stream(given)
    except soundfile.LibsndfileError:
        if not (ffmpeg := _ffmpeg()):
            raise
        folder = until_read.enter_context(TemporaryDirectory(prefix="affekt-"))
        made = _converted(ffmpeg, source, Path(folder), longest)
        stream, promise = _Stream(made), "kept"
    until_read.enter_context(stream)
    return _Found(stream, name, promise == "kept" and stream.frames < UNKNOWN)


def _ffmpeg() -> str | None:
    """The program, of the system or of the package imageio-ffmpeg, if there is one."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        return import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except ImportError:
        return None


def _converted(ffmpeg: str, source: Source, folder: Path, longest: float | None) -> Path:
    """The first sound in the file as WAV, at its own rate and with its channels.

    Of one that is too long, a second more than there may be, which shows it.
    """
    path = source if isinstance(source, Path) else folder / "given"
    if not isinstance(source, Path):
        source.seek(0)
        with path.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    made = folder / "made.wav"
    command = [ffmpeg, "-nostdin", "-v", "error", "-protocol_whitelist", "file"]
    command += ["-format_whitelist", CONTAINERS, "-i", f"file:{path}", "-map", "0:a:0"]
    if longest is not None:  # of somebody whose file may unfold to any size
        command += ["-t", f"{longest + 1.0:.3f}", "-ac", "1", "-ar", "16000"]
    command += ["-c:a", "pcm_s16le", "-rf64", "auto", str(made)]
    patience = PATIENCE if longest is None else min(PATIENCE, max(30.0, longest / 4))
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=patience)
    except subprocess.SubprocessError as e:
        raise OSError("neither libsndfile nor ffmpeg knows it as sound") from e
    return made


def _unusable(name: str, what: str, advice: str) -> AudioError:
    return AudioError(f"{name}: {what}; {advice}")


def _finite(samples: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(samples).all():
        raise _unusable(name, "holds NaN or infinite samples", "export it again as 16-bit PCM")
    return samples


def _stretch(found: _Found, start: float, end: float | None, longest: float | None) -> np.ndarray:
    """The samples (S, channels) of a file just opened from `start` to `end`."""
    file, rate = found.file, found.rate
    most = UNKNOWN if longest is None else round(longest * rate)
    whole = None  # where only reading tells how much there is
    if not found.exact:
        whole = _read(file, min(most + 1, file.frames if end is None else round(end * rate)))
    total = file.frames if whole is None else len(whole)
    first, last = _place(found, start, end, total=total)
    if last - first > most:
        advice = "cut it, or ask for a timeline of a long recording"
        raise TooLongError(f"{found.name}: longer than {longest:g} s; {advice}")
    if whole is not None:
        return whole[first:last]
    file.seek(first)
    samples = _read(file, last - first)
    _refuse_early_end(found, len(samples), last - first)
    return samples


def _refuse_early_end(found: _Found, count: int, promised: int) -> None:
    if count < promised:
        there, said = count / found.rate, promised / found.rate
        what = f"ends after {there:.2f} s of {said:.2f} s, the file is truncated"
        raise _unusable(found.name, what, COPY)


def _place(found: _Found, start: float, end: float | None, *, total: int) -> tuple[int, int]:
    """The first sample of a span and the one behind its last, in a file of `total` samples."""
    rate = found.rate
    first, last = round(start * rate), total if end is None else round(end * rate)
    if not total:
        what = "holds no samples, or its header does not say how many"
        raise _unusable(found.name, what, f"{COPY}, or convert it")
    if not 0 <= first < last <= total + rate // 10:  # 0.1 s of grace for rounded labels
        until = "its end" if end is None else f"{end} s"
        what = f"the span {start} s to {until} does not lie within the file's {total / rate:.2f} s"
        raise _unusable(found.name, what, "check start and end")
    return first, min(last, total)


def _read(file: _Stream, wanted: int) -> np.ndarray:
    """At most `wanted` samples (S, channels); memory only for those that are there."""
    read = []
    while not read or (wanted and len(read[-1]) == BLOCK):
        read.append(file.read(min(wanted, BLOCK), dtype="float32", always_2d=True))
        wanted -= len(read[-1])
    return np.concatenate(read)
