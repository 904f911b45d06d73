"""Encoding speech: affekt against a plain loop over batches in transformers, on real recordings.

    python benchmarks/encoding.py            (about ten minutes on two cores)
    python benchmarks/encoding.py --utterances 60

Checkpoints of the published base size with random weights: speed does not depend on what they
have learnt. Both sides take the same recordings in float32 and make all layers; what is printed
as a ratio was measured in turns within this run.
"""

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers
from scratch import checkpoint, own_cache, told, utterances
from torch.nn.utils.rnn import pad_sequence

import affekt
from affekt import audio
from affekt.encoders import ENCODERS
from affekt.encoders.cached import CachedFrames
from affekt.encoders.speech import Speech, has_bf16
from affekt.parts import Section, options

BATCH = 32
BUILDING = 2.5  # times as fast as transformers, at least
BF16 = 5.0
FP32 = 1.0
EMODB = Path(__file__).parent.parent / "data/emodb"


def main() -> int:
    """Measure all; the exit status."""
    count = utterances(__doc__)
    held = building(count)
    held &= attention()
    return 0 if held else 1


def building(count: int) -> bool:
    """The cache of a corpus against a feature loop; both read, encode and leave all layers."""
    corpus = list(affekt.read("emodb", EMODB))
    random.Random(0).shuffle(corpus)
    said = corpus[:count]
    seconds = sum(map(audio.seconds, said))
    with TemporaryDirectory() as place, own_cache():
        folder = checkpoint(Path(place), transformers.HubertConfig(), transformers.HubertModel)
        frames = CachedFrames(
            options(ENCODERS, Section(name="speech", model=str(folder)), "encoder"), said, ()
        )
        frames.encoder()  # loaded on neither side's time
        ours = timed(lambda: frames.fill(lambda _: None))
        model = transformers.HubertModel.from_pretrained(folder).eval()
        theirs = timed(lambda: feature_loop(model, said))
    print(f"{len(said)} utterances, {seconds:.0f} s of speech, hubert-base")
    print(
        f"  transformers, batches of {BATCH}   {theirs:7.1f} s  {seconds / theirs:5.1f} x real time"
    )
    print(f"  affekt, into the cache        {ours:7.1f} s  {seconds / ours:5.1f} x real time")
    return told("building the cache, times as fast", theirs / ours, at_least=BUILDING)


@torch.inference_mode()
def feature_loop(model: torch.nn.Module, said: list[affekt.types.Utterance]) -> None:
    """Batches in the order of the corpus, zero-padded with a mask, all hidden states."""
    for first in range(0, len(said), BATCH):
        clips = [torch.from_numpy(audio.read(u.audio)) for u in said[first : first + BATCH]]
        lengths = torch.tensor([len(clip) for clip in clips])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        waves = pad_sequence(clips, batch_first=True)
        model(waves, attention_mask=mask.long(), output_hidden_states=True)


def attention() -> bool:
    """WavLM's forward pass over two clips of 5 s: fused attention against that of transformers."""
    wav, lengths = torch.randn(2, 80_000), torch.tensor([80_000, 79_000])
    mask = (torch.arange(80_000) < lengths[:, None]).long()
    with TemporaryDirectory() as place, torch.inference_mode():
        folder = checkpoint(Path(place), transformers.WavLMConfig(), transformers.WavLMModel)
        theirs = transformers.WavLMModel.from_pretrained(folder).eval()
        ours = Speech(model=str(folder), precision="fp32")
        chosen = Speech(model=str(folder))
        works = [
            lambda: theirs(wav, attention_mask=mask, output_hidden_states=True),
            lambda: ours(wav, lengths),
            lambda: chosen(wav, lengths),
        ]
        slow, fast, asked = in_turns(works, 5)
        with torch.autocast("cpu", torch.bfloat16):
            slow_bf16, fast_bf16 = in_turns(works[:2], 1)
    native = has_bf16(wav.device)
    print(f"wavlm-base, two clips of 5 s; this processor {'has' if native else 'has no'} bf16")
    print(f"  float32                       transformers {slow:.2f} s, affekt {fast:.2f} s")
    print(
        f"  bf16 autocast forced on both  transformers {slow_bf16:.2f} s, affekt {fast_bf16:.2f} s"
    )
    print(f'  precision = "bf16"            affekt {asked:.2f} s')
    held = told("WavLM in float32, times as fast", slow / fast, at_least=FP32)
    what = 'WavLM with precision = "bf16", times as fast'
    return told(what, slow_bf16 / asked, at_least=BF16) and held


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(works: list[Callable[[], object]], repetitions: int) -> list[float]:
    """The shortest of some runs of each, in turns, after one round that is not counted."""
    rounds = [[timed(work) for work in works] for _ in range(repetitions + 1)]
    return [min(taken) for taken in zip(*rounds[1:], strict=True)]


if __name__ == "__main__":
    sys.exit(main())
