"""How long `affekt --help` takes beside `import torch` alone: the command line loads nothing heavy.

python benchmarks/startup.py
"""

import subprocess
import sys
import time
from statistics import median

REPETITIONS = 7
WITHIN = 1 / 3  # of the time that importing torch takes
COMMANDS = {
    "affekt --help": [sys.executable, "-m", "affekt", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def main() -> int:
    """0 if the help is there in a third of the time of the import, else 1."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for n in range(REPETITIONS + 1):
        for name, command in COMMANDS.items():
            begin = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if n > 0:  # the first round reads the modules from disk
                seconds[name].append(time.perf_counter() - begin)
    for name, taken in seconds.items():
        print(f"{name:14} {median(taken):.2f} s [{min(taken):.2f}, {max(taken):.2f}]")
    ratio = median(seconds["affekt --help"]) / median(seconds["import torch"])
    print(f"ratio {ratio:.2f}, needed {WITHIN:.2f} or less, {REPETITIONS} runs each, in turns")
    return 0 if ratio <= WITHIN else 1


if __name__ == "__main__":
    sys.exit(main())
