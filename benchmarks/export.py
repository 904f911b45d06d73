"""A trained recogniser over affekt/small: PyTorch against ONNX in float32 and in int8, on EmoDB.

    python benchmarks/export.py              (about ten minutes on two cores)
    python benchmarks/export.py --run RUN    (a run of demo/encoders/small that is there)

Every clip of four emotions, of all speakers: what is compared is what the graphs say, not how
right they are. A time is the shortest of some rounds for each clip, in turns, so that what else
the machine does counts little.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scratch import quiet, told

import affekt
from affekt import audio
from affekt.inference import export, onnx, parity
from affekt.recipe import Recipe

EMODB = Path(__file__).parent.parent / "data/emodb"
FOUR = ("angry", "happy", "neutral", "sad")
ROUNDS = 3
SIZE, SPEED, LABELS, IMPORT = 0.35, 1.5, 0.97, 1.0  # seconds the last
Judge = Callable[[Sequence[np.ndarray]], np.ndarray]


def main() -> int:
    """Measure all; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path)
    given = parser.parse_args().run
    quiet()
    with TemporaryDirectory() as place:
        run = given or trained(Path(place))
        made = export.source(str(run))
        folders = {name: Path(place) / name for name in ("fp32", "int8")}
        for name, folder in folders.items():
            export.write(made, folder, int8=name == "int8")
        files = [folders["fp32"] / export.MODEL, folders["int8"] / export.INT8]
        clips = [audio.read(u.audio) for u in affekt.read("emodb", EMODB) if u.emotion in FOUR]
        sizes = [file.stat().st_size for file in files]
        print(f"{len(clips)} clips, {sum(map(len, clips)) / audio.RATE:.0f} s of speech")
        print(f"  fp32 {sizes[0] / 1e6:.1f} MB, int8 {sizes[1] / 1e6:.1f} MB")
        held = told("size of int8, of fp32's", sizes[1] / sizes[0], below=SIZE)
        judges: dict[str, Judge] = {"PyTorch fp32": lambda s: parity.of_torch(made.model, s)}
        judges |= {f"ONNX {n}": onnx.logits(f) for n, f in zip(folders, files, strict=True)}
        held &= compared(judges, clips)
        held &= one_after_the_other(made.model, dict(zip(folders, files, strict=True)), clips)
        held &= together(judges, clips)
        return 0 if imports(folders["int8"]) and held else 1


def trained(place: Path) -> Path:
    """One fold of the demo."""
    recipe = Recipe.load("demo/encoders/small", ["seeds=[0]", 'folds=["1"]'])
    return affekt.run(recipe, data={"emodb": EMODB}, out=place / "run")


def compared(judges: dict[str, Judge], clips: Sequence[np.ndarray]) -> bool:
    """What the graphs say, beside what PyTorch says."""
    wanted, fp32, int8 = (judge(clips) for judge in judges.values())
    for name, found in (("fp32", fp32), ("int8", int8)):
        print(f"  {name}: logits differ by {np.abs(found - wanted).max():.2g} at most", end="")
        print(f" (the largest is {np.abs(wanted).max():.2g})")
    same = float((int8.argmax(axis=1) == wanted.argmax(axis=1)).mean())
    all_same = bool((fp32.argmax(axis=1) == wanted.argmax(axis=1)).all())
    print(f"  fp32: {'all labels are' if all_same else 'NOT all labels are'} those of PyTorch")
    return told("labels of int8 that are PyTorch's", same, at_least=LABELS) and all_same


def one_after_the_other(
    model: torch.nn.Module, files: dict[str, Path], clips: Sequence[np.ndarray]
) -> bool:
    """Each clip alone, each on one core: the sum of every clip's shortest time."""
    judges: dict[str, Judge] = {"PyTorch fp32": lambda s: parity.of_torch(model, s)}
    for name, file in files.items():
        judges[f"ONNX {name}"] = partial(alone, onnx.opened(file, 1))
    shortest = {name: np.full(len(clips), np.inf) for name in judges}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(ROUNDS):
        for n, clip in enumerate(clips):
            for name, judge in judges.items():
                shortest[name][n] = min(shortest[name][n], timed(judge, [clip]))
    torch.set_num_threads(threads)
    return _rates("a clip after the other", {n: t.sum() for n, t in shortest.items()}, clips)


def alone(session: Any, clips: Sequence[np.ndarray]) -> np.ndarray:
    """Logits of clips, one after the other."""
    return np.concatenate([onnx.judged(session, clip[None]) for clip in clips])


def together(judges: dict[str, Judge], clips: Sequence[np.ndarray]) -> bool:
    """All clips at once, on all cores."""
    taken = {name: np.inf for name in judges}
    for _ in range(ROUNDS):
        for name, judge in judges.items():
            taken[name] = min(taken[name], timed(judge, clips))
    return _rates("all clips at once", taken, clips)


def _rates(what: str, seconds: dict[str, float], clips: Sequence[np.ndarray]) -> bool:
    length = sum(map(len, clips)) / audio.RATE
    print(what)
    for name, taken in seconds.items():
        ms = 1e3 * taken / len(clips)
        print(f"  {name:12} {ms:6.2f} ms a clip, {length / taken:6.0f} x real time")
    ratio = seconds["ONNX fp32"] / seconds["ONNX int8"]
    return told(f"int8, times as fast as fp32, {what}", ratio, at_least=SPEED)


def imports(folder: Path) -> bool:
    """A process that loads an exported model, and one that stops before."""
    begin = "from pathlib import Path\nimport affekt\nfrom affekt.inference import onnx\n"
    affekt_alone = median(_process(begin) for _ in range(5))
    loaded = median(_process(f"{begin}onnx.load(Path({str(folder)!r}))") for _ in range(5))
    print(f"a process that loads the model: {loaded:.2f} s, of which {affekt_alone:.2f} s import")
    return told("seconds until an exported model is loaded", loaded, below=IMPORT)


def _process(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begin


def timed(judge: Judge, clips: Sequence[np.ndarray]) -> float:
    """Seconds that it takes."""
    begin = time.perf_counter()
    judge(clips)
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
