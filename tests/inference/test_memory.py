import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from predictors import noise

CHILD = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from predictors import predictor
from affekt.inference.timeline import timeline

for path in sys.argv[2:]:
    last = timeline(predictor(), path)[-1]
    print(last.end, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path):
    minute = (noise(60.0, 8_000) * 32_767).astype(np.int16)
    paths = [tmp_path / "minutes.flac", tmp_path / "half_an_hour.flac"]
    for path, repeated in zip(paths, (3, 30), strict=True):
        with soundfile.SoundFile(path, "w", 8_000, 1) as file:
            for _ in range(repeated):
                file.write(minute)
    words = [sys.executable, "-c", CHILD, str(Path(__file__).parents[1]), *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    (short, little), (long, much) = (map(float, line.split()) for line in done.stdout.splitlines())
    assert (short, long) == (180.0, 1800.0)
    assert much - little < 30  # MB; all samples at 16 kHz are 110
