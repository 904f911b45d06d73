"""Memory of a timeline of ten hours against that of a minute, by the same model.

    python benchmarks/long_recording.py                      (a few minutes)
    python benchmarks/long_recording.py --model RUN --hours 1

Both recordings are one clip of EmoDB again and again, in FLAC. Each is judged by a process of its
own, in windows of 4 s every 2 s; without a model, log-mel and a random head.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import soundfile
import torch
from scratch import told

from affekt import Predictor
from affekt.encoders.frames import Waves
from affekt.encoders.spectral import LogMel
from affekt.inference.hearing import Hearing
from affekt.inference.timeline import judge

CLIP = Path(__file__).parent.parent / "data/emodb/wav/03a01Fa.flac"
LABELS = ["angry", "happy", "neutral", "sad"]
MOST = 200.0  # MB that ten hours may take beyond a minute


def main() -> int:
    """Measure both; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=16_000, help="Hz of the recordings")
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.judge:
        return judged(asked.judge, asked.model)
    found = []
    with TemporaryDirectory() as place:
        for seconds in (60.0, 3600 * asked.hours):
            path = written(Path(place) / f"{seconds:.0f}.flac", seconds, asked.rate)
            words = [sys.executable, __file__, "--judge", str(path)]
            words += ["--model", asked.model] if asked.model else []
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            print(f"{seconds:.0f} s: {done.stdout.strip()}", flush=True)
            found.append(float(done.stdout.split()[0]))
    held = told("MB that the long recording takes beyond a minute", found[1] - found[0], below=MOST)
    return 0 if held else 1


def written(path: Path, seconds: float, rate: int) -> Path:
    """A recording of this length, written clip by clip."""
    samples, own = soundfile.read(CLIP, dtype="int16")
    if own != rate:
        import soxr

        samples = soxr.resample(samples, own, rate)
    with soundfile.SoundFile(path, "w", rate, 1) as file:
        left = round(seconds * rate)
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)
    return path


def judged(path: Path, model: str | None) -> int:
    """Judge one recording and print the most memory that it took."""
    predictor = Predictor.load(model) if model else random_head()
    begun = time.monotonic()
    found = judge(predictor, path)
    took = time.monotonic() - begun
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{most:.0f} MB at most, {len(found.segments)} segments, {took:.1f} s")
    return 0


def random_head() -> Predictor:
    """Log-mel, its mean over time, and a linear layer of random weights."""
    torch.manual_seed(0)
    encoder = LogMel()
    head = torch.nn.Linear(encoder.dim, len(LABELS))

    def network(batch: Waves) -> torch.Tensor:
        frames = encoder(batch.wav, batch.lengths)
        weights = frames.mask / frames.mask.sum(dim=1, keepdim=True)
        return head(torch.einsum("bt,btd->bd", weights, frames.layers[:, 0]))

    return Predictor(labels=LABELS, logits=Hearing(network), name="log-mel with a random head")


if __name__ == "__main__":
    sys.exit(main())
