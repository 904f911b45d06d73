"""Whatever somebody has of a recording, as a signal: a path, bytes, an open file, samples.

Axes: S samples, C channels.
"""

from collections.abc import Mapping
from io import BufferedIOBase, BytesIO, TextIOBase
from pathlib import Path
from typing import Any

import numpy as np

from affekt import audio
from affekt.audio import Signal
from affekt.decoding import decode, name_of
from affekt.errors import AudioError, TooLongError

Given = Any  # whatever comes in: it is looked at here
MANY = 64  # channels of a recording, at most: the longer axis is time
LOUDEST = 8.0  # of floats in [-1, 1]: far above, they are integers that lost their type


def signal(given: Given, *, longest: float | None = None) -> Signal:
    """The signal (S,) at 16 kHz.

    Args:
        given: a path; the bytes of a sound file, or one that is open; samples (S,), (S, C) or
            (C, S) with their rate in Hz, as a pair or as a mapping with "array" or "raw", and
            "sampling_rate".
        longest: seconds that there may be.

    Raises:
        AudioError: it cannot be read, is shorter than `affekt.audio.SHORTEST`, or too long
            (TooLongError).
    """
    if isinstance(given, tuple):
        return _of_samples(*_pair(given), longest)
    if isinstance(given, Mapping):
        return _of_mapping(given, longest)
    source = opened(given)
    return audio.mono(*decode(source, longest=longest), name_of(source))


def opened(given: Given) -> Path | BufferedIOBase:
    """What can be decoded of a path, bytes, or an open file."""
    if isinstance(given, str | Path):
        if not str(given):
            raise AudioError("an empty path; give a file")
        if str(given).startswith(("http://", "https://")):
            raise AudioError(f"{given}: affekt downloads nothing; fetch it first, give the file")
        return Path(given).expanduser()
    if isinstance(given, bytes | bytearray | memoryview):
        return BytesIO(given)
    if hasattr(given, "read"):
        if getattr(given, "closed", False):
            raise AudioError("a file that is closed; open it again")
        if isinstance(given, TextIOBase):
            raise AudioError("a file that is open as text; open it as bytes: open(path, 'rb')")
        whole = isinstance(given, BufferedIOBase) and given.seekable()
        return given if whole else BytesIO(given.read())
    raise AudioError(
        f"{_kind(given)} is no recording; give a path, the bytes of a sound file, an open file, or "
        "samples with their rate: (samples, rate)"
    )


def label(given: Given) -> str:
    """What a recording is called in results."""
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping):
        return str(given.get("path") or "samples")
    return "samples" if isinstance(given, tuple) else name_of(given)


def _pair(given: tuple[Any, ...]) -> tuple[Any, Any]:
    if len(given) == 2:
        first, second = given
        if isinstance(first, int | float | np.integer):
            raise AudioError("(rate, samples) given; turn it around: (samples, rate)")
        return first, second
    raise AudioError(f"a tuple of {len(given)} is no recording; give (samples, rate)")


def _of_mapping(given: Mapping[str, Any], longest: float | None) -> Signal:
    for key in ("array", "raw"):
        if given.get(key) is not None:
            return _of_samples(given[key], given.get("sampling_rate"), longest)
    for key in ("bytes", "path"):
        if given.get(key) is not None:
            return signal(given[key], longest=longest)
    raise AudioError(
        f"a mapping with {', '.join(map(str, given)) or 'nothing'} is no recording; give "
        '{"array": samples, "sampling_rate": rate}, {"path": ...} or {"bytes": ...}'
    )


def _of_samples(samples: Any, rate: Any, longest: float | None) -> Signal:
    if not isinstance(rate, int | float | np.integer | np.floating) or not 0 < rate < 1e7:
        raise AudioError(f"samples at a rate of {rate!r}; give their rate in Hz, such as 16000")
    if hasattr(samples, "detach"):  # a tensor; NumPy has no bfloat16
        samples = samples.detach().cpu()
        samples = samples.float() if samples.is_floating_point() else samples
    found = np.asarray(samples)
    _refuse_other(found, "give numbers (S,), (S, C) or (C, S)")
    table = found[:, None] if found.ndim == 1 else found
    table = table.T if table.shape[0] < table.shape[1] else table
    scaled = checked(table, "the samples")
    if longest is not None and len(scaled) > longest * rate:
        raise TooLongError(f"the samples are {len(scaled) / rate:.1f} s long; give {longest:g} s")
    return audio.mono(scaled, int(rate), "the samples given")


def checked(table: np.ndarray, name: str) -> np.ndarray:
    """Samples (S, C) as float32 in [-1, 1]; integers are taken by the range of their type.

    Raises:
        AudioError: they are not finite, far too loud, or no samples at all.
    """
    _refuse_other(table, "give numbers (S,) or (S, C)")
    if table.ndim == 2 and table.shape[1] > MANY:
        raise AudioError(f"samples of shape {table.shape}: {table.shape[1]} channels; give one")
    scaled = _scaled(table)
    if not np.isfinite(scaled).all():
        raise AudioError(f"{name}: holds NaN or infinite numbers; give finite ones")
    if (loudest := float(np.abs(scaled).max())) > LOUDEST:
        raise AudioError(
            f"{name}: floats up to {loudest:g}; give them in [-1, 1], or 16-bit samples as int16"
        )
    return scaled


def _refuse_other(found: np.ndarray, advice: str) -> None:
    if found.dtype.kind not in "iuf" or found.ndim not in (1, 2) or not found.size:
        raise AudioError(f"{found.dtype} of shape {found.shape} are no samples; {advice}")


def _scaled(table: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1]; integers by the range of their type."""
    if table.dtype.kind == "f":
        return table.astype(np.float32)
    if table.dtype.itemsize > 4:  # what NumPy and lists make of any integers
        raise AudioError(
            f"{table.dtype} samples have no agreed range; give int16 or int32, or floats in [-1, 1]"
        )
    half = 2.0 ** (8 * table.dtype.itemsize - 1)
    centred = table.astype(np.float64) - (half if table.dtype.kind == "u" else 0.0)
    return (centred / half).astype(np.float32)


def _kind(given: object) -> str:
    if isinstance(given, np.ndarray):
        return "an array without its rate"
    return f"a {type(given).__name__}"
