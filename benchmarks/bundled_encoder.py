"""The encoder that comes with affekt: how fast it loads, and encodes real speech in float32."""

import subprocess
import sys
import time
from pathlib import Path

import torch
from scratch import told

import affekt
from affekt import audio
from affekt.encoders.speech import Speech

FASTER = 25.0  # than real time, at least, on two cores
LOADING = 0.3  # seconds after the imports, below
CLIPS = 120
TIMES = 5
EMODB = Path(__file__).parent.parent / "data/emodb"
LOADED = """
import time, torch, transformers.models.hubert.modeling_hubert, safetensors.torch
from affekt.encoders.speech import Speech
import affekt.encoders.wave
begun = time.perf_counter()
Speech(precision="fp32")
print(time.perf_counter() - begun)
"""


def main() -> int:
    """Measure both; the exit status."""
    loading = [float(subprocess.check_output([sys.executable, "-c", LOADED])) for _ in range(TIMES)]
    held = told(
        "seconds to load, the median of fresh processes", sorted(loading)[TIMES // 2], below=LOADING
    )
    encoder = Speech(precision="fp32")
    waves = [
        torch.from_numpy(audio.read(u.audio)) for u in list(affekt.read("emodb", EMODB))[:CLIPS]
    ]
    seconds = sum(len(wave) for wave in waves) / audio.RATE
    took = min(encoded(encoder, waves) for _ in range(TIMES))
    held &= told("x real time, one clip after the other", seconds / took, at_least=FASTER)
    return 0 if held else 1


def encoded(encoder: Speech, waves: list[torch.Tensor]) -> float:
    """Seconds for all layers of all clips."""
    begun = time.perf_counter()
    with torch.inference_mode():
        for wave in waves:
            encoder(wave[None], torch.tensor([len(wave)]))
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
