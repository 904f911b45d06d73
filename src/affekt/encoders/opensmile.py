"""openSMILE functionals: one vector per utterance, the features of the classical baselines.

Eyben et al. 2010 (openSMILE, emobase) and 2016 (eGeMAPS), Schuller et al. 2016 (ComParE).
openSMILE's licence forbids commercial use, so it is an extra: `pip install "affekt[opensmile]"`.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from importlib import metadata
from typing import Literal

import numpy as np

from affekt import audio, cache
from affekt.cache.rows import Rows
from affekt.errors import AudioError, RecipeError, optional
from affekt.threads import in_turn
from affekt.types import Utterance

FeatureSet = Literal["eGeMAPSv02", "emobase", "ComParE_2016"]
SIZES: dict[FeatureSet, int] = {"eGeMAPSv02": 88, "emobase": 988, "ComParE_2016": 6373}
LOUDEST = 32767 / 32768  # openSMILE reads 16 bits, where 1.0 would wrap around to -1.0
BATCH = 64  # rows in one transaction; a killed run loses no more than these


class OpenSmile:
    """What `encoder = { name = "opensmile" }` stands for: the choice of a feature set."""

    def __init__(self, *, features: FeatureSet = "eGeMAPSv02") -> None:
        self.features: FeatureSet = features
        self.dim = SIZES[features]


def functionals(
    utterances: Sequence[Utterance],
    *,
    features: FeatureSet = "eGeMAPSv02",
    steps: Sequence[audio.Step] = (),
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, dict[str, str]]:
    """Functionals (N, D) in the order of `utterances`, and {key: reason} for those that failed.

    The row of a failed utterance is NaN. Rows come from the cache or else from all cores.

    Args:
        utterances: what to describe.
        features: the feature set.
        steps: what is done to the signal first.
        progress: is told how many more utterances are done.
    """
    if any(isinstance(step, audio.Normalise) for step in steps):
        raise RecipeError(
            "the audio step 'normalise' leaves the 16-bit range that openSMILE reads, and its "
            "functionals of loudness would mean nothing; take the step out"
        )
    told = progress or (lambda _: None)
    keys = _keys(utterances, features, steps)
    store = Rows(cache.functionals())
    rows = store.get(keys)
    missing = {key: u for key, u in zip(keys, utterances, strict=True) if key not in rows}
    told(len(keys) - len(missing))
    reasons = _fill(rows, missing, features=features, steps=steps, store=store, told=told)
    store.close()
    empty = np.full(SIZES[features], np.nan, np.float32)
    table = np.array([rows.get(key, empty) for key in keys]).reshape(len(keys), len(empty))
    failed = {u.key: reasons[k] for k, u in zip(keys, utterances, strict=True) if k in reasons}
    return table, failed


def _fill(
    rows: dict[str, np.ndarray],
    missing: dict[str, Utterance],
    *,
    features: FeatureSet,
    steps: Sequence[audio.Step],
    store: Rows,
    told: Callable[[int], None],
) -> dict[str, str]:
    """Put what is missing into `rows` and the store; {key: reason} of what cannot be had."""
    reasons: dict[str, str] = {}
    fresh: dict[str, np.ndarray] = {}
    with closing(_extract(missing, features, steps)) as extracted:
        for key, row in extracted:
            if isinstance(row, AudioError):
                reasons[key] = str(row)
            else:
                rows[key] = fresh[key] = row
            if len(fresh) == BATCH:
                store.put(fresh)
                fresh.clear()
            told(1)
    store.put(fresh)
    return reasons


def _keys(
    utterances: Sequence[Utterance], features: FeatureSet, steps: Sequence[audio.Step]
) -> list[str]:
    """What each row depends on. Equal recordings have equal keys, and one row serves them all."""
    try:
        version = metadata.version("opensmile")  # importing it takes half a second
    except metadata.PackageNotFoundError:
        version = optional("opensmile", "opensmile").__version__  # raises what a user can act on
    return [f"{audio.key_of(u, steps)}:{features}:{version}" for u in utterances]


def _extract(
    missing: dict[str, Utterance], features: FeatureSet, steps: Sequence[audio.Step]
) -> Generator[tuple[str, np.ndarray | AudioError]]:
    """(key, row or why there is none), in order; threads, since openSMILE runs outside the GIL."""
    if not missing:
        return
    made = smile(features)

    def row(utterance: Utterance) -> np.ndarray | AudioError:
        try:
            return _row(made, utterance, steps)
        except AudioError as e:
            return e

    with closing(in_turn(row, missing.values())) as rows:  # also where the reader stops early
        yield from zip(missing, rows, strict=True)


def _row(
    smile: Callable[[np.ndarray, int], np.ndarray],
    utterance: Utterance,
    steps: Sequence[audio.Step],
) -> np.ndarray:
    """The functionals (D,) of one utterance."""
    signal = audio.read(utterance.audio, start=utterance.start, end=utterance.end)
    return of_signal(smile, audio.prepare(signal, steps), str(utterance.audio))


def of_signal(
    smile: Callable[[np.ndarray, int], np.ndarray], signal: audio.Signal, name: str
) -> np.ndarray:
    """The functionals (D,) of a signal.

    Args:
        smile: what openSMILE's package gives, see `smile`.
        signal: at 16 kHz, after all steps.
        name: what it is called in messages.

    Raises:
        AudioError: it is silent or too short, or openSMILE gives no numbers.
    """
    seconds = len(signal) / audio.RATE
    if seconds < audio.SHORTEST or not signal.any():
        problem = "too short" if signal.any() else "silent"
        raise AudioError(
            f"{name}: {problem} after the audio steps ({seconds:.2f} s left); leave it out"
        )
    values = smile(signal.clip(-1.0, LOUDEST), audio.RATE)[0, :, 0]
    if not np.isfinite(values).all():
        raise AudioError(
            f"{name}: openSMILE gives {np.isnan(values).sum()} NaN values; leave it out"
        )
    return values.astype(np.float32)


def smile(features: FeatureSet) -> Callable[[np.ndarray, int], np.ndarray]:
    """openSMILE for a feature set; it may be called by several threads at once."""
    opensmile = optional("opensmile", "opensmile")
    return opensmile.Smile(feature_set=opensmile.FeatureSet[features])
