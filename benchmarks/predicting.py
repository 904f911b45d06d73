"""Predictor against transformers' pipeline("audio-classification") with the same weights.

    python benchmarks/predicting.py               (half an hour on two cores)
    python benchmarks/predicting.py --clips 60

HuBERT and WavLM for sequence classification, base shapes, random encoders under heads that are
fitted to EmoDB, so that labels are clear. Clips of 1 to 12 s, pieced together from EmoDB, in turns
of 100: first the pipeline, with the batch size of 1 and 16 that is faster on the first 30, then
affekt in float32 and, where the processor has it, in bf16. Peak memory is that of processes of
their own, and the first result of a command is timed against `import torch, transformers`.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import transformers as hf
from scratch import quiet, told

from affekt import audio
from affekt.batches import waves
from affekt.encoders.speech import has_bf16, processor
from affekt.inference import classification

EMODB = Path(__file__).parent.parent / "data/emodb/wav"
TURN = 100  # clips
FIRST = 30  # of them decide on the pipeline's batch size
FASTER = {"fp32": 1.15, "bf16": 2.6}  # times, at least
CLOSE = 1e-4  # of scores in float32
OTHER_LABELS = 0.01  # of the clips in bf16, at most
START = 2.5  # of importing torch and transformers
KINDS = {
    "hubert": (hf.HubertConfig, hf.HubertForSequenceClassification),
    "wavlm": (hf.WavLMConfig, hf.WavLMForSequenceClassification),
}
Clip = np.ndarray


def main() -> int:
    """Measure all; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--memory", nargs=3, metavar=("WHO", "MODEL", "CLIPS"))
    given = parser.parse_args()
    quiet()
    if given.memory:
        who, model, file = given.memory
        list(SYSTEMS[who](Path(model))(list(np.load(file, allow_pickle=False).values())))
        return 0
    clips = pieced(given.clips)
    held = True
    with TemporaryDirectory() as folder:
        for name in KINDS:
            model = fitted(Path(folder) / name, name, clips[:: max(1, len(clips) // 60)])
            held &= compare(name, model, clips)
            held &= memory(name, model, clips[:FIRST:2], Path(folder))
    return 0 if held & start() else 1


def pieced(count: int) -> list[Clip]:
    """Clips of 1 to 12 s."""
    rng = np.random.default_rng(0)
    speech = np.concatenate([audio.read(path) for path in sorted(EMODB.glob("*.flac"))])
    lengths = (rng.uniform(1, 12, count) * audio.RATE).astype(int)
    starts = [rng.integers(len(speech) - length) for length in lengths]
    return [speech[a : a + n] for a, n in zip(starts, lengths, strict=True)]


def fitted(folder: Path, name: str, clips: Sequence[Clip]) -> Path:
    """A checkpoint whose head tells four groups of clips apart; its folder."""
    config, kind = KINDS[name]
    torch.manual_seed(0)
    model = kind(config(num_labels=4)).eval()
    model.save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    hearing: Any = classification.load(folder, precision="fp32").logits
    with torch.inference_mode():
        vectors = torch.cat([hearing.network.mean(waves([torch.from_numpy(c)])) for c in clips])
    centre = vectors.mean(dim=0)
    _, _, axes = torch.linalg.svd(vectors - centre, full_matrices=False)
    heads = torch.stack([axes[0], -axes[0], axes[1], -axes[1]])
    heads = heads * 4 / ((vectors - centre) @ heads.T).std()
    with torch.no_grad():
        for layer in (model.projector, model.classifier):
            layer.weight.zero_()
            layer.bias.zero_()
        model.projector.weight[:4] = heads
        model.projector.bias[:4] = -heads @ centre
        model.classifier.weight[:, :4] = torch.eye(4)
    model.save_pretrained(folder)
    return folder


def pipeline(batch_size: int) -> Callable[[Path], Callable[[Sequence[Clip]], np.ndarray]]:
    """The pipeline of transformers, in float32 as it is by default; scores (N, 4) of clips."""

    def load(model: Path) -> Callable[[Sequence[Clip]], np.ndarray]:
        pipe: Any = hf.pipeline("audio-classification", str(model), dtype="float32")
        names = list(pipe.model.config.label2id)

        def judge(clips: Sequence[Clip]) -> np.ndarray:
            rows = pipe(list(clips), batch_size=batch_size, top_k=len(names))
            scores = [{row["label"]: row["score"] for row in one} for one in rows]
            return np.array([[one[name] for name in names] for one in scores])

        return judge

    return load


def predictor(precision: Any) -> Callable[[Path], Callable[[Sequence[Clip]], np.ndarray]]:
    """affekt's."""

    def load(model: Path) -> Callable[[Sequence[Clip]], np.ndarray]:
        return classification.load(model, precision=precision).scores

    return load


SYSTEMS = {"pipeline-1": pipeline(1), "pipeline-16": pipeline(16)}
SYSTEMS |= {"fp32": predictor("fp32"), "bf16": predictor("bf16")}


def compare(name: str, model: Path, clips: Sequence[Clip]) -> bool:
    """Speed, scores and labels over the same clips, in turns."""
    ours = ["fp32", *(["bf16"] if has_bf16(processor()) else [])]
    systems = {
        who: SYSTEMS[who](model) for who in (*SYSTEMS,) if who.startswith("p") or who in ours
    }
    turns = [clips[n : n + TURN] for n in range(0, len(clips), TURN)]
    for who in ("pipeline-1", "pipeline-16"):  # the first call is the slowest
        systems[who](turns[0][:2])
    few = clips[:FIRST]
    both = {who: timed(systems[who], few)[0] for who in ("pipeline-1", "pipeline-16")}
    seconds = sum(map(len, few)) / audio.RATE
    for who, taken in both.items():
        print(f"{name}, {who}: {seconds / taken:.1f} x real time over the first {len(few)}")
    best = min(both, key=lambda who: both[who])
    for who in (best, *ours):  # reads modules and warms up
        systems[who](turns[0][:2])
    times = dict.fromkeys((best, *ours), 0.0)
    scores: dict[str, list[np.ndarray]] = {who: [] for who in times}
    for turn in turns:
        for who in times:
            taken, found = timed(systems[who], turn)
            times[who] += taken
            scores[who].append(found)
    whole = {who: np.concatenate(found) for who, found in scores.items()}
    seconds = sum(map(len, clips)) / audio.RATE
    print(f"{name}: " + ", ".join(f"{who} {seconds / t:.1f} x" for who, t in times.items()))
    print(f"{name}: how often each label: {np.bincount(whole[best].argmax(1), minlength=4)}")
    held = True
    for who in ours:
        held &= told(
            f"{name}, {who}, times as fast", times[best] / times[who], at_least=FASTER[who]
        )
    if best == "pipeline-1":  # in its batches padding changes what transformers says
        off = float(np.abs(whole["fp32"] - whole[best]).max())
        held &= told(f"{name}, fp32, largest difference of a score", off, below=CLOSE)
    for who in ours:
        other = float((whole[who].argmax(1) != whole["fp32"].argmax(1)).mean())
        held &= told(f"{name}, {who}, other labels than in fp32", other, below=OTHER_LABELS + 1e-9)
    return held


def timed(act: Callable[[Sequence[Clip]], np.ndarray], clips: Sequence[Clip]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    begun = time.perf_counter()
    found = act(clips)
    return time.perf_counter() - begun, found


def memory(name: str, model: Path, clips: Sequence[Clip], folder: Path) -> bool:
    """The most that a process holds, of each system in one of its own."""
    file = folder / "clips.npz"
    np.savez(file, *clips)
    most = {}
    for who in SYSTEMS:
        command = [sys.executable, __file__, "--memory", who, str(model), str(file)]
        code = f"import resource, subprocess; subprocess.run({command!r}, check=True); "
        code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        most[who] = int(done.stdout.split()[-1]) / 2**10
    print(f"{name}, MiB at most: {json.dumps({who: round(m) for who, m in most.items()})}")
    limit = min(most["pipeline-1"], most["pipeline-16"])
    return all(
        told(f"{name}, {who}, memory / the pipeline's", most[who] / limit, below=1.0)
        for who in ("fp32", "bf16")
    )


def start() -> bool:
    """The first result of a command for one file, against importing the libraries."""
    clip = str(sorted(EMODB.glob("*.flac"))[0])
    commands = {
        "imports": [sys.executable, "-c", "import torch, transformers"],
        "predict": [sys.executable, "-m", "affekt", "predict", clip],
    }
    times: dict[str, list[float]] = {who: [] for who in commands}
    for _ in range(6):
        for who, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            times[who].append(time.perf_counter() - begun)
    middle = {who: sorted(taken[1:])[2] for who, taken in times.items()}
    print(
        f"import torch, transformers: {middle['imports']:.2f} s; predict: {middle['predict']:.2f}"
    )
    return told("first result / imports", middle["predict"] / middle["imports"], below=START)


if __name__ == "__main__":
    sys.exit(main())
