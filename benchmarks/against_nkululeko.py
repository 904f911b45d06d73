"""affekt against nkululeko: the same job as two whole commands, side by side.

EmoDB with 4 classes, leave-one-speaker-out, eGeMAPSv02, a linear SVM (C = 0.01) on standardised
features. Cold: no features yet. Warm: features kept from the run before.

    python benchmarks/against_nkululeko.py --repetitions 3

The first run installs nkululeko into a virtual environment of its own in the cache folder.
"""

import argparse
import csv
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections import defaultdict
from importlib import metadata
from pathlib import Path
from statistics import median

from affekt import cache, corpora, labels
from affekt.evaluation import predictions
from affekt.types import Corpus

NKULULEKO = "1.14.1"
TORCH = "2.13.0"  # nkululeko imports it; installed first, so that pip takes the build at hand
ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/baselines/emodb-loso/egemaps-linear-svm.toml"
FASTER = {"cold": 1.3, "warm": 1.8}  # what affekt has to reach
WITHIN = 0.01  # of the same UA

SETTINGS = """
[EXP]
root = {root}
name = out
[DATA]
databases = ['emodb']
emodb = {table}
emodb.type = csv
emodb.absolute_path = True
emodb.split_strategy = random
target = emotion
labels = {labels}
[FEATS]
type = ['os']
set = eGeMAPSv02
scale = standard
[MODEL]
type = svm
kernel = linear
C_val = 0.01
logo = {speakers}
n_jobs = {cores}
"""


def main() -> int:
    """0 if affekt is as fast as it has to be and scores the same, else 1."""
    parser = argparse.ArgumentParser(description="affekt against nkululeko on EmoDB")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--data", type=Path, default=ROOT / "data/emodb")
    chosen = parser.parse_args()
    data = chosen.data.resolve()
    corpus, _ = labels.relabel(corpora.read("emodb", data), "4-class")
    python = environment()
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    scores: dict[str, list[float]] = defaultdict(list)
    for n in range(chosen.repetitions + 1):
        with tempfile.TemporaryDirectory() as folder:
            for heat in FASTER:
                theirs = nkululeko(python, corpus, Path(folder))
                ours = affekt(data, Path(folder), heat)
                for tool, (taken, score) in {"nkululeko": theirs, "affekt": ours}.items():
                    print(f"run {n}: {tool}, {heat}: {taken:.2f} s, UA {score:.4f}", flush=True)
                    scores[tool].append(score)
                    if n > 0:  # run 0 fills the disk's cache and compiles both tools' modules
                        seconds[tool, heat].append(taken)
    return summary(seconds, scores)


def environment() -> Path:
    """The Python that has nkululeko, made on first use and kept."""
    folder = cache.folder() / "benchmarks" / f"nkululeko-{NKULULEKO}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = folder / "ready"
    if not ready.exists():
        print(f"installing nkululeko {NKULULEKO} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        for package in (f"torch=={TORCH}", f"nkululeko=={NKULULEKO}"):
            subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
        ready.touch()
    return python


def nkululeko(python: Path, corpus: Corpus, folder: Path) -> tuple[float, float]:
    """Seconds and pooled UA; features are kept in `folder`."""
    table, settings = folder / "emodb.csv", folder / "experiment.ini"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "speaker", "emotion", "gender"])
        rows.writerows((u.audio, u.speaker, u.emotion, u.gender) for u in corpus)
    settings.write_text(
        SETTINGS.format(
            root=f"{folder}/",
            table=table,
            labels=list(corpus.counts()),
            speakers=len({u.speaker for u in corpus}),
            cores=os.cpu_count(),
        ),
        encoding="utf-8",
    )
    command = [python, "-m", "nkululeko.nkululeko", "--config", settings]
    taken, output = timed(command, folder, dict(os.environ))
    found = re.search(r"result \(TEST\): test: ([\d.]+) UAR", output)
    if not found:
        raise SystemExit(f"no UAR in what nkululeko printed:\n{output}")
    return taken, float(found[1])


def affekt(data: Path, folder: Path, heat: str) -> tuple[float, float]:
    """Seconds and pooled UA; features are kept in `folder`, the run itself starts anew."""
    out = folder / f"affekt-{heat}"
    command = [sys.executable, "-m", "affekt", "run", RECIPE, "--data", data, "--out", out]
    taken, _ = timed(command, folder, os.environ | {"AFFEKT_CACHE": str(folder / "cache")})
    judged = predictions.read(out)
    recalls = []
    for emotion in {p.truth for p in judged}:
        right = [p.label == emotion for p in judged if p.truth == emotion]
        recalls.append(sum(right) / len(right))
    return taken, sum(recalls) / len(recalls)


def timed(
    command: list[str | Path], folder: Path, environment: dict[str, str]
) -> tuple[float, str]:
    """Wall-clock seconds of a whole command, and what it printed."""
    begin = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    taken = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return taken, done.stdout


def summary(seconds: dict[tuple[str, str], list[float]], scores: dict[str, list[float]]) -> int:
    """Print medians, ratios, scores and the machine; the exit status."""
    print(f"\n{'':6}{'nkululeko':>24}{'affekt':>24}{'ratio':>8}{'needed':>8}")
    reached = True
    for heat, needed in FASTER.items():
        theirs, ours = seconds["nkululeko", heat], seconds["affekt", heat]
        ratio = median(theirs) / median(ours)
        reached &= ratio >= needed
        print(f"{heat:6}{spread(theirs):>24}{spread(ours):>24}{ratio:>8.2f}{needed:>8}")
    difference = abs(median(scores["affekt"]) - median(scores["nkululeko"]))
    reached &= difference <= WITHIN
    theirs, ours = spread(scores["nkululeko"], 4), spread(scores["affekt"], 4)
    print(f"{'UA':6}{theirs:>24}{ours:>24}{difference:>8.4f}{WITHIN:>8}")
    print(
        f"median [lowest, highest]; {len(seconds['affekt', 'cold'])} cold and as many warm runs "
        "of either; a ratio says how much faster affekt is, UA is followed by the difference; "
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}, affekt {metadata.version('affekt')}, "
        f"nkululeko {NKULULEKO}, scikit-learn {metadata.version('scikit-learn')}"
    )
    print("reached" if reached else "NOT reached")
    return 0 if reached else 1


def spread(values: list[float], digits: int = 2) -> str:
    """'9.31 [9.20, 9.85]'"""
    middle, low, high = (f"{v:.{digits}f}" for v in (median(values), min(values), max(values)))
    return f"{middle} [{low}, {high}]"


if __name__ == "__main__":
    sys.exit(main())
