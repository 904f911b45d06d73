"""What `affekt export` wrote, at work: onnxruntime, NumPy, soundfile and soxr, and no torch.

Axes: N signals, S samples, K classes.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affekt import audio, disk
from affekt.audio import STEPS, Signal, Step
from affekt.errors import ModelError, choose, optional
from affekt.inference.predictor import Logits, Predictor
from affekt.threads import cores, in_turn

KIND = "affekt-onnx"  # the model_type of config.json
CONFIG, PROTOCOL = "config.json", "protocol.json"
INPUTS = ("waveform", "lengths")
OUTPUTS = ("logits", "embedding")


def is_one(folder: Path) -> bool:
    """Whether a folder is one that `affekt export` wrote."""
    config = folder / CONFIG
    return config.is_file() and disk.read_json(config, ModelError).get("model_type") == KIND


def load(folder: Path) -> Predictor:
    """The predictor of a folder that `affekt export` wrote.

    Raises:
        ModelError: there is none, or it is not whole.
        MissingExtraError: onnxruntime is not installed.
    """
    if not is_one(folder):
        raise ModelError(f"{folder}: no model of affekt export there; give the folder it wrote")
    config = disk.read_json(folder / CONFIG, ModelError)
    try:
        file = folder / config["model"]
        labels = [config["id2label"][str(n)] for n in range(len(config["id2label"]))]
        steps = [_step(section) for section in config["audio"]]
        temperature = float(config["temperature"])
    except (KeyError, TypeError, ValueError) as e:
        raise ModelError(f"{folder / CONFIG}: not as it was written ({e!r}); export again") from e
    told = folder / PROTOCOL
    about = disk.read_json(told, ModelError) if told.is_file() else {}
    return Predictor(
        labels=labels,
        logits=logits(file, steps),
        name=str(folder),
        temperature=temperature,
        about=about,
    )


def logits(model: Path | bytes, steps: Sequence[Step] = ()) -> Logits:
    """From signals at 16 kHz to logits (N, K), by a graph that `affekt export` wrote.

    Every signal goes through alone, so what is said of it depends on nothing else, also in int8,
    where a batch would share a scale. Several go side by side, one per core: there is no padding,
    and nothing to wait for.

    Args:
        model: the file, or what is in one.
        steps: of the audio, before the network.

    Raises:
        ModelError: it cannot be loaded.
    """

    @cache
    def session(threads: int) -> Any:
        return opened(model, threads)

    session(1)  # a damaged file is told of now

    def hear(signals: Sequence[Signal]) -> np.ndarray:
        """Logits (N, K)."""
        together = len(signals) > 1
        runs = session(1 if together else cores())

        def one(signal: Signal) -> np.ndarray:
            return judged(runs, audio.prepared(signal, steps)[None])[0]

        workers = min(cores(), len(signals))
        return np.stack(
            [*in_turn(one, signals, workers=workers)] if together else [one(signals[0])]
        )

    return hear


def opened(model: Path | bytes, threads: int) -> Any:
    """A session of onnxruntime that computes on so many cores."""
    runtime = optional("onnxruntime", "export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    # Threads that wait at full speed would take the processor from everything beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    where = model if isinstance(model, Path) else "a graph"
    if isinstance(model, Path) and not model.is_file():
        raise ModelError(f"{model}: no such file; export the model again")
    given = str(model) if isinstance(model, Path) else model
    try:
        return runtime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime's errors have no class in common
        reason = str(e).splitlines()[0]
        raise ModelError(f"{where}: cannot be loaded ({reason}); export the model again") from e


def judged(session: Any, waves: np.ndarray, lengths: Sequence[int] | None = None) -> np.ndarray:
    """Logits (N, K) of waves (N, S), padded where `lengths` (samples) are given."""
    counts = [waves.shape[1]] * len(waves) if lengths is None else lengths
    fed = {INPUTS[0]: waves.astype(np.float32), INPUTS[1]: np.asarray(counts, np.int64)}
    return session.run([OUTPUTS[0]], fed)[0]


def _step(section: Mapping[str, Any]) -> Step:
    kind = choose(STEPS, section["name"], "audio step", ModelError)
    return kind(**{key: value for key, value in section.items() if key != "name"})
